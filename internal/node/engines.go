package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"sluice/internal/scan"
	"sluice/internal/settings"
)

// systemSignatures is where freshclam keeps ClamAV's own databases.
const systemSignatures = "/var/lib/clamav"

// clamdProgram is Debian's.
const clamdProgram = "/usr/sbin/clamd"

// runningEngine is an engine that is kept from one revision to the next as long
// as the settings want the same.
type runningEngine struct {
	key    string
	engine scan.Engine
	close  io.Closer // nil: nothing to close
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
func (es engineSet) retire(next engineSet, log *slog.Logger) {
	for _, e := range es {
		if next.find(e.key) == nil && e.close != nil {
			if err := e.close.Close(); err != nil {
				log.Warn("close engine", "engine", e.engine.Name(), "error", err)
			}
		}
	}
}

// wantedEngine is an engine that the settings name: key tells it from others.
type wantedEngine struct {
	key  string
	open func(context.Context) (scan.Engine, io.Closer, error)
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
		engine, closer, err := w.open(ctx)
		if err != nil {
			next.retire(old, log)
			return nil, err
		}
		next = append(next, &runningEngine{w.key, engine, closer})
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
		out = append(out, p.clamdEngine(c, time.Duration(s.Protection.Limits.Time), s.Protection.Limits.Depth, log))
	}
	return out
}

func (p Paths) hashList(h *settings.HashList) wantedEngine {
	stamp, _ := stampOf(h.File) // a missing file is the opening's error
	return wantedEngine{
		key: fmt.Sprintf("hashlist %+v %v", *h, stamp),
		open: func(ctx context.Context) (scan.Engine, io.Closer, error) {
			l, err := scan.NewHashList(ctx, scan.HashListConfig{Name: h.Name, Path: h.File, CacheDir: p.hashLists()})
			if err != nil {
				return nil, nil, fmt.Errorf("engines.hashlists: %w", err)
			}
			return l, l, nil
		},
	}
}

func (p Paths) clamdEngine(c *settings.Clamd, limit time.Duration, depth int, log *slog.Logger) wantedEngine {
	return wantedEngine{
		key: fmt.Sprintf("clamd %+v %v %d", *c, limit, depth),
		open: func(ctx context.Context) (scan.Engine, io.Closer, error) {
			if c.Mode == "external" {
				return externalClamd(c, limit)
			}
			return p.ownClamd(ctx, c, limit, depth, log)
		},
	}
}

// externalCacheAge bounds how long a verdict of an external clamd is used: it
// does not tell when its local databases change.
const externalCacheAge = time.Hour

func externalClamd(c *settings.Clamd, limit time.Duration) (scan.Engine, io.Closer, error) {
	network := "tcp"
	if strings.HasPrefix(c.Socket, "/") {
		network = "unix"
	}
	e, err := scan.NewClamd(scan.ClamdConfig{
		Network: network, Address: c.Socket, Sessions: c.Sessions, MaxObject: int64(c.MaxObject), MaxTime: limit,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("engines.clamd: %w", err)
	}
	return e, e, nil
}

// ownClamd starts clamd. Where it cannot be started, the engine is down and says
// why: the fail policy decides what passes, and the node lives.
func (p Paths) ownClamd(ctx context.Context, c *settings.Clamd, limit time.Duration, depth int, log *slog.Logger) (scan.Engine, io.Closer, error) {
	signatures := c.Signatures
	if signatures == "" {
		signatures = p.signatures()
	}
	if _, err := os.Stat(clamdProgram); err != nil {
		err = errors.New("clamd is not installed: apt-get install clamav-daemon, or set engines.clamd.mode to off")
		log.Error("engine down", "engine", "clamd", "error", err)
		return absentEngine{"clamd", err, time.Now()}, nil, nil
	}
	e, err := scan.StartClamdChild(ctx, scan.ClamdChildConfig{
		Program: clamdProgram, Dir: p.clamd(), Signatures: signatures, System: systemSignatures,
		Sessions: c.Sessions, MaxObject: int64(c.MaxObject), MaxTime: limit, MaxRecursion: depth,
		AlertEncrypted: true, AlertMacros: true, Log: log,
	})
	if err != nil {
		log.Error("engine down", "engine", "clamd", "error", err)
		return absentEngine{"clamd", err, time.Now()}, nil, nil
	}
	return e, e, nil
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
