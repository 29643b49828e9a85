package event

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"sluice/internal/child"
)

// engineFlush is how often the engine writes what it holds in memory to disk.
const engineFlush = 2 * time.Second

// endpoint is where the engine answers.
type endpoint struct {
	base string // URL without a trailing slash; empty while unknown
	user *url.Userinfo
	// generation changes when the engine was started again, and with it what
	// it had only in memory was lost.
	generation uint64
}

// engine supervises the event engine, or just knows where an external one is.
type engine struct {
	cfg      Config
	external bool
	changed  chan struct{} // capacity one: the endpoint is new

	stopStarting context.CancelFunc
	starter      sync.WaitGroup

	mu    sync.Mutex
	at    endpoint
	child *child.Child
	err   error // why it does not run
}

// newEngine starts the child in the background: Sluice does not wait for it.
func newEngine(ctx context.Context, cfg Config) (*engine, error) {
	e := &engine{cfg: cfg, external: cfg.Engine != "", changed: make(chan struct{}, 1), stopStarting: func() {}}
	if e.external {
		u, err := url.Parse(cfg.Engine)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("event engine %q: want a URL like http://host:9428", cfg.Engine)
		}
		e.at.user = u.User
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		e.at.base = string(bytes.TrimRight([]byte(u.String()), "/"))
		return e, nil
	}
	if cfg.Binary == "" {
		return nil, errors.New("event engine: neither a URL nor a program is configured")
	}
	secret := rand.Text()
	file := filepath.Join(cfg.Dir, "engine.password")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		return nil, fmt.Errorf("event engine: write its password: %w", err)
	}
	e.at.user = url.UserPassword("sluice", secret)
	// The child lives until close stops it, whatever becomes of ctx.
	living := context.WithoutCancel(ctx)
	starting, stop := context.WithCancel(living)
	e.stopStarting = stop
	e.starter.Go(func() { e.start(living, starting, file) })
	return e, nil
}

// start keeps trying until the program runs once; from then on child keeps it
// running.
func (e *engine) start(living, starting context.Context, passwordFile string) {
	const again = 2 * time.Second
	for {
		c, err := child.Start(living, child.Config{
			Name: "event engine", Path: e.cfg.Binary, Args: e.args(passwordFile), Env: e.env(),
			Nice: e.cfg.EngineNice, StopTimeout: 20 * time.Second,
			MinBackoff: 50 * time.Millisecond, MaxBackoff: 2 * time.Second,
			Log: e.cfg.Log, Output: e.output,
		})
		e.mu.Lock()
		e.child, e.err = c, err
		e.mu.Unlock()
		if err == nil {
			return
		}
		select {
		case <-starting.Done():
			return
		case <-time.After(again):
		}
	}
}

func (e *engine) args(passwordFile string) []string {
	args := []string{
		// The kernel picks a free port, and the program tells it when it
		// starts. It cannot listen on a Unix socket.
		"-httpListenAddr=127.0.0.1:0",
		"-httpAuth.username=sluice",
		"-httpAuth.password=file://" + passwordFile,
		"-storageDataPath=" + filepath.Join(e.cfg.Dir, "store"),
		"-retentionPeriod=" + strconv.Itoa(e.cfg.RetentionDays) + "d",
		"-inmemoryDataFlushInterval=" + engineFlush.String(),
		"-memory.allowedBytes=" + strconv.FormatInt(e.cfg.EngineMemory/4, 10),
		"-insert.maxLineSizeBytes=" + strconv.Itoa(maxLine+1),
		"-search.maxConcurrentRequests=4",
		"-search.maxQueryDuration=30s",
		"-search.maxQueryLen=65536",
		"-http.disableResponseCompression",
		"-http.connTimeout=1h",
		"-loggerOutput=stdout",
	}
	if e.cfg.RetentionBytes > 0 {
		args = append(args, "-retention.maxDiskSpaceUsageBytes="+strconv.FormatInt(e.cfg.RetentionBytes, 10))
	}
	return args
}

func (e *engine) env() []string {
	env := []string{"GOMEMLIMIT=" + strconv.FormatInt(e.cfg.EngineMemory, 10)}
	if e.cfg.EngineProcs > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(e.cfg.EngineProcs))
	}
	return env
}

// output reads the program's own log: "time<tab>level<tab>place<tab>text".
func (e *engine) output(line []byte) {
	parts := bytes.SplitN(line, []byte{'\t'}, 4)
	if len(parts) != 4 {
		e.cfg.Log.Debug("event engine says", "line", string(line))
		return
	}
	if base, ok := bytes.CutPrefix(parts[3], []byte("started server at ")); ok {
		e.mu.Lock()
		e.at.base = string(bytes.TrimRight(base, "/"))
		e.at.generation++
		e.mu.Unlock()
		notify(e.changed)
	}
	switch string(parts[1]) {
	case "info":
	case "warn":
		e.cfg.Log.Warn("event engine says", "text", string(parts[3]))
	default:
		e.cfg.Log.Error("event engine says", "level", string(parts[1]), "text", string(parts[3]))
	}
}

// current is where the engine is to be found now; ok is false while it has
// never run.
func (e *engine) current() (endpoint, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at, e.at.base != ""
}

// sawStart tells the start time that an external engine says of itself.
func (e *engine) sawStart(unix uint64) {
	if !e.external {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at.generation = unix
}

// state says whether the program runs (an external one counts as running), its
// process id, how often it was restarted, and why it does not run.
func (e *engine) state() (running bool, pid, restarts int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.external {
		return true, 0, 0, nil
	}
	if e.child == nil {
		return false, 0, 0, e.err
	}
	pid = e.child.PID()
	return pid != 0, pid, e.child.Restarts(), nil
}

// close ends the program; nil means that it has written everything to disk.
func (e *engine) close(ctx context.Context) error {
	if e.external {
		return errors.New("an external engine goes on")
	}
	e.stopStarting()
	e.starter.Wait()
	e.mu.Lock()
	c := e.child
	e.mu.Unlock()
	if c == nil {
		return errors.New("the event engine never ran")
	}
	return c.Stop(ctx)
}

// discard is a logger for a Config without one.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
