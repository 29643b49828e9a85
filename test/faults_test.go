package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/test/lab"
)

// private is a node of a test's own behind a Squid of its own.
type private struct {
	node   *lab.Node
	squid  *lab.Squid
	client *http.Client
}

func startPrivate(t *testing.T, name, settings string) *private {
	t.Helper()
	p := &private{node: must(shared.StartNode(t.Context(), name, settings))(t)}
	p.squid = must(shared.StartSquid(t.Context(), name+"-squid", fmt.Sprintf("127.0.0.1:%d", p.node.ICAP)))(t)
	p.client = must(shared.Client(p.squid.Port, nil))(t)
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		p.squid.Stop()
		p.node.Stop(20 * time.Second)
	})
	return p
}

// outcome counts what became of a load.
type outcome struct{ whole, blocked atomic.Int64 }

// load asks for /load/KIND/N, for N from first, with several workers, until
// stop is closed, and calls seen with each answer.
func (p *private) load(ctx context.Context, t *testing.T, kind string, workers int, stop <-chan struct{}, next *atomic.Int64, seen func(n int, status int, body []byte, err error)) *sync.WaitGroup {
	t.Helper()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := int(next.Add(1))
				status, body, err := p.get(ctx, originURL("http", "/load/"+kind+"/"+strconv.Itoa(n)))
				seen(n, status, body, err)
			}
		})
	}
	return &wg
}

func (p *private) get(ctx context.Context, url string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// kill sends a signal to a child of the node, once it is there.
func (p *private) kill(t *testing.T, comm string, sig syscall.Signal) int {
	t.Helper()
	pid := 0
	err := lab.Poll(t.Context(), 10*time.Second, func() error {
		if pid = lab.Child(p.node.PID(), comm); pid == 0 {
			return fmt.Errorf("the node has no child %s", comm)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
	return pid
}

// scansAgain waits until bad is called bad and clean passes, and returns how
// long it took.
func (p *private) scansAgain(t *testing.T, first int) time.Duration {
	t.Helper()
	start := time.Now()
	n := first
	err := lab.Poll(t.Context(), 60*time.Second, func() error {
		n++
		status, body, err := p.get(t.Context(), originURL("http", fmt.Sprintf("/load/bad/%d", n)))
		if err != nil || status != http.StatusForbidden || !bytes.Contains(body, []byte("Lab.Marker")) {
			return fmt.Errorf("bad content: %w, status %d, %.300s", err, status, body)
		}
		status, body, err = p.get(t.Context(), originURL("http", fmt.Sprintf("/load/clean/%d", n)))
		if err != nil || status != http.StatusOK || !bytes.Equal(body, lab.Load("clean", n)) {
			return fmt.Errorf("clean content: %w, status %d", err, status)
		}
		return nil
	})
	if err != nil {
		t.Fatal("no recovery:", err)
	}
	return time.Since(start)
}

const recovery = 2 * time.Second // the promise

// pause lets the load run for a while.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func TestClamdKilledClosed(t *testing.T) {
	p := startPrivate(t, "closed", "")
	p.scansAgain(t, 1_000_000)
	var next atomic.Int64
	var clean, bad outcome
	stop := make(chan struct{})
	var badErrors atomic.Int64
	wg1 := p.load(t.Context(), t, "clean", 4, stop, &next, func(n, status int, body []byte, err error) {
		switch {
		case err == nil && status == http.StatusOK && bytes.Equal(body, lab.Load("clean", n)):
			clean.whole.Add(1)
		case err == nil && status == http.StatusForbidden:
			clean.blocked.Add(1)
		default:
			t.Errorf("clean/%d: %v, status %d, %d bytes", n, err, status, len(body))
		}
	})
	wg2 := p.load(t.Context(), t, "bad", 4, stop, &next, func(n, status int, body []byte, err error) {
		switch {
		case bytes.Contains(body, []byte(lab.Marker)) || err == nil && status == http.StatusOK:
			t.Errorf("bad/%d got through: status %d, %d bytes", n, status, len(body))
		case err != nil:
			badErrors.Add(1)
		default:
			bad.blocked.Add(1)
		}
	})
	for range 4 {
		pause(t.Context(), 700*time.Millisecond)
		p.kill(t, "clamd", syscall.SIGKILL)
	}
	pause(t.Context(), time.Second)
	close(stop)
	wg1.Wait()
	wg2.Wait()
	took := p.scansAgain(t, 2_000_000)
	t.Logf("clean: %d whole, %d blocked; bad: %d blocked, %d connection errors; scanning again %v after the load", clean.whole.Load(), clean.blocked.Load(), bad.blocked.Load(), badErrors.Load(), took)
	if clean.whole.Load() == 0 || bad.blocked.Load() == 0 {
		t.Error("the load did not load")
	}
	found, err := p.node.Events(t.Context(), 10, "unscanned=true")
	if err != nil || len(found) != 0 {
		t.Errorf("events of unscanned traffic in closed mode: %v, %v", err, found)
	}
}

func TestClamdKilledOpen(t *testing.T) {
	p := startPrivate(t, "open", "protection: {on: {engine_error: allow, timed_out: allow}, limits: {time: 5s}}\n")
	p.scansAgain(t, 1_000_000)
	var next atomic.Int64
	var clean, bad outcome
	stop := make(chan struct{})
	wg1 := p.load(t.Context(), t, "clean", 4, stop, &next, func(n, status int, body []byte, err error) {
		if err != nil || status != http.StatusOK || !bytes.Equal(body, lab.Load("clean", n)) {
			t.Errorf("clean/%d: %v, status %d, %d bytes\n%.300s", n, err, status, len(body), body)
		}
		clean.whole.Add(1)
	})
	wg2 := p.load(t.Context(), t, "bad", 4, stop, &next, func(n, status int, body []byte, err error) {
		switch {
		case err == nil && status == http.StatusOK && bytes.Equal(body, lab.Load("bad", n)):
			bad.whole.Add(1)
		case err == nil && status == http.StatusForbidden:
			bad.blocked.Add(1)
		default:
			t.Errorf("bad/%d: %v, status %d, %d bytes", n, err, status, len(body))
		}
	})
	for range 4 {
		pause(t.Context(), 700*time.Millisecond)
		p.kill(t, "clamd", syscall.SIGKILL)
	}
	pause(t.Context(), time.Second)
	close(stop)
	wg1.Wait()
	wg2.Wait()
	took := p.scansAgain(t, 2_000_000)
	t.Logf("clean: %d whole; bad: %d blocked, %d passed unscanned; scanning again %v after the load", clean.whole.Load(), bad.blocked.Load(), bad.whole.Load(), took)
	marked, err := p.node.Events(t.Context(), 100_000, "unscanned=true", "url~/load/bad/", "direction=response")
	if err != nil || int64(len(marked)) != bad.whole.Load() {
		t.Errorf("%d bad ones passed, %d events are marked: %v", bad.whole.Load(), len(marked), err)
	}
	all, err := p.node.Events(t.Context(), 100_000, "url~/load/clean/", "direction=response")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Str("action") == "forward" && e.Str("scan_status") != "clean" && e.Str("unscanned") != "true" {
			t.Errorf("passed, not clean and not marked: %v", e)
		}
		if e.Str("unscanned") == "true" && e.Str("scan_status") == "clean" {
			t.Errorf("called clean though not scanned: %v", e)
		}
	}
}

func TestClamdStopped(t *testing.T) {
	p := startPrivate(t, "stopped", "protection: {limits: {time: 2s}}\n")
	p.scansAgain(t, 1_000_000)
	pid := p.kill(t, "clamd", syscall.SIGSTOP)
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	start := time.Now()
	status, body, err := p.get(t.Context(), originURL("http", "/load/clean/1"))
	if err != nil || status != http.StatusForbidden {
		t.Errorf("with a stopped clamd: %v, status %d, %.300s", err, status, body)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("the answer took %v, the limit is 2s", took)
	}
	if id := receipt.Find(body); id != nil {
		e := logged(t, p.node, "stopped", string(id))
		if r := e.Str("reason"); r != "timed-out" && r != "engine-error" {
			t.Errorf("reason %q in %v", r, e)
		}
	} else {
		t.Errorf("the page has no id: %s", body)
	}
	err = lab.Poll(t.Context(), 15*time.Second, func() error {
		if out, _, err := p.node.Run(t.Context(), "status", "--data", p.node.Dir); err != nil || !strings.Contains(out, "clamd") {
			return fmt.Errorf("status: %w\n%s", err, out)
		} else if !strings.Contains(out, "down") && !strings.Contains(out, "degraded") {
			return errors.New("status calls clamd healthy:\n" + out)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	took := p.scansAgain(t, 2_000_000)
	t.Logf("scanning again after %v", took)
	if took > recovery+time.Second {
		t.Errorf("scanning again took %v, want %v", took, recovery)
	}
}

func TestEventEngineKilled(t *testing.T) {
	p := startPrivate(t, "events", "")
	p.scansAgain(t, 1_000_000)
	var next atomic.Int64
	var slowest atomic.Int64
	stop := make(chan struct{})
	var answered atomic.Int64
	wg := p.load(t.Context(), t, "logged", 8, stop, &next, func(n, status int, body []byte, err error) {
		if err != nil || status != http.StatusOK || !bytes.Equal(body, lab.Load("logged", n)) {
			t.Errorf("logged/%d: %v, status %d", n, err, status)
		}
		answered.Add(1)
	})
	probe := time.NewTicker(50 * time.Millisecond)
	defer probe.Stop()
	killed := 0
	for begin := time.Now(); time.Since(begin) < 6*time.Second; <-probe.C {
		start := time.Now()
		if status, _, err := p.get(t.Context(), originURL("http", "/status/204")); err != nil || status != http.StatusNoContent {
			t.Errorf("traffic is disturbed: %v, status %d", err, status)
		}
		slowest.Store(max(slowest.Load(), int64(time.Since(start))))
		if int(time.Since(begin)/(1500*time.Millisecond)) > killed {
			p.kill(t, "sluice-events", syscall.SIGKILL)
			killed++
		}
	}
	close(stop)
	wg.Wait()
	total := int(next.Load())
	t.Logf("%d exchanges, event engine killed %d times, slowest probe %v", total, killed, time.Duration(slowest.Load()))
	if limit := 2 * time.Second; time.Duration(slowest.Load()) > limit {
		t.Errorf("an exchange took %v while the event engine was down", time.Duration(slowest.Load()))
	}
	err := lab.Poll(t.Context(), 60*time.Second, func() error {
		found, err := p.node.Events(t.Context(), 3*total+100, "url~/load/logged/")
		if err != nil {
			return err
		}
		count := map[string]int{}
		for _, e := range found {
			count[e.Str("direction")+" "+e.Str("url")]++
		}
		missing, doubled := 0, 0
		for n := 1; n <= total; n++ {
			for _, d := range []string{"request", "response"} {
				switch c := count[d+" "+originURL("http", "/load/logged/"+strconv.Itoa(n))]; {
				case c == 0:
					missing++
				case c > 1:
					doubled++
				}
			}
		}
		if missing > 0 || doubled > 0 {
			return fmt.Errorf("of %d events, %d are missing and %d doubled", 2*total, missing, doubled)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
