package scan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/internal/child"
)

// ClamdChildConfig says how to run a clamd of our own. Zero limits take the
// defaults named.
type ClamdChildConfig struct {
	Name    string // of the engine; "clamd" by default
	Program string // "/usr/sbin/clamd" by default
	// Dir holds configuration, socket, databases and temporary files of
	// clamd; an absolute path without blanks, at most 92 bytes.
	Dir string
	// Signatures is the directory of our signatures: every file of a type
	// that clamd knows, YARA rules (.yar) included, is loaded, and again when
	// it changes. It is created when missing. Write a file elsewhere and
	// rename it into place.
	Signatures string
	// System is a directory of databases kept by somebody else, as freshclam
	// keeps /var/lib/clamav; empty or missing means none.
	System string
	// User is the account that clamd runs as when Sluice runs as root;
	// "clamav" by default.
	User string
	Nice int // as child.Config

	Sessions, Queue int           // as ClamdConfig
	MaxObject       int64         // as ClamdConfig; cut to 2 GiB - 3, which is all that clamd takes
	MaxScan         int64         // bytes scanned of one object, unpacked, cut to 4 GiB - 2; 4 times MaxObject by default
	MaxRecursion    int           // depth of containers; 32 by default
	MaxFiles        int           // members of a container; 10,000 by default
	MaxTime         time.Duration // as ClamdConfig
	PollInterval    time.Duration // as ClamdConfig; also of the look at the signatures

	// HangTimeout is how long a clamd that has answered before may stay silent
	// until it is killed and started again; a minute by default.
	HangTimeout time.Duration

	AlertEncrypted bool // Encrypted for what cannot be read without a password
	AlertMacros    bool // Macro for documents with VBA macros

	Log *slog.Logger // clamd's starts, ends and errors; nil means none
}

// maxLogged bounds the lines of clamd that are logged in one poll interval:
// scanned objects can provoke them.
const maxLogged = 10

// ClamdChild is a clamd that Sluice runs itself. It restarts clamd when it
// ends, reloads its signatures when they change, and leaves out a file that
// clamd cannot load, saying so in Health.
type ClamdChild struct {
	*Clamd
	cfg   ClamdChildConfig
	dir   string // as used: Config.Dir, or where the account can reach it
	conf  string // digest of clamd.conf
	child *child.Child

	credential *syscall.Credential
	cancel     context.CancelFunc
	done       chan struct{}
	again      chan struct{} // look at the signatures now

	mu        sync.Mutex // the fields below
	staged    signatureSet
	digest    string // of staged
	seen      string // digest of what lay there at the last look
	reload    bool   // clamd must be told of staged
	reloading bool   // clamd loads
	settle    bool   // clamd has loaded; certain at the next look
	unsettled int64  // not 0: clamd may use another database than staged
	pid       int    // of the last look
	killed    int    // the last process that hung
	problems  map[string]problem
	lookErr   error
	lastLine  string
	changed   time.Time
	logged    int
}

// problem is a signature file that clamd did not take.
type problem struct {
	file    signature
	text    string
	exclude bool
}

// StartClamdChild starts clamd and returns at once; Health says Starting until
// it answers. ctx lends its values only: Close ends clamd.
func StartClamdChild(ctx context.Context, cfg ClamdChildConfig) (*ClamdChild, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("clamd as a child: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &ClamdChild{
		cfg: cfg, done: make(chan struct{}), again: make(chan struct{}, 1), problems: map[string]problem{}, changed: time.Now(),
	}
	if err := c.start(ctx); err != nil {
		return nil, fmt.Errorf("clamd as a child: %w", errors.Join(err, c.removeDir()))
	}
	return c, nil
}

func (c *ClamdChild) start(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	cfg := &c.cfg
	client := ClamdConfig{
		Name: cfg.Name, Network: "unix", Address: socketPath(c.dir), Sessions: cfg.Sessions, Queue: cfg.Queue,
		MaxObject: cfg.MaxObject, MaxTime: cfg.MaxTime, PollInterval: cfg.PollInterval,
	}
	var err error
	if c.Clamd, err = newClamd(client, false); err != nil {
		return err
	}
	c.publish()
	ctx = context.WithoutCancel(ctx)
	c.child, err = child.Start(ctx, child.Config{
		Name: cfg.Name, Path: cfg.Program, Args: []string{"--config-file=" + confPath(c.dir)},
		Credential: c.credential, Nice: cfg.Nice, Log: cfg.Log, Output: c.line,
	})
	if err != nil {
		return errors.Join(err, c.Clamd.Close())
	}
	loop, cancel := context.WithCancel(ctx)
	c.cancel = cancel
	go c.run(loop)
	return nil
}

// removeDir removes the directory that took the place of Config.Dir, if any.
func (c *ClamdChild) removeDir() error {
	if c.dir == "" || c.dir == c.cfg.Dir {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// prepare makes the directories, the configuration and the first databases.
func (c *ClamdChild) prepare() error {
	account, err := accountFor(c.cfg.User)
	if err != nil {
		return err
	}
	c.credential = (*syscall.Credential)(account)
	if c.dir, err = account.ownDir(c.cfg.Dir); err != nil {
		return err
	}
	conf, err := clamdConf(&c.cfg, c.dir)
	if err != nil {
		return err
	}
	if err := account.layout(c.dir); err != nil {
		return err
	}
	if c.cfg.Signatures != "" {
		if err := os.MkdirAll(c.cfg.Signatures, 0o750); err != nil {
			return err
		}
	}
	sum := sha256.Sum256(conf)
	c.conf = hex.EncodeToString(sum[:4])
	if err := writeAtomic(confPath(c.dir), bytes.NewReader(conf), time.Time{}); err != nil {
		return err
	}
	set, err := listSignatures(c.cfg.Signatures, c.cfg.System)
	if err != nil {
		return err
	}
	if err := set.stage(databaseDir(c.dir)); err != nil {
		return err
	}
	c.staged, c.digest, c.seen = set, set.digest(), set.digest()
	return nil
}

// Close stops clamd; it is killed when ctx ends before it did.
func (c *ClamdChild) Close(ctx context.Context) error {
	c.cancel()
	<-c.done
	return errors.Join(c.child.Stop(ctx), c.Clamd.Close(), c.removeDir())
}

// PID is clamd's process id, 0 while it is down.
func (c *ClamdChild) PID() int { return c.child.PID() }

// run looks at the signatures and the process from time to time.
func (c *ClamdChild) run(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(c.cfg.PollInterval)
	defer tick.Stop()
	for {
		hurry := false
		select {
		case <-ctx.Done():
			return
		case <-c.again:
			hurry = true
		case <-tick.C:
		}
		err := c.look(ctx, hurry)
		c.mu.Lock()
		c.lookErr = err
		c.mu.Unlock()
	}
}

// look stages signatures that changed and has clamd load them. Without hurry it
// waits until nothing changed since the last look: files may still be written.
func (c *ClamdChild) look(ctx context.Context, hurry bool) error {
	set, err := listSignatures(c.cfg.Signatures, c.cfg.System)
	if err != nil {
		return err
	}
	if c.observe(set, hurry) {
		if err := set.stage(databaseDir(c.dir)); err != nil {
			c.mu.Lock()
			c.digest = "" // once more at the next look
			c.mu.Unlock()
			return err
		}
	}
	c.mu.Lock()
	send := c.reload && !c.reloading && c.pid != 0
	c.mu.Unlock()
	if !send {
		return nil
	}
	return c.sendReload(ctx)
}

// observe tells whether the set, without what clamd does not take, must be
// staged.
func (c *ClamdChild) observe(set signatureSet, hurry bool) bool {
	health, peer := c.watch.health(), c.watch.peerPID()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logged = 0
	c.observeProcess(health, peer)
	if c.settle {
		c.settle, c.unsettled = false, 0
		c.publish()
	}
	for name, p := range c.problems {
		switch now, ok := set[name]; {
		case !ok || now != p.file:
			delete(c.problems, name)
		case p.exclude:
			delete(set, name)
		}
	}
	digest := set.digest()
	stable := digest == c.seen || hurry
	c.seen = digest
	if digest == c.digest || !stable || c.reloading {
		return false
	}
	c.staged, c.digest, c.reload = maps.Clone(set), digest, true
	c.unsettle()
	return true
}

// observeProcess notices a fresh clamd, and ends one that has answered and does
// so no more. Called with the lock held.
func (c *ClamdChild) observeProcess(h Health, peer int) {
	if pid := c.child.PID(); pid != c.pid {
		// A fresh process loads what is staged, unless it began before that.
		c.pid, c.reloading, c.settle = pid, false, pid != 0 && !c.reload
		return
	}
	if h.State == Down && c.pid != 0 && c.pid == peer && c.pid != c.killed && time.Since(h.Since) > c.cfg.HangTimeout {
		c.cfg.Log.Warn("clamd hangs and is killed", "engine", c.cfg.Name, "pid", c.pid, "since", h.Since)
		_ = syscall.Kill(c.pid, syscall.SIGKILL) // gone by itself is as good
		c.killed = c.pid
	}
}

func (c *ClamdChild) sendReload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	answer, _, err := c.command(ctx, "RELOAD")
	if err == nil && string(answer) != "RELOADING" {
		err = badAnswer(answer)
	}
	if err != nil {
		return fmt.Errorf("ask clamd to reload its signatures: %w", err)
	}
	c.mu.Lock()
	c.reload = false
	c.mu.Unlock()
	return nil
}

// unsettle makes a version of its own for a time in which it is not certain
// which database clamd uses. Called with the lock held, as publish.
func (c *ClamdChild) unsettle() {
	c.unsettled = time.Now().UnixNano()
	c.publish()
}

func (c *ClamdChild) publish() {
	v := "conf " + c.conf + " db " + c.digest
	if c.unsettled != 0 {
		v += fmt.Sprintf(" unsettled %d", c.unsettled)
	}
	c.watch.setExtra(v)
}

// line reads what clamd prints. While it loads, scans still see the old
// database: no verdict of that time may outlive it.
func (c *ClamdChild) line(b []byte) {
	text := string(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.HasPrefix(text, "Reading databases from "):
		c.reloading, c.changed = true, time.Now()
		c.unsettle()
	case strings.HasPrefix(text, "Activating the newly loaded database"):
		c.reloading, c.settle, c.changed = false, true, time.Now()
	case strings.Contains(text, "Database reload failed"):
		c.reloading, c.changed = false, time.Now()
		c.lookAgain()
	case strings.HasPrefix(text, "LibClamAV Error: Can't load "):
		path, reason, _ := strings.Cut(strings.TrimPrefix(text, "LibClamAV Error: Can't load "), ": ")
		c.refuse(filepath.Base(path), reason, true)
	case strings.HasPrefix(text, "LibClamAV Warning: cli_loadyara: failed to parse or load "):
		if _, rest, ok := strings.Cut(text, " from file "); ok {
			path, _, _ := strings.Cut(rest, ", ")
			c.refuse(filepath.Base(path), "not all of its YARA rules could be loaded", false)
		}
	}
	if strings.HasPrefix(text, "ERROR: ") || strings.HasPrefix(text, "LibClamAV Error: ") {
		c.lastLine = text
		if c.logged++; c.logged <= maxLogged {
			c.cfg.Log.Warn("clamd reports", "engine", c.cfg.Name, "line", text)
		}
	}
}

// refuse remembers that clamd did not take a file as it is now. Called with the
// lock held.
func (c *ClamdChild) refuse(name, reason string, exclude bool) {
	file, ok := c.staged[name]
	if !ok {
		return
	}
	text := fmt.Sprintf("signature file %s: %s", file.path, reason)
	if exclude {
		text += "; clamd runs without it"
	}
	c.problems[name] = problem{file: file, text: text, exclude: exclude}
	c.changed = time.Now()
	c.lookAgain()
}

func (c *ClamdChild) lookAgain() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// Health is that of the client, and what only the owner of clamd knows.
func (c *ClamdChild) Health() Health {
	h := c.Clamd.Health()
	pid := c.child.PID()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case h.State == Down && pid == 0:
		h.LastError, h.LastErrorAt = "clamd is not running and will be started again", time.Now()
		if c.lastLine != "" {
			h.LastError += "; it last said: " + c.lastLine
		}
	case h.State == Down && pid != c.watch.peerPID():
		h.State = Starting
	case h.State == OK && c.reloading:
		h.State, h.Since = Reloading, c.changed
	case h.State == OK && (len(c.problems) > 0 || c.lookErr != nil):
		h.State, h.Since, h.LastErrorAt = Degraded, c.changed, c.changed
		h.LastError = c.troubles()
	}
	return h
}

func (c *ClamdChild) troubles() string {
	var texts []string
	for _, p := range c.problems {
		texts = append(texts, p.text)
	}
	slices.Sort(texts)
	if c.lookErr != nil {
		texts = append(texts, c.lookErr.Error())
	}
	return strings.Join(texts, "; ")
}
