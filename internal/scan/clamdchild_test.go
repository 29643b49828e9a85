package scan

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func startChild(t testing.TB, cfg ClamdChildConfig) *ClamdChild {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "clamd")
	}
	c, err := StartClamdChild(context.WithoutCancel(t.Context()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	within(t, 20*time.Second, "clamd answers", func() bool { return c.Health().State != Starting && c.Health().State != Down })
	return c
}

func TestClamdFindsEICARHoweverItIsSent(t *testing.T) {
	c := startChild(t, ClamdChildConfig{MaxObject: 20 << 20})
	big := bytes.Repeat([]byte("clean text "), 1<<20)
	for _, x := range []struct {
		name string
		o    *Object
		want Status
	}{
		{"memory", inMemory([]byte(eicar)), Infected},
		{"white space after it", inMemory([]byte(eicar + "\r\n")), Infected},
		{"text after it", inMemory([]byte(eicar + "x")), Clean},
		{"disk", onDisk(t, []byte(eicar)), Infected},
		{"opaque", &Object{Data: opaque{memory{bytes.NewReader([]byte(eicar))}}}, Infected},
		{"empty", inMemory(nil), Clean},
		{"clean", inMemory([]byte("hello")), Clean},
		{"clean, large, disk", onDisk(t, big), Clean},
		{"clean, large, memory", inMemory(big), Clean},
		{"over the limit", inMemory(make([]byte, 20<<20+1)), OverLimit},
	} {
		r := scanFor(t, c, x.o, 20*time.Second)
		if r.Status != x.want {
			t.Errorf("%s: %v (%s), want %v", x.name, r.Status, r.Detail, x.want)
		}
		if r.Status == Infected && !strings.HasPrefix(r.Threat, "Eicar-Test-Signature") {
			t.Errorf("%s: threat %q", x.name, r.Threat)
		}
	}
}

func TestClamdChildComesBackAfterKill(t *testing.T) {
	c := startChild(t, ClamdChildConfig{})
	for range 3 {
		if r := scanFor(t, c, inMemory([]byte(eicar)), 5*time.Second); r.Status != Infected {
			t.Fatalf("before: %+v", r)
		}
		pid := c.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		within(t, 2*time.Second, "EICAR found again after kill -9", func() bool {
			r := scanFor(t, c, inMemory([]byte(eicar)), 5*time.Second)
			if r.Status != Infected && r.Status != Error {
				t.Fatalf("while clamd is down: %+v", r)
			}
			return r.Status == Infected && c.PID() != pid
		})
	}
	within(t, 2*time.Second, "healthy again", func() bool { return c.Health().State == OK })
}

func TestClamdStoppedTimesOutAndRecovers(t *testing.T) {
	c := startChild(t, ClamdChildConfig{PollInterval: 200 * time.Millisecond})
	if err := syscall.Kill(c.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r := scanFor(t, c, inMemory([]byte("hello")), 300*time.Millisecond)
	if took := time.Since(start); r.Status != TimedOut || took < 300*time.Millisecond || took > 2*time.Second {
		t.Errorf("stopped clamd: %+v after %s, want a time-out at 300 ms", r, took)
	}
	within(t, 10*time.Second, "health is down", func() bool { return c.Health().State == Down })
	if err := syscall.Kill(c.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	within(t, 2*time.Second, "scans work again", func() bool {
		return scanFor(t, c, inMemory([]byte(eicar)), 2*time.Second).Status == Infected
	})
	within(t, 5*time.Second, "health is OK", func() bool { return c.Health().State == OK })
}

func TestClamdThatHangsIsReplaced(t *testing.T) {
	c := startChild(t, ClamdChildConfig{PollInterval: 50 * time.Millisecond, HangTimeout: 100 * time.Millisecond})
	pid := c.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within(t, 15*time.Second, "another one scans", func() bool {
		return c.PID() != pid && scanFor(t, c, inMemory([]byte(eicar)), time.Second).Status == Infected
	})
}

func TestClamdChildLoadsSignaturesThatAppear(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, ClamdChildConfig{Signatures: dir, PollInterval: 100 * time.Millisecond})
	chain := NewChain([]Engine{c}, resultCache(t))
	probe := func() Status {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return Worst(chain.Scan(ctx, inMemory([]byte("a rose is a rose is a rose")))).Status
	}
	within(t, 5*time.Second, "clean", func() bool { return probe() == Clean })
	before := chain.Version()

	write(t, filepath.Join(dir, "rose.yar"), `rule rose { strings: $a = "a rose is a rose" condition: $a }`)
	within(t, 10*time.Second, "the YARA rule decides, cache or not", func() bool { return probe() == Infected })
	within(t, 5*time.Second, "OK", func() bool { return c.Health().State == OK })
	if chain.Version() == before {
		t.Error("the version is still the old one")
	}

	write(t, filepath.Join(dir, "bad.ndb"), "this is no signature\n")
	within(t, 10*time.Second, "a bad file is named", func() bool {
		h := c.Health()
		return h.State == Degraded && strings.Contains(h.LastError, "bad.ndb")
	})
	if s := probe(); s != Infected {
		t.Errorf("with a bad file beside: %v", s)
	}
	if err := syscall.Kill(c.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "it starts again without the bad file", func() bool {
		return scanFor(t, c, inMemory([]byte(eicar)), time.Second).Status == Infected
	})

	write(t, filepath.Join(dir, "bad.ndb"), "Good.Now:0:*:"+fmt.Sprintf("%x", "lily of the valley")+"\n")
	within(t, 10*time.Second, "the file put right is loaded", func() bool {
		return scanFor(t, c, inMemory([]byte("the lily of the valley")), time.Second).Status == Infected
	})
	within(t, 5*time.Second, "OK", func() bool { return c.Health().State == OK })

	if err := os.Remove(filepath.Join(dir, "rose.yar")); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "the rule is gone", func() bool { return probe() == Clean })
}

func TestClamdChildStartsDespiteBadSignatures(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bad.ndb"), "this is no signature\n")
	c := startChild(t, ClamdChildConfig{Signatures: dir, PollInterval: 100 * time.Millisecond})
	within(t, 10*time.Second, "degraded", func() bool { return c.Health().State == Degraded })
	if r := scanFor(t, c, inMemory([]byte(eicar)), 5*time.Second); r.Status != Infected {
		t.Errorf("%+v", r)
	}
}

func TestClamdChildRefusesWhatItCannotRun(t *testing.T) {
	dir := openDir(t)
	tests := map[string]ClamdChildConfig{
		"relative directory": {Dir: "clamd"},
		"blank in it":        {Dir: filepath.Join(dir, "a b")},
		"too long":           {Dir: filepath.Join(dir, strings.Repeat("x", 100))},
		"no such program":    {Dir: dir, Program: "/nonexistent/clamd"},
		"negative":           {Dir: dir, MaxFiles: -1},
		"signatures a file":  {Dir: dir, Signatures: "/etc/passwd"},
	}
	if os.Geteuid() == 0 {
		tests["no such account"] = ClamdChildConfig{Dir: dir, User: "nobody-of-that-name"}
	}
	for name, cfg := range tests {
		if c, err := StartClamdChild(t.Context(), cfg); err == nil {
			t.Errorf("%s: started", name)
			_ = c.Close(t.Context())
		}
	}
}

func TestClamdChildOwnsOnlyWhatItWrites(t *testing.T) {
	dir := filepath.Join(openDir(t), "clamd")
	c := startChild(t, ClamdChildConfig{Dir: dir})
	if r := scanFor(t, c, inMemory([]byte(eicar)), 5*time.Second); r.Status != Infected {
		t.Errorf("%+v", r)
	}
	me := uint32(os.Geteuid())
	for _, path := range []string{dir, confPath(dir), databaseDir(dir), filepath.Join(databaseDir(dir), eicarFile)} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); !ok || st.Uid != me || fi.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s: others than its owner may change it: %v", path, fi.Mode())
		}
	}
	for _, path := range []string{filepath.Dir(socketPath(dir)), tempDir(dir)} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o700 {
			t.Errorf("%s: want mode 0700, have %v", path, fi.Mode())
		}
	}
}

func TestClamdKilledUnderLoadIsNeverClean(t *testing.T) {
	c := startChild(t, ClamdChildConfig{Sessions: 4, Queue: 64})
	var infected, failed atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				r := c.Scan(ctx, inMemory([]byte(eicar)))
				cancel()
				switch {
				case r.Status == Infected:
					infected.Add(1)
				case r.Status == Error && r.Detail != "":
					failed.Add(1)
					time.Sleep(time.Millisecond)
				default:
					t.Errorf("%+v", r)
					return
				}
			}
		})
	}
	for range 3 {
		pid := c.PID()
		within(t, 5*time.Second, "scans", func() bool { return infected.Load() > 100 })
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "another process", func() bool { return c.PID() != 0 && c.PID() != pid })
		infected.Store(0)
		within(t, 3*time.Second, "scans again", func() bool { return infected.Load() > 0 })
	}
	close(stop)
	wg.Wait()
	if failed.Load() == 0 {
		t.Error("no scan noticed that clamd was killed")
	}
}

// When Sluice itself is killed, clamd must not stay behind and hold the socket.
func TestClamdDiesWithItsParent(t *testing.T) {
	if dir := os.Getenv("SCAN_TEST_PARENT"); dir != "" {
		c := startChild(t, ClamdChildConfig{Dir: dir})
		fmt.Printf("pid=%d\n", c.PID())
		<-time.After(time.Minute)
		return
	}
	dir := filepath.Join(openDir(t), "clamd")
	cmd := exec.Command(os.Args[0], "-test.run=^TestClamdDiesWithItsParent$")
	cmd.Env = append(os.Environ(), "SCAN_TEST_PARENT="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "pid=%d\n", &pid); err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	within(t, 5*time.Second, "clamd is gone", func() bool { _, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); return err != nil })
	c := startChild(t, ClamdChildConfig{Dir: dir})
	if r := scanFor(t, c, inMemory([]byte(eicar)), 5*time.Second); r.Status != Infected {
		t.Errorf("%+v", r)
	}
}

func TestClamdChildTakesTheLargestObjects(t *testing.T) {
	c := startChild(t, ClamdChildConfig{MaxObject: 2<<30 - 1, AlertEncrypted: true, AlertMacros: true, MaxRecursion: 100})
	if r := scanFor(t, c, inMemory(encryptedZip), 5*time.Second); r.Status != Encrypted {
		t.Errorf("%+v", r)
	}
}
