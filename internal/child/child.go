package child

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Config describes the program to keep running.
type Config struct {
	Name string   // for messages
	Path string   // of the program; no shell, no search in $PATH
	Args []string // without the program's name
	Env  []string // "KEY=value", added to Sluice's own environment
	Dir  string   // working directory; empty is Sluice's own

	// Credential is who the program runs as; nil is Sluice's own account. A
	// program that changes its account itself loses the signal that ends it
	// together with Sluice (prctl(2), PR_SET_PDEATHSIG).
	Credential *syscall.Credential

	// Nice is the program's priority, -20 to 19; 0 leaves it alone. Above 0
	// the program also runs as SCHED_BATCH, so that its waking up does not
	// interrupt traffic, and in long slices, so that traffic interrupts it.
	Nice int

	// StopTimeout is what the program gets between SIGTERM and SIGKILL;
	// 0 means 5 s.
	StopTimeout time.Duration
	// MinBackoff is the wait before the second restart in a row, doubled with
	// each further one up to MaxBackoff; the first restart comes at once. A
	// program that ran for MaxBackoff starts anew in this count. 0 means
	// 200 ms and 10 s.
	MinBackoff, MaxBackoff time.Duration

	// Log gets starts and ends; nil means none.
	Log *slog.Logger
	// Output gets every line that the program prints, without its line end,
	// cut at MaxLine bytes; the slice is valid during the call only. Calls
	// come one at a time. nil sends the lines to Log.
	Output func(line []byte)
}

// Child is one supervised program. Its methods are safe for concurrent use.
type Child struct {
	cfg      Config
	stop     chan struct{} // closed: shut down
	stopOnce sync.Once
	kill     chan struct{} // closed: do not wait for the program's own end
	killOnce sync.Once
	done     chan struct{} // closed: supervisor has ended
	pid      atomic.Int64
	restarts atomic.Int64
	forced   atomic.Bool // SIGKILL was needed to end it
}

// Start runs the program and supervises it until Stop is called or ctx ends. It
// fails when the program cannot be started the first time.
func Start(ctx context.Context, cfg Config) (*Child, error) {
	cfg.StopTimeout = cmp.Or(cfg.StopTimeout, 5*time.Second)
	cfg.MinBackoff = cmp.Or(cfg.MinBackoff, 200*time.Millisecond)
	cfg.MaxBackoff = cmp.Or(cfg.MaxBackoff, 10*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Output == nil {
		cfg.Output = func(line []byte) { cfg.Log.Info("output", "child", cfg.Name, "line", string(line)) }
	}
	c := &Child{cfg: cfg, stop: make(chan struct{}), kill: make(chan struct{}), done: make(chan struct{})}
	first := make(chan error, 1)
	go c.supervise(ctx, first)
	if err := <-first; err != nil {
		<-c.done
		return nil, err
	}
	return c, nil
}

// PID is the program's process id, 0 while it is down.
func (c *Child) PID() int { return int(c.pid.Load()) }

// Restarts counts how often the program was started again.
func (c *Child) Restarts() int { return int(c.restarts.Load()) }

// Stop ends the program and its supervision: SIGTERM, and SIGKILL after
// Config.StopTimeout or once ctx ends. When it returns, the program is gone;
// the error says that it did not end by itself. Further calls do nothing more.
func (c *Child) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { close(c.stop) })
	select {
	case <-c.done:
	case <-ctx.Done():
		c.killOnce.Do(func() { close(c.kill) })
		<-c.done
	}
	if c.forced.Load() {
		return fmt.Errorf("stop %s: it did not end when asked to and was killed", c.cfg.Name)
	}
	return nil
}

// supervise owns one OS thread for its whole life and never gives it back. The
// kernel sends the parent-death signal when the thread that forked ends, so
// that thread must live as long as the program does; and the program inherits
// its priority from that thread, which could not be raised again later.
func (c *Child) supervise(ctx context.Context, first chan<- error) {
	defer close(c.done)
	runtime.LockOSThread()
	if err := lowerPriority(c.cfg.Nice); err != nil {
		first <- fmt.Errorf("start %s: %w", c.cfg.Name, err)
		return
	}
	backoff := time.Duration(0)
	for {
		began := time.Now()
		p, err := c.launch(ctx)
		if first != nil {
			first <- err
			if err != nil {
				return
			}
			first = nil
		}
		if err == nil {
			err = p.wait()
			c.pid.Store(0)
		}
		if c.stopping(ctx) {
			return
		}
		if time.Since(began) >= c.cfg.MaxBackoff {
			backoff = 0
		}
		c.cfg.Log.Warn("child ended, starting it again", "child", c.cfg.Name, "error", err, "after", backoff)
		if !c.pause(ctx, backoff) {
			return
		}
		backoff = min(max(2*backoff, c.cfg.MinBackoff), c.cfg.MaxBackoff)
		c.restarts.Add(1)
	}
}

func (c *Child) stopping(ctx context.Context) bool {
	select {
	case <-c.stop:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

func (c *Child) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return !c.stopping(ctx)
	case <-c.stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// longSlice lets the kernel (from 6.12 on; others ignore it) interrupt the
// program at once when a thread with a slice of the usual length wakes up, where
// it else waits for the end of the slice. The share of the processor stays.
const longSlice = 50 * time.Millisecond

// lowerPriority acts on the calling thread alone: on Linux priorities belong to
// threads (setpriority(2), "C library/kernel differences").
func lowerPriority(nice int) error {
	if nice == 0 {
		return nil
	}
	if nice < -20 || nice > 19 {
		return fmt.Errorf("nice is %d, want -20 to 19", nice)
	}
	if nice > 0 {
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: int32(nice), Runtime: uint64(longSlice)}
		if unix.SchedSetAttr(0, &attr, 0) == nil {
			return nil
		}
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice); err != nil {
		return fmt.Errorf("set priority %d: %w", nice, err)
	}
	return nil
}

// launch starts the program once. It must run on the supervisor's thread.
func (c *Child) launch(ctx context.Context) (*process, error) {
	out := &lineWriter{emit: c.cfg.Output}
	cmd := exec.Command(c.cfg.Path, c.cfg.Args...)
	cmd.Dir = c.cfg.Dir
	cmd.Env = append(os.Environ(), c.cfg.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	// A grandchild may keep the output pipe open for ever.
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: c.cfg.Credential}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.cfg.Name, err)
	}
	c.pid.Store(int64(cmd.Process.Pid))
	c.cfg.Log.Info("child started", "child", c.cfg.Name, "pid", cmd.Process.Pid)
	p := &process{cmd: cmd, out: out, ended: make(chan struct{})}
	p.ender.Go(func() { c.endOnStop(ctx, p) })
	return p, nil
}

// endOnStop takes the program down when the supervision is to end.
func (c *Child) endOnStop(ctx context.Context, p *process) {
	select {
	case <-p.ended:
		return
	case <-c.stop:
	case <-ctx.Done():
	}
	p.signal(unix.SIGTERM)
	t := time.NewTimer(c.cfg.StopTimeout)
	defer t.Stop()
	select {
	case <-p.ended:
		return
	case <-c.kill:
	case <-t.C:
	}
	c.forced.Store(true)
	p.signal(unix.SIGKILL)
}

// process is one run of the program.
type process struct {
	cmd   *exec.Cmd
	out   *lineWriter
	ended chan struct{}
	ender sync.WaitGroup

	mu     sync.Mutex
	reaped bool // its number may belong to somebody else from now on
}

// signal reaches the program's whole process group.
func (p *process) signal(s unix.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		// An error says that nobody is left in the group.
		_ = unix.Kill(-p.cmd.Process.Pid, s)
	}
}

// wait returns once the program ended, why it did, and leaves nothing of its
// process group behind.
func (p *process) wait() error {
	pid := p.cmd.Process.Pid
	for {
		// Leave the dead program unreaped for a moment, so that its group's
		// number cannot be given to another process before the kill below.
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.signal(unix.SIGKILL)
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	err := p.cmd.Wait()
	close(p.ended)
	p.ender.Wait()
	p.out.flush()
	if err == nil {
		return errors.New("it ended by itself with status 0")
	}
	return err
}
