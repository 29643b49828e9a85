package scan

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sync/atomic"
	"time"
)

// Chain asks engines in order. It is immutable and safe for concurrent use.
type Chain struct {
	engines []Engine
	cache   *Cache[[]Result] // nil when there is none, or no use for it
	instant bool
	version atomic.Pointer[chainVersion]
}

type chainVersion struct {
	parts []string // versions of the engines
	text  string
	key   uint64
}

// NewChain makes a chain of engines, asked in the order given. cache may be nil;
// it may be shared by chains. Hash lists alone do not use it: they answer sooner.
func NewChain(engines []Engine, cache *Cache[[]Result]) *Chain {
	c := &Chain{engines: slices.Clone(engines), cache: cache, instant: true}
	for _, e := range engines {
		if _, list := e.(*HashList); !list {
			c.instant = false
		}
	}
	if c.instant {
		c.cache = nil
	}
	return c
}

// Instant tells whether the chain consists of hash lists alone: an object in
// memory is scanned faster than a cache could tell its result, and no time limit
// is needed.
func (c *Chain) Instant() bool { return c.instant }

// Engines returns the engines in order. The slice must not be changed.
func (c *Chain) Engines() []Engine { return c.engines }

// Version is a digest of all engine names and versions, 16 hex digits. It does
// not allocate while no engine changes its version.
func (c *Chain) Version() string { return c.current().text }

// Key is Version as a number, for cache keys.
func (c *Chain) Key() uint64 { return c.current().key }

func (c *Chain) current() *chainVersion {
	v := c.version.Load()
	if v == nil {
		return c.renew()
	}
	for i, e := range c.engines {
		if v.parts[i] != e.Version() {
			return c.renew()
		}
	}
	return v
}

func (c *Chain) renew() *chainVersion {
	v := &chainVersion{parts: make([]string, len(c.engines))}
	var b []byte
	for i, e := range c.engines {
		v.parts[i] = e.Version()
		for _, s := range []string{e.Name(), v.parts[i]} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	sum := sha256.Sum256(b)
	v.text, v.key = hex.EncodeToString(sum[:8]), binary.BigEndian.Uint64(sum[:8])
	c.version.Store(v)
	return v
}

// Scan asks the engines in order and stops at the first Infected. There is one
// result for each engine that was asked; none when the chain is empty. Results
// may be shared with other callers: they must not be changed.
func (c *Chain) Scan(ctx context.Context, o *Object) []Result {
	if c.cache == nil || len(c.engines) == 0 {
		return c.ask(ctx, o)
	}
	key := Key{Sum: o.SHA256(), Version: c.Key()}
	if rs, ok := c.cache.Get(key); ok {
		return rs
	}
	return c.miss(ctx, o, key)
}

// miss scans, or waits for the scan of the same object that runs already.
func (c *Chain) miss(ctx context.Context, o *Object, key Key) []Result {
	start := time.Now()
	var own []Result
	rs, err := c.cache.Do(ctx, key, func(ctx context.Context) ([]Result, bool) {
		own = c.ask(ctx, o)
		// A database that changed meanwhile could be the one before the one
		// that the key names.
		return asCached(own), definite(own) && c.Key() == key.Version
	})
	switch {
	case own != nil:
		return own
	case err != nil:
		r := interrupted(ctx, "waiting for the running scan of the same object")
		r.Engine, r.Took = c.engines[0].Name(), time.Since(start)
		return []Result{r}
	}
	return rs
}

func (c *Chain) ask(ctx context.Context, o *Object) []Result {
	rs := make([]Result, 0, len(c.engines))
	for _, e := range c.engines {
		r := e.Scan(ctx, o)
		rs = append(rs, r)
		if r.Status == Infected {
			break
		}
	}
	return rs
}

func asCached(rs []Result) []Result {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i].Cached = true
	}
	return rs
}

// definite tells whether the same chain would say the same again.
func definite(rs []Result) bool {
	for _, r := range rs {
		if r.Status == Infected {
			return true
		}
	}
	return len(rs) > 0 && !slices.ContainsFunc(rs, func(r Result) bool { return !r.Status.Definite() })
}

// severity orders statuses: the higher decides.
var severity = [...]uint8{
	Clean: 0, NotScanned: 1, Error: 2, TimedOut: 2, OverLimit: 2, Macro: 3, Encrypted: 4, Infected: 5,
}

// Worst returns the result that decides about the object: Infected before
// Encrypted, Macro, then Error, TimedOut and OverLimit alike (the first of
// them), NotScanned, and Clean only when all are. No results give NotScanned.
func Worst(rs []Result) Result {
	if len(rs) == 0 {
		return Result{Status: NotScanned, Detail: "no engine is configured"}
	}
	worst := 0
	for i := range rs {
		if severity[rs[i].Status] > severity[rs[worst].Status] {
			worst = i
		}
	}
	return rs[worst]
}

// ResultsSize is the memory that results take in a cache, in bytes; it is the
// SizeOf of a chain's cache.
func ResultsSize(rs []Result) int64 {
	n := int64(24)
	for i := range rs {
		n += 88 + int64(len(rs[i].Threat)+len(rs[i].Detail))
	}
	return n
}

// Graver tells whether s decides about an object rather than other; see Worst.
func (s Status) Graver(other Status) bool { return severity[s] > severity[other] }
