package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/event"
	"sluice/internal/icap"
	"sluice/internal/scan"
	"sluice/internal/settings"
	"sluice/internal/spool"
	"sluice/internal/traffic"
)

// Config is what a node needs to know besides its settings.
type Config struct {
	Paths Paths
	// Document is the settings file; it need not exist.
	Document string
	Version  string
	// EventsProgram is the event engine's binary.
	EventsProgram string
	// Quiet is how long no transaction must have begun before a node that is
	// to stop closes its listeners; it waits for that half of its time at the
	// most. An exchange whose request was judged comes back with its response
	// on a new connection, and load balancers need a moment to see /readyz.
	Quiet time.Duration
	Log   *slog.Logger
}

// Node is one running node.
type Node struct {
	cfg     Config
	log     *slog.Logger
	name    string
	started time.Time

	spool  *spool.Store
	events *event.Log
	engine *traffic.Engine
	cache  *scan.Cache[[]scan.Result] // nil: no verdicts are kept
	server *icap.Server
	tls    atomic.Pointer[tls.Config]
	tag    atomic.Pointer[istag]

	admin   *http.Server
	control *http.Server

	serving  sync.WaitGroup
	failed   chan error // a listener that ended by itself
	draining atomic.Bool

	reloading sync.Mutex // one change of the settings at a time; guards seen and leaving
	seen      seen
	leaving   map[string]*leaving // engines that are wanted no more, by key
	retiring  sync.WaitGroup

	mu        sync.Mutex // guards what follows
	current   *built
	engines   engineSet
	listeners listeners
	problem   error              // why the document on disk is not in force
	first     *settings.Settings // that the node started with
}

// Start builds a node, opens its listeners and serves until Shutdown. The
// document's problems are an error only where there is no revision to go on with.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, log: cfg.Log, started: time.Now(), listeners: listeners{}, seen: seen{}, leaving: map[string]*leaving{}, failed: make(chan error, 16)}
	if err := os.MkdirAll(cfg.Paths.Data, 0o750); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	s, problem, err := n.firstSettings()
	if err != nil {
		return nil, err
	}
	n.first, n.problem = s, problem
	if err := n.construct(ctx, s); err != nil {
		return nil, errors.Join(err, n.closeParts(ctx))
	}
	n.say(event.Info, "node-started", "the node runs", "version", cfg.Version, "revision", n.current.hash)
	if problem != nil {
		n.say(event.Critical, "settings-refused", "the settings document has problems; the last good revision is in force", "error", problem.Error())
	}
	return n, nil
}

// construct makes the parts in the order in which they need each other.
func (n *Node) construct(ctx context.Context, s *settings.Settings) error {
	host, _ := os.Hostname() // empty is fine: cmp.Or goes on
	n.name = cmp.Or(s.Node.Name, host, "node")
	var err error
	n.spool, err = spool.Open(spool.Config{
		Dir: n.cfg.Paths.spool(), MemoryPerBody: int64(s.Node.Spool.MemoryPerBody),
		Memory: int64(s.Node.Spool.Memory), Disk: int64(s.Node.Spool.Disk),
	})
	if err != nil {
		return err
	}
	n.events, err = event.Open(ctx, event.Config{
		Dir: n.cfg.Paths.Events(), Engine: s.Events.Engine, Binary: n.cfg.EventsProgram,
		RetentionDays: s.Events.Retention.Days, RetentionBytes: int64(s.Events.Retention.Size),
		QueueMemory: int64(s.Events.Queue.Memory), QueueDisk: int64(s.Events.Queue.Disk),
		EngineProcs: max(1, runtime.NumCPU()/4), Node: n.name, Log: n.log,
	})
	if err != nil {
		return err
	}
	if entries := s.Engines.Cache.Entries; entries > 0 {
		n.cache, err = scan.NewCache(scan.CacheConfig[[]scan.Result]{
			Entries: entries, Bytes: int64(entries) * bytesPerVerdict, MaxAge: externalCacheAge, SizeOf: scan.ResultsSize,
		})
		if err != nil {
			return err
		}
	}
	if err := n.apply(ctx, s); err != nil {
		return err
	}
	return n.serveLocal(ctx)
}

// bytesPerVerdict is the room in the cache for the results on one object.
const bytesPerVerdict = 1 << 10

// newEngine makes the pipeline and the ICAP service around the first snapshot.
func (n *Node) newEngine(b *built, snap *traffic.Snapshot) error {
	var err error
	n.engine, err = traffic.New(traffic.Config{
		Node: n.name, Version: n.cfg.Version, Log: n.events, Spool: n.spool,
		CachedReports: b.settings.Engines.Cache.Entries, ReportAge: externalCacheAge,
		Panic: func(what string, stack []byte) {
			n.log.Error("fault while judging", "fault", what, "stack", string(stack))
			n.say(event.Critical, "fault", "a fault was caught while judging; the message was blocked", "fault", what)
		},
	}, snap)
	if err != nil {
		return err
	}
	n.server, err = icap.NewServer(n.engine, n.spool, n.icapConfig(b))
	return err
}

// icapConfig adds what only a running node has.
func (n *Node) icapConfig(b *built) icap.Config {
	c := b.icap
	c.Service = "Sluice/" + n.cfg.Version
	c.ISTag = n.istag
	c.Draining = n.draining.Load
	c.Log = n.log
	return c
}

// say writes a system event, and the same to the process's log. pairs are
// attribute names and values in turn.
func (n *Node) say(severity event.Severity, code, text string, pairs ...string) {
	e := event.System{Severity: severity, Code: code, Text: text}
	args := []any{"code", code}
	for i := 0; i+1 < len(pairs); i += 2 {
		e.Attributes = append(e.Attributes, event.Attribute{Name: pairs[i], Value: pairs[i+1]})
		args = append(args, pairs[i], pairs[i+1])
	}
	n.events.System(e)
	level := map[event.Severity]slog.Level{event.Info: slog.LevelInfo, event.Warning: slog.LevelWarn, event.Critical: slog.LevelError}[severity]
	n.log.Log(context.Background(), level, text, args...)
}

// serve runs the ICAP service on a listener until it is closed.
func (n *Node) serve(key string, l net.Listener) {
	n.serving.Go(func() {
		err := n.server.Serve(l)
		if err != nil && !errors.Is(err, icap.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			n.say(event.Critical, "listener-failed", "an ICAP listener ended", "listen", key, "error", err.Error())
			n.failed <- fmt.Errorf("listener %s: %w", key, err)
		}
	})
}

// Run watches settings and engines until ctx ends, or a listener fails.
func (n *Node) Run(ctx context.Context, reload <-chan os.Signal) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	states := map[string]scan.State{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-n.failed:
			return err
		case <-reload:
			_ = n.Reload(ctx) // said and kept as the node's problem
		case <-tick.C:
			n.watchEngines(states)
			if n.inputsChanged() {
				_ = n.Reload(ctx) // said and kept as the node's problem
			}
		}
	}
}

// watchEngines turns changes of an engine's state into system events.
func (n *Node) watchEngines(states map[string]scan.State) {
	for _, e := range n.engine.Snapshot().Chain.Engines() {
		h := e.Health()
		before, known := states[e.Name()]
		states[e.Name()] = h.State
		if before == h.State && known {
			continue
		}
		switch h.State {
		case scan.Down:
			n.say(event.Critical, "engine-down", "a scan engine does not answer", "engine", e.Name(), "error", h.LastError)
		case scan.Degraded:
			n.say(event.Warning, "engine-degraded", "a scan engine is not well", "engine", e.Name(), "error", h.LastError)
		case scan.OK:
			if before != scan.Reloading || !known {
				n.say(event.Info, "engine-up", "a scan engine answers", "engine", e.Name(), "version", h.Version)
			}
		}
	}
}

// Shutdown drains: /readyz says so, running exchanges end, then all closes. What
// does not end before ctx does is cut.
func (n *Node) Shutdown(ctx context.Context) error {
	n.draining.Store(true)
	n.say(event.Info, "node-stopping", "the node stops")
	n.awaitQuiet(ctx)
	var errs []error
	if err := n.server.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("drain: %w", err))
	}
	errs = append(errs, n.closeParts(context.WithoutCancel(ctx)))
	n.serving.Wait()
	return errors.Join(errs...)
}

// awaitQuiet lets the exchanges end that have begun.
func (n *Node) awaitQuiet(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	tick := time.NewTicker(min(max(n.cfg.Quiet/10, time.Millisecond), 100*time.Millisecond))
	defer tick.Stop()
	seen, since := int64(-1), time.Now()
	for {
		t := n.engine.Stats().Totals()
		if t.Begun != seen || t.Active > 0 {
			seen, since = t.Begun, time.Now()
		}
		if time.Since(since) >= n.cfg.Quiet {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// eventsClose is how long the event engine gets to write out in order.
const eventsClose = 25 * time.Second

func (n *Node) closeParts(ctx context.Context) error {
	var errs []error
	for _, s := range []*http.Server{n.control, n.admin} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	n.reloading.Lock() // a reload that runs comes to its end, and none begins any more
	defer n.reloading.Unlock()
	n.retiring.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	n.engines.retire(ctx, nil, n.log)
	if n.events != nil {
		ctx, cancel := context.WithTimeout(ctx, eventsClose)
		defer cancel()
		errs = append(errs, n.events.Close(ctx))
	}
	return errors.Join(errs...)
}
