package scan

import (
	"context"
	"crypto/md5" //nolint:gosec // MD5 is the key of the lists that users bring, never of a cache
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/internal/tx"
)

// Status is what an engine says about an object.
type Status uint8

// The statuses. NotScanned is the zero value: nobody looked.
const (
	NotScanned Status = iota
	Clean             // looked at whole, nothing found
	Infected          // malware
	Encrypted         // cannot be read without a password
	Macro             // a document with macros
	Error             // the engine was down, broke or answered nonsense
	TimedOut          // no answer within the time given
	OverLimit         // larger, deeper or longer than the engine takes
)

var statusNames = [...]string{"not-scanned", "clean", "infected", "encrypted", "macro", "error", "timed-out", "over-limit"}

// String is the status's name in events and messages.
func (s Status) String() string { return statusNames[s] }

// Definite tells whether the same object and the same database give the same
// status again: Clean, Infected, Encrypted and Macro.
func (s Status) Definite() bool { return s >= Clean && s <= Macro }

// Engine scans objects. Implementations are safe for concurrent use.
type Engine interface {
	// Name is the engine's name in results and events.
	Name() string
	// Version names the engine and its database. It changes whenever the same
	// object could get another verdict, and costs no more than an atomic load.
	Version() string
	// Scan judges one object. It never panics and comes back soon after ctx
	// is done.
	Scan(ctx context.Context, o *Object) Result
	// Health is how the engine does now.
	Health() Health
}

// Result is what one engine said about one object.
type Result struct {
	Engine string
	Status Status
	// Threat is the name the engine gave to what it found; else empty.
	Threat string
	// Detail is one line for people when Status is not Clean.
	Detail string
	// Took is the time of the scan, waiting for the engine included. A cached
	// result carries the time of the scan that filled the cache.
	Took   time.Duration
	Cached bool
}

// Object is one thing to scan. It serves one goroutine at a time.
type Object struct {
	Name string // for messages
	Data tx.Content

	md5            [md5.Size]byte
	sha            [32]byte
	hasMD5, hasSHA bool
}

// SHA256 of all bytes, asked of Data once.
func (o *Object) SHA256() [32]byte {
	if !o.hasSHA {
		o.sha, o.hasSHA = o.Data.SHA256(), true
	}
	return o.sha
}

const md5Step = 1 << 20 // bytes between two looks at the context

// MD5 of all bytes; computed at the first call, 600 MB/s or so. It fails with
// the context's error and with a read error of Data.
func (o *Object) MD5(ctx context.Context) ([md5.Size]byte, error) {
	if o.hasMD5 {
		return o.md5, nil
	}
	h := md5.New() //nolint:gosec // see the import
	if b, ok := o.Data.Bytes(); ok && len(b) <= md5Step {
		o.md5, o.hasMD5 = md5.Sum(b), true //nolint:gosec // see the import
		return o.md5, nil
	}
	r := io.NewSectionReader(o.Data, 0, o.Data.Size())
	for {
		if err := ctx.Err(); err != nil {
			return o.md5, err
		}
		n, err := io.CopyN(h, r, md5Step)
		if errors.Is(err, io.EOF) && n < md5Step {
			break
		}
		if err != nil {
			return o.md5, fmt.Errorf("read %s: %w", o.Name, err)
		}
	}
	h.Sum(o.md5[:0])
	o.hasMD5 = true
	return o.md5, nil
}

// State is how an engine does.
type State uint8

// The states.
const (
	Starting  State = iota // has not answered yet
	OK                     // answers
	Reloading              // loads a new database; still answers with the old one
	Degraded               // answers, but not all is well: see Health.LastError
	Down                   // does not answer
)

var stateNames = [...]string{"starting", "ok", "reloading", "degraded", "down"}

// String is the state's name in health reports.
func (s State) String() string { return stateNames[s] }

// Health is a snapshot of an engine's state.
type Health struct {
	State State
	Since time.Time
	// LastError is the last thing that went wrong, and LastErrorAt when; it
	// stays after recovery.
	LastError   string
	LastErrorAt time.Time
	Version     string
	// Busy is how many scans run now, Queue how many wait for their turn.
	Busy, Queue int
	// Scans and Failures count since start; a failure is a scan without a
	// definite status.
	Scans, Failures uint64
}

// interrupted is the status of a scan whose context is done.
func interrupted(ctx context.Context, what string) Result {
	if errors.Is(ctx.Err(), context.Canceled) {
		return Result{Status: Error, Detail: "cancelled while " + what}
	}
	return Result{Status: TimedOut, Detail: "time ran out while " + what}
}
