package event

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/tx"
)

// counts asks the engine how many traffic events it has and how many ids.
func counts(t testing.TB, l *Log) (events, ids int) {
	t.Helper()
	at, ok := l.engine.current()
	if !ok {
		return 0, 0
	}
	_ = l.client.show(t.Context(), at)
	err := l.client.query(t.Context(), at, `_time:1h kind:="traffic" | stats count() n, count_uniq(id) ids`, func(line []byte) error {
		_, err := fmt.Sscanf(string(line), `{"n":"%d","ids":"%d"}`, &events, &ids)
		return err
	})
	if err != nil {
		return -1, -1
	}
	return events, ids
}

func kill(t testing.TB, l *Log) {
	t.Helper()
	eventually(t, "engine runs", 20*time.Second, func() bool { return l.Health().EnginePID != 0 })
	if err := unix.Kill(l.Health().EnginePID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// load logs events at about a steady rate until stop is closed and returns
// how many.
func load(l *Log, stop <-chan struct{}) func() int {
	var n atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			e := sample()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				for range 30 {
					e.Time = time.Now()
					e.ID = tx.NewID(e.Time)
					l.Traffic(e)
					n.Add(1)
				}
			}
		})
	}
	return func() int { wg.Wait(); return int(n.Load()) }
}

func TestKillingTheEngineLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	stop := make(chan struct{})
	logged := load(l, stop)
	// The pauses lie before, at and after what the engine takes to write its
	// memory to disk.
	for _, pause := range []time.Duration{300 * time.Millisecond, 2500 * time.Millisecond, 1200 * time.Millisecond, 3700 * time.Millisecond} {
		time.Sleep(pause)
		kill(t, l)
	}
	time.Sleep(700 * time.Millisecond)
	close(stop)
	want := logged()
	check := func(when string) {
		t.Helper()
		began := time.Now()
		defer func() { t.Logf("%s after %v", when, time.Since(began)) }()
		eventually(t, when, 30*time.Second, func() bool {
			events, ids := counts(t, l)
			if events > want {
				t.Fatalf("%s: %d events with %d ids, only %d were logged", when, events, ids, want)
			}
			return events == want && ids == want
		})
	}
	check("all events are there once")
	kill(t, l)
	check("all events are there after another kill right away")
	eventually(t, "queue is empty", 30*time.Second, func() bool { return l.Health().DiskBytes == 0 })
	kill(t, l)
	check("all events are there after a kill once the queue let them go")
	if h := l.Health(); h.Dropped != 0 || h.LostBytes != 0 || h.EngineRestarts != 6 {
		t.Errorf("health %+v, want nothing dropped or lost and 6 restarts", h)
	}
}

// beKilled is another process: it logs events and says how many until it dies.
func beKilled(dir string) {
	l, err := Open(context.Background(), Config{Dir: dir, Binary: os.Getenv("SLUICE_EVENTS_BIN"), Node: "n1"})
	if err != nil {
		panic(err)
	}
	e := sample()
	for n := 1; ; n++ {
		for range 50 {
			e.Time = time.Now()
			e.ID = tx.NewID(e.Time)
			l.Traffic(e)
		}
		// Only what has left memory can outlive the process.
		stored(l)
		fmt.Println(n * 50)
		time.Sleep(3 * time.Millisecond)
	}
}

// stored returns once the writer has had everything.
func stored(l *Log) {
	for notify(l.in.full); l.ship.handedOn() < l.in.last(); {
		time.Sleep(100 * time.Microsecond)
	}
}

func (s *shipper) handedOn() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushed
}

func TestKillingSluiceLosesNothingStored(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	want := 0
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "EVENT_TEST_DIR="+cfg.Dir, "SLUICE_EVENTS_BIN="+cfg.Binary)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		n, end := 0, time.Now().Add(time.Second)
		for lines := bufio.NewScanner(out); lines.Scan() && time.Now().Before(end); {
			if n, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		want += n
	}
	l, _ := open(t, cfg)
	running(t, l)
	eventually(t, "all stored events are there once", 30*time.Second, func() bool {
		events, ids := counts(t, l)
		if events > ids {
			t.Fatalf("%d events have only %d ids", events, ids)
		}
		// Each of the three may have stored more than it could say.
		return ids >= want && l.Health().QueuedBytes == 0
	})
	t.Logf("at least %d events", want)
}

func TestOrderlyRestartLeavesNothingToShip(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	l, closeLog := open(t, cfg)
	running(t, l)
	for range 1000 {
		e := sample()
		l.Traffic(e)
	}
	closeLog()
	l, _ = open(t, cfg)
	if h := l.Health(); h.QueuedBytes != 0 || h.DiskBytes != 0 {
		t.Errorf("the queue holds %+v after an orderly end", h)
	}
	running(t, l)
	if events, ids := counts(t, l); events != 1000 || ids != 1000 {
		t.Errorf("%d events, %d ids; want 1000", events, ids)
	}
}

func TestStoppedEngineDoesNotStopTraffic(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	pid := l.Health().EnginePID
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 20_000 {
		l.Traffic(sample())
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("20,000 events took %v while the engine stood still", d)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all events are there", 30*time.Second, func() bool {
		events, ids := counts(t, l)
		return events == 20_000 && ids == 20_000
	})
}

func TestMissingEngineIsToldAndEventsWait(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	binary := cfg.Binary
	cfg.Binary = cfg.Dir + "/none"
	l, closeLog := open(t, cfg)
	l.Traffic(sample())
	eventually(t, "health tells", 5*time.Second, func() bool {
		h := l.Health()
		return !h.EngineRunning && h.LastError != "" && h.QueuedLines == 1
	})
	if err := l.Query(t.Context(), Query{}, func([]byte) error { return nil }); err == nil {
		t.Error("a query without an engine gives no error")
	}
	closeLog()
	cfg.Binary = binary
	l, _ = open(t, cfg)
	running(t, l)
	eventually(t, "the event is there", 10*time.Second, func() bool { n, _ := counts(t, l); return n == 1 })
}
