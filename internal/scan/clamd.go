package scan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ClamdConfig says where clamd is and how much it gets at a time.
type ClamdConfig struct {
	Name    string // of the engine; "clamd" by default
	Network string // "unix" or "tcp"
	Address string // path of the socket, or host:port
	// Sessions is how many scans run at a time; twice the cores by default.
	// clamd's MaxThreads should not be lower.
	Sessions int
	// Queue is how many scans wait for a session at most; the next one fails
	// at once. 32 for each session by default.
	Queue int
	// MaxObject is the largest object in bytes, 25 MiB by default. clamd's
	// StreamMaxLength and MaxFileSize should not be lower.
	MaxObject int64
	// MaxTime bounds one scan, waiting included, where the context does not;
	// 180 s by default.
	MaxTime time.Duration
	// PollInterval is how often clamd is asked for its version, 2 s by
	// default; while it does not answer, eight times as often.
	PollInterval time.Duration
}

const (
	dialTimeout = 2 * time.Second
	idleMax     = 10 * time.Second // below the 30 s after which clamd closes (CommandReadTimeout)
)

func (c *ClamdConfig) setDefaults() error {
	if c.Network != "unix" && c.Network != "tcp" {
		return fmt.Errorf("network %q: want unix or tcp", c.Network)
	}
	if c.Sessions < 0 || c.Queue < 0 || c.MaxObject < 0 || c.MaxTime < 0 || c.PollInterval < 0 {
		return fmt.Errorf("bounds must not be negative: %+v", *c)
	}
	setDefault(&c.Name, "clamd")
	setDefault(&c.Sessions, 2*runtime.NumCPU())
	setDefault(&c.Queue, 32*c.Sessions)
	setDefault(&c.MaxObject, 25<<20)
	setDefault(&c.MaxTime, 180*time.Second)
	setDefault(&c.PollInterval, 2*time.Second)
	return nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Clamd is a client of one clamd. It keeps sessions open, watches clamd's
// health and version, and comes back by itself when clamd does.
//
// clamd tells the version of the official database only. A database of other
// signatures that an external clamd reloads changes nothing here: bound the
// age of the cache, or let ClamdChild run clamd.
type Clamd struct {
	cfg    ClamdConfig
	dialer net.Dialer
	slots  chan struct{}
	watch  *watcher

	waiting         atomic.Int64
	scans, failures atomic.Uint64

	mu     sync.Mutex
	idle   []*session // the last used one last
	closed bool
}

// NewClamd starts to watch clamd, which need not be up. Close ends it.
func NewClamd(cfg ClamdConfig) (*Clamd, error) { return newClamd(cfg, true) }

// newClamd makes a client; byPID says whether another process means another
// version.
func newClamd(cfg ClamdConfig, byPID bool) (*Clamd, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("clamd: %w", err)
	}
	c := &Clamd{cfg: cfg, dialer: net.Dialer{Timeout: dialTimeout}, slots: make(chan struct{}, cfg.Sessions)}
	c.watch = newWatcher(cfg.PollInterval, byPID, c.ask)
	go c.watch.run(c.reap)
	return c, nil
}

// Close ends the watching and all idle sessions. Running scans end by
// themselves.
func (c *Clamd) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.watch.stop()
	c.dropIdle(time.Now())
	return nil
}

// Name is the engine's name.
func (c *Clamd) Name() string { return c.cfg.Name }

// Version is clamd's version and that of its official database; "unknown"
// before clamd answered for the first time.
func (c *Clamd) Version() string { return *c.watch.version.Load() }

// Health is how clamd does, seen at the last poll.
func (c *Clamd) Health() Health {
	h := c.watch.health()
	h.Version = c.Version()
	h.Busy, h.Queue = len(c.slots), int(c.waiting.Load())
	h.Scans, h.Failures = c.scans.Load(), c.failures.Load()
	return h
}

// Scan gives the object to clamd when a session is free.
func (c *Clamd) Scan(ctx context.Context, o *Object) Result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.MaxTime)
	defer cancel()
	r := c.queued(ctx, o)
	r.Engine, r.Took = c.cfg.Name, time.Since(start)
	c.scans.Add(1)
	if !r.Status.Definite() {
		c.failures.Add(1)
	}
	return r
}

func (c *Clamd) queued(ctx context.Context, o *Object) Result {
	if size := o.Data.Size(); size > c.cfg.MaxObject {
		return tooLarge(size, c.cfg.MaxObject)
	}
	select {
	case c.slots <- struct{}{}:
	default:
		if r := c.wait(ctx); r.Status != Clean {
			return r
		}
	}
	defer func() { <-c.slots }()
	r, err := c.exchange(ctx, o)
	if err == nil {
		c.watch.scanned(r)
		return r
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		c.watch.failed(err)
	}
	if ctx.Err() != nil || timedOut(err) {
		return interrupted(ctx, "clamd had the object")
	}
	return Result{Status: Error, Detail: "clamd: " + err.Error()}
}

// wait queues for a slot. Clean means it has one.
func (c *Clamd) wait(ctx context.Context) Result {
	if n := c.waiting.Add(1); n > int64(c.cfg.Queue) {
		c.waiting.Add(-1)
		return Result{Status: Error, Detail: fmt.Sprintf("the queue for clamd is full (%d scans run, %d wait)", c.cfg.Sessions, c.cfg.Queue)}
	}
	defer c.waiting.Add(-1)
	select {
	case c.slots <- struct{}{}:
		return Result{Status: Clean}
	case <-ctx.Done():
		return interrupted(ctx, "waiting for a session with clamd")
	}
}

// exchange scans on an idle session or a fresh one. A session that clamd closed
// while it was idle proves nothing about clamd now: then once more, on a fresh
// one.
func (c *Clamd) exchange(ctx context.Context, o *Object) (Result, error) {
	if s := c.takeIdle(); s != nil {
		r, err := c.use(ctx, s, o)
		if !errors.Is(err, errStale) {
			return r, err
		}
		c.dropIdle(time.Now())
	}
	s, err := openSession(ctx, &c.dialer, c.cfg.Network, c.cfg.Address)
	if err != nil {
		return Result{}, err
	}
	return c.use(ctx, s, o)
}

func (c *Clamd) use(ctx context.Context, s *session, o *Object) (Result, error) {
	r, err := s.scan(ctx, o)
	switch {
	case err == nil:
		c.putIdle(s)
	case errors.Is(err, errSessionOver):
		s.close()
		err = nil
	default:
		s.close()
	}
	return r, err
}

func (c *Clamd) takeIdle() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle)
	if n == 0 {
		return nil
	}
	s := c.idle[n-1]
	c.idle = c.idle[:n-1]
	return s
}

func (c *Clamd) putIdle(s *session) {
	s.used = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		s.close()
		return
	}
	c.idle = append(c.idle, s)
}

// reap closes sessions before clamd would.
func (c *Clamd) reap() { c.dropIdle(time.Now().Add(-idleMax)) }

// dropIdle closes the sessions that were last used before t.
func (c *Clamd) dropIdle(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.idle) && c.idle[n].used.Before(t) {
		c.idle[n].close()
		n++
	}
	c.idle = slices.Delete(c.idle, 0, n)
}

func (c *Clamd) ask(ctx context.Context) (version string, pid int, err error) {
	answer, pid, err := c.command(ctx, "VERSION")
	if err != nil {
		return "", 0, err
	}
	version, err = parseVersion(answer)
	return version, pid, err
}

func (c *Clamd) command(ctx context.Context, cmd string) (answer []byte, pid int, err error) {
	return command(ctx, &c.dialer, c.cfg.Network, c.cfg.Address, cmd)
}
