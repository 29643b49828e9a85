package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"sluice/internal/scan"
	"sluice/internal/settings"
)

// systemSignatures is where freshclam keeps ClamAV's own databases.
const systemSignatures = "/var/lib/clamav"

// clamdProgram is Debian's.
const clamdProgram = "/usr/sbin/clamd"

// closer ends an engine.
type closer func(context.Context) error

// runningEngine is an engine that is kept from one revision to the next as long
// as the settings want the same.
type runningEngine struct {
	key    string
	engine scan.Engine
	close  closer // nil: nothing to close
}

// engineSet is the engines of one revision, in the order in which they are asked:
// hash lists first, they cost next to nothing.
type engineSet []*runningEngine

func (es engineSet) engines() []scan.Engine {
	out := make([]scan.Engine, len(es))
	for i, e := range es {
		out[i] = e.engine
	}
	return out
}

func (es engineSet) find(key string) *runningEngine {
	for _, e := range es {
		if e.key == key {
			return e
		}
	}
	return nil
}

// retire closes the engines of es that next does not use any more.
func (es engineSet) retire(ctx context.Context, next engineSet, log *slog.Logger) {
	for _, e := range es {
		if next.find(e.key) == nil && e.close != nil {
			if err := e.close(ctx); err != nil {
				log.Warn("close engine", "engine", e.engine.Name(), "error", err)
			}
		}
	}
}

// Bounds of a change of engines.
const (
	engineStart = 2 * time.Minute // for loading signatures
	engineGrace = time.Second     // in which a transaction goes on to its next object
	engineEnd   = 3 * time.Minute // for the longest scan
	engineLook  = 50 * time.Millisecond
)

// awaitEngines waits until fresh engines have left their start behind them, so
// that nothing is blocked meanwhile for want of an engine.
func (n *Node) awaitEngines(ctx context.Context, engines engineSet) {
	n.poll(ctx, engineStart, func() bool {
		for _, e := range engines {
			if e.engine.Health().State == scan.Starting && n.engines.find(e.key) == nil {
				return false
			}
		}
		return true
	})
}

// retireEngines ends the engines of old that next has not, once the transactions
// that began with them have no more to ask of them.
func (n *Node) retireEngines(ctx context.Context, old, next engineSet) {
	gone := slices.DeleteFunc(slices.Clone(old), func(e *runningEngine) bool { return e.close == nil || next.find(e.key) != nil })
	if len(gone) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &leaving{cancel, make(chan struct{})}
	for _, e := range gone {
		n.leaving[e.key] = l
	}
	n.retiring.Go(func() {
		defer close(l.ended)
		defer cancel()
		quiet := time.Now()
		n.poll(ctx, engineEnd, func() bool {
			for _, e := range gone {
				if h := e.engine.Health(); h.Busy+h.Queue > 0 {
					quiet = time.Now()
				}
			}
			return time.Since(quiet) > engineGrace
		})
		gone.retire(context.WithoutCancel(ctx), nil, n.log)
	})
}

// leaving is engines on their way out.
type leaving struct {
	hurry context.CancelFunc
	ended chan struct{}
}

// clearWay ends engines on their way out that are wanted again: two cannot share
// one directory.
func (n *Node) clearWay(want []wantedEngine) {
	for _, w := range want {
		if l := n.leaving[w.key]; l != nil {
			l.hurry()
			<-l.ended
			delete(n.leaving, w.key)
		}
	}
}

// poll asks until the answer is yes, time is up or the node stops.
func (n *Node) poll(ctx context.Context, limit time.Duration, ok func() bool) {
	tick := time.NewTicker(engineLook)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok() && time.Now().Before(end) && !n.draining.Load(); {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// wantedEngine is an engine that the settings name: key tells it from others.
type wantedEngine struct {
	key  string
	open func(context.Context) (scan.Engine, closer, error)
}

// openEngines keeps what old has and starts the rest. On an error nothing new
// stays open, and old is as it was.
func openEngines(ctx context.Context, want []wantedEngine, old engineSet, log *slog.Logger) (engineSet, error) {
	var next engineSet
	for _, w := range want {
		if e := old.find(w.key); e != nil {
			next = append(next, e)
			continue
		}
		engine, end, err := w.open(ctx)
		if err != nil {
			next.retire(ctx, old, log)
			return nil, err
		}
		next = append(next, &runningEngine{w.key, engine, end})
	}
	return next, nil
}

// wantedEngines reads the settings.
func (p Paths) wantedEngines(s *settings.Settings, log *slog.Logger) []wantedEngine {
	var out []wantedEngine
	for i := range s.Engines.HashLists {
		out = append(out, p.hashList(&s.Engines.HashLists[i]))
	}
	if c := &s.Engines.Clamd; c.Mode != "off" {
		out = append(out, p.clamdEngine(clamdWant{*c, time.Duration(s.Protection.Limits.Time), s.Protection.Limits.Depth}, log))
	}
	return out
}

func (p Paths) hashList(h *settings.HashList) wantedEngine {
	stamp, _ := stampOf(h.File) // a missing file is the opening's error
	return wantedEngine{
		key: fmt.Sprintf("hashlist %+v %v", *h, stamp),
		open: func(ctx context.Context) (scan.Engine, closer, error) {
			l, err := scan.NewHashList(ctx, scan.HashListConfig{Name: h.Name, Path: h.File, CacheDir: p.hashLists()})
			if err != nil {
				return nil, nil, fmt.Errorf("engines.hashlists: %w", err)
			}
			return l, nil, nil
		},
	}
}

// clamdWant is everything that a clamd engine is made by.
type clamdWant struct {
	settings.Clamd
	limit time.Duration
	depth int
}

func (p Paths) clamdEngine(w clamdWant, log *slog.Logger) wantedEngine {
	key := fmt.Sprintf("clamd %+v", w)
	sum := sha256.Sum256([]byte(key))
	return wantedEngine{
		key: key,
		open: func(ctx context.Context) (scan.Engine, closer, error) {
			if w.Mode == "external" {
				return w.external()
			}
			// A clamd of other settings runs until this one is in force: each
			// has a directory of its own.
			return p.ownClamd(ctx, w, filepath.Join(p.clamd(), hex.EncodeToString(sum[:4])), log)
		},
	}
}

// externalCacheAge bounds how long a verdict of an external clamd is used: it
// does not tell when its local databases change.
const externalCacheAge = time.Hour

func (w clamdWant) external() (scan.Engine, closer, error) {
	network := "tcp"
	if strings.HasPrefix(w.Socket, "/") {
		network = "unix"
	}
	e, err := scan.NewClamd(scan.ClamdConfig{
		Network: network, Address: w.Socket, Sessions: w.Sessions, MaxObject: int64(w.MaxObject), MaxTime: w.limit,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("engines.clamd: %w", err)
	}
	return e, func(context.Context) error { return e.Close() }, nil
}

// ownClamd starts clamd. Where it cannot be started, the engine is down and says
// why: the fail policy decides what passes, and the node lives.
func (p Paths) ownClamd(ctx context.Context, w clamdWant, dir string, log *slog.Logger) (scan.Engine, closer, error) {
	e, err := w.startChild(ctx, cmp.Or(w.Signatures, p.signatures()), dir, log)
	if err == nil {
		return e, func(ctx context.Context) error { return errors.Join(e.Close(ctx), os.RemoveAll(dir)) }, nil
	}
	log.Error("engine down", "engine", "clamd", "error", err)
	return absentEngine{"clamd", err, time.Now()}, nil, nil
}

func (w clamdWant) startChild(ctx context.Context, signatures, dir string, log *slog.Logger) (*scan.ClamdChild, error) {
	if _, err := os.Stat(clamdProgram); err != nil {
		return nil, errors.New("clamd is not installed: apt-get install clamav-daemon, or set engines.clamd.mode to off")
	}
	sessions := w.Sessions
	if sessions == 0 {
		sessions = max(4, 2*runtime.NumCPU())
	}
	return scan.StartClamdChild(ctx, scan.ClamdChildConfig{
		Program: clamdProgram, Dir: dir, Signatures: signatures, System: systemSignatures,
		Sessions: sessions, MaxObject: int64(w.MaxObject), MaxTime: w.limit, MaxRecursion: w.depth,
		AlertEncrypted: true, AlertMacros: true, Log: log,
	})
}

// absentEngine stands for an engine that could not be started.
type absentEngine struct {
	name  string
	err   error
	since time.Time
}

// Name is the engine's name.
func (a absentEngine) Name() string { return a.name }

// Version is always the same.
func (a absentEngine) Version() string { return "absent" }

// Scan fails.
func (a absentEngine) Scan(context.Context, *scan.Object) scan.Result {
	return scan.Result{Engine: a.name, Status: scan.Error, Detail: a.err.Error()}
}

// Health is down.
func (a absentEngine) Health() scan.Health {
	return scan.Health{State: scan.Down, Since: a.since, LastError: a.err.Error(), LastErrorAt: a.since, Version: "absent"}
}
