package scan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pollTimeout = 2 * time.Second       // for clamd to tell its version
	pollGap     = 50 * time.Millisecond // between polls, however many scans fail
)

// watcher keeps the state of one clamd: it polls the version, which clamd
// answers beside its scans, and hears how scans end.
type watcher struct {
	interval time.Duration
	byPID    bool
	ask      func(context.Context) (version string, pid int, err error)
	version  atomic.Pointer[string]
	kick     chan struct{}
	ctx      context.Context
	cancel   context.CancelFunc
	done     chan struct{}
	good     atomic.Int64 // scans since the last poll
	bad      atomic.Int64

	mu     sync.Mutex // the fields below
	base   string     // version as asked
	peer   int        // process that told it, 0 when the transport does not say
	extra  string     // set by the owner
	state  State
	since  time.Time
	last   string
	lastAt time.Time
}

func newWatcher(interval time.Duration, byPID bool, ask func(context.Context) (string, int, error)) *watcher {
	w := &watcher{
		interval: interval, byPID: byPID, ask: ask,
		kick: make(chan struct{}, 1), done: make(chan struct{}), since: time.Now(), base: "unknown",
	}
	w.compose()
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// run polls until stop; each calls after every poll.
func (w *watcher) run(each func()) {
	defer close(w.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.kick:
			if wait := pollGap - time.Since(last); wait > 0 {
				timer.Reset(wait)
				continue
			}
		case <-timer.C:
		}
		last = time.Now()
		next := w.interval
		if w.poll() >= Degraded {
			next /= 8
		}
		each()
		timer.Reset(next)
	}
}

func (w *watcher) stop() {
	w.cancel()
	<-w.done
}

func (w *watcher) poll() State {
	ctx, cancel := context.WithTimeout(w.ctx, pollTimeout)
	version, pid, err := w.ask(ctx)
	cancel()
	good, bad := w.good.Swap(0), w.bad.Swap(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.enter(Down)
		w.note("clamd does not answer: " + err.Error())
		return w.state
	}
	w.peer = pid
	if w.byPID && pid > 0 {
		version = fmt.Sprintf("%s pid %d", version, pid)
	}
	if version != w.base {
		w.base = version
		w.compose()
	}
	if bad > 0 && good == 0 {
		w.enter(Degraded)
	} else {
		w.enter(OK)
	}
	return w.state
}

// peerPID is the process that answered last.
func (w *watcher) peerPID() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peer
}

func (w *watcher) enter(s State) {
	if s != w.state {
		w.state, w.since = s, time.Now()
	}
}

func (w *watcher) note(text string) { w.last, w.lastAt = text, time.Now() }

func (w *watcher) compose() {
	v := w.base
	if w.extra != "" {
		v += " " + w.extra
	}
	w.version.Store(&v)
}

// setExtra adds to the version what clamd itself does not tell.
func (w *watcher) setExtra(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s != w.extra {
		w.extra = s
		w.compose()
	}
}

// scanned hears of an answer in due form.
func (w *watcher) scanned(r Result) {
	if r.Status == Error {
		w.failed(errors.New(r.Detail))
		return
	}
	w.good.Add(1)
}

// failed hears of a scan without an answer, and has clamd looked at now.
func (w *watcher) failed(err error) {
	w.bad.Add(1)
	w.mu.Lock()
	w.note(err.Error())
	w.mu.Unlock()
	w.poke()
}

func (w *watcher) poke() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

func (w *watcher) health() Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Health{State: w.state, Since: w.since, LastError: w.last, LastErrorAt: w.lastAt}
}
