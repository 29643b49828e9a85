package child

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_PARENT") == "1" {
		beParent()
		return
	}
	goleak.VerifyTestMain(m)
}

// sh describes a child that runs a script.
func sh(script string) Config {
	return Config{Name: "script", Path: "/bin/sh", Args: []string{"-c", script}, MinBackoff: 10 * time.Millisecond}
}

func start(t *testing.T, cfg Config) *Child {
	t.Helper()
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	return c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest != "" && rest[0] != 'Z'
}

type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
}

func (l *lines) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

func TestKilledProgramIsBackAtOnce(t *testing.T) {
	c := start(t, sh("exec sleep 100"))
	old := c.PID()
	if !alive(old) {
		t.Fatal("not running after Start")
	}
	began := time.Now()
	if err := unix.Kill(old, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process", func() bool { p := c.PID(); return p != 0 && p != old })
	if d := time.Since(began); d > 200*time.Millisecond {
		t.Errorf("back after %v, want 200 ms at most", d)
	}
	if c.Restarts() != 1 {
		t.Errorf("Restarts is %d, want 1", c.Restarts())
	}
}

func TestProgramThatKeepsEndingIsSlowedDown(t *testing.T) {
	cfg := sh("exit 3")
	cfg.MinBackoff, cfg.MaxBackoff = 50*time.Millisecond, time.Hour
	c := start(t, cfg)
	began := time.Now()
	eventually(t, "three restarts", func() bool { return c.Restarts() >= 3 })
	if d := time.Since(began); d < 150*time.Millisecond {
		t.Errorf("three restarts within %v, want waits of 0, 50 and 100 ms", d)
	}
}

func TestStop(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		ctx          time.Duration
		wantErr      bool
	}{
		{"asked", "exec sleep 100", time.Minute, false},
		{"deaf to SIGTERM", "trap '' TERM; echo ready; while :; do sleep 0.05; done", time.Minute, true},
		{"no time", "trap '' TERM; echo ready; while :; do sleep 0.05; done", time.Millisecond, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := sh(tc.script)
			cfg.StopTimeout = 300 * time.Millisecond
			var out lines
			cfg.Output = out.add
			c := start(t, cfg)
			pid := c.PID()
			if strings.Contains(tc.script, "ready") {
				eventually(t, "trap set", func() bool { return len(out.list()) > 0 })
			}
			ctx, cancel := context.WithTimeout(t.Context(), tc.ctx)
			defer cancel()
			if err := c.Stop(ctx); (err != nil) != tc.wantErr {
				t.Errorf("Stop: %v", err)
			}
			if alive(pid) || c.PID() != 0 {
				t.Error("still there after Stop")
			}
			if err := c.Stop(t.Context()); (err != nil) != tc.wantErr {
				t.Errorf("second Stop: %v", err)
			}
		})
	}
}

func TestStopTakesGrandchildrenToo(t *testing.T) {
	var out lines
	cfg := sh("sleep 100 & echo $!; wait")
	cfg.Output = out.add
	c := start(t, cfg)
	eventually(t, "grandchild", func() bool { return len(out.list()) > 0 })
	grandchild, err := strconv.Atoi(out.list()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "grandchild gone", func() bool { return !alive(grandchild) })
}

func TestEndOfContextStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Start(ctx, sh("exec sleep 100"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	eventually(t, "supervisor ended", func() bool {
		select {
		case <-c.done:
			return c.PID() == 0
		default:
			return false
		}
	})
}

func TestStartFails(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no such program": {Name: "x", Path: filepath.Join(t.TempDir(), "none")},
		"bad nice":        {Name: "x", Path: "/bin/true", Nice: 40},
		"bad directory":   {Name: "x", Path: "/bin/true", Dir: "/nowhere"},
	} {
		if _, err := Start(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNiceAndBatch(t *testing.T) {
	var out lines
	cfg := sh("echo $(nice) $MOOD; exec sleep 100")
	cfg.Nice, cfg.Output, cfg.Env = 11, out.add, []string{"MOOD=calm"}
	before, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, cfg)
	eventually(t, "a line", func() bool { return len(out.list()) > 0 })
	if got := out.list()[0]; got != "11 calm" {
		t.Errorf("child says %q", got)
	}
	attr, err := unix.SchedGetAttr(c.PID(), 0)
	if err != nil || attr.Policy != unix.SCHED_BATCH {
		t.Errorf("scheduling policy %+v, %v; want SCHED_BATCH", attr, err)
	}
	after, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid())
	if err != nil || after != before {
		t.Errorf("our own priority went from %d to %d (%v)", before, after, err)
	}
}

func TestLinesAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.SampledFrom([]byte("ab\r\n")), 0, 200).Draw(t, "in")
		var got [][]byte
		w := &lineWriter{emit: func(b []byte) { got = append(got, bytes.Clone(b)) }}
		for rest := in; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if m, err := w.Write(rest[:n]); m != n || err != nil {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		w.flush()
		var want [][]byte
		for line := range bytes.SplitSeq(in, []byte{'\n'}) {
			if line = bytes.TrimRight(line, "\r"); len(line) > 0 {
				want = append(want, line)
			}
		}
		if !bytes.Equal(bytes.Join(got, []byte{'\n'}), bytes.Join(want, []byte{'\n'})) {
			t.Fatalf("in %q: got %q, want %q", in, got, want)
		}
	})
	var got []byte
	w := &lineWriter{emit: func(b []byte) { got = bytes.Clone(b) }}
	for range 100 {
		_, _ = w.Write(bytes.Repeat([]byte{'x'}, 1000))
	}
	_, _ = w.Write([]byte("\n"))
	if len(got) != MaxLine {
		t.Errorf("long line has %d bytes, want %d", len(got), MaxLine)
	}
}

// beParent runs in a process of its own: it starts a child and waits to be
// killed, after threads have come and gone.
func beParent() {
	c, err := Start(context.Background(), sh("exec sleep 100"))
	if err != nil {
		panic(err)
	}
	fmt.Println(c.PID())
	select {}
}

func TestChildDiesWithParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CHILD_TEST_PARENT=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanln(out, &pid); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("child does not run")
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "child gone", func() bool { return !alive(pid) })
}
