package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/test/lab"
)

const blockSecret = `rules:
  access:
    - name: No secrets
      match: {all: [{url: origin.test/echo/secret}]}
`

// slowly starts a download that takes about two seconds, and returns once the
// origin has begun it. The result comes later.
func (p *private) slowly(ctx context.Context, t *testing.T, size int64, query string) <-chan error {
	t.Helper()
	path := fmt.Sprintf("/slow/%d", size)
	before := shared.Origin.Seen(path)
	done := make(chan error, 1)
	go func() {
		status, body, err := p.get(ctx, originURL("http", path+"?gap=200ms"+query))
		want, readErr := io.ReadAll(lab.Content(size))
		switch {
		case err != nil || readErr != nil:
			done <- fmt.Errorf("the download broke: %w", err)
		case status != http.StatusOK || !bytes.Equal(body, want):
			done <- fmt.Errorf("the download changed: status %d, %d bytes of %d", status, len(body), size)
		default:
			done <- nil
		}
	}()
	err := lab.Poll(ctx, 10*time.Second, func() error {
		if shared.Origin.Seen(path) == before {
			return fmt.Errorf("the origin saw nothing of %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// TestReload changes settings under running exchanges: good ones, then bad ones.
func TestReload(t *testing.T) {
	p := startPrivate(t, "reload", "")
	secret := originURL("http", "/echo/secret")
	if status, _, err := p.get(t.Context(), secret); err != nil || status != http.StatusOK {
		t.Fatalf("before: %v, status %d", err, status)
	}
	running := p.slowly(t.Context(), t, 300_000, "")
	apply(t, p.node, blockSecret)
	if status, body, err := p.get(t.Context(), secret); err != nil || status != http.StatusForbidden || !bytes.Contains(body, []byte("No secrets")) {
		t.Errorf("after: %v, status %d, %.300s", err, status, body)
	}
	if err := <-running; err != nil {
		t.Error("an exchange under way was disturbed:", err)
	}

	before := must(p.node.Revision(t.Context()))(t)
	bad := "rules:\n  access:\n    - name: Misspelt\n      action: blokc\n      match: {all: [{url: origin.test}]}\n"
	if err := p.node.Write(bad); err != nil {
		t.Fatal(err)
	}
	line := strings.Count(p.node.Text(""), "\n") + 4 // of "blokc"
	err := lab.Poll(t.Context(), 10*time.Second, func() error {
		if said := p.node.Tail(50); !strings.Contains(said, fmt.Sprintf("%d", line)) || !strings.Contains(said, "blokc") {
			return fmt.Errorf("the node does not say what is wrong in line %d:\n%s", line, said)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	_, _, err = p.node.Run(t.Context(), "settings", "validate", p.node.Settings())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("line %d", line)) && !strings.Contains(err.Error(), fmt.Sprintf(":%d", line)) {
		t.Errorf("validate does not name line %d: %v", line, err)
	}
	if now := must(p.node.Revision(t.Context()))(t); now != before {
		t.Errorf("bad settings changed the revision from %s to %s", before, now)
	}
	if status, _, err := p.get(t.Context(), secret); err != nil || status != http.StatusForbidden {
		t.Errorf("with bad settings: %v, status %d; the old ones must stay in force", err, status)
	}

	if err := p.node.Write(""); err != nil {
		t.Fatal(err)
	}
	if err := p.node.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	err = lab.Poll(t.Context(), 10*time.Second, func() error {
		if status, _, err := p.get(t.Context(), secret); err != nil || status != http.StatusOK {
			return fmt.Errorf("after mending and SIGHUP: %w, status %d", err, status)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDrain asks a node to end while it works: what is under way comes through
// whole.
func TestDrain(t *testing.T) {
	p := startPrivate(t, "drain", "")
	running := p.slowly(t.Context(), t, 400_000, "&drain")
	pause(t.Context(), 400*time.Millisecond) // the origin has begun; now Squid asks the node about it
	if err := p.node.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := lab.Poll(t.Context(), 5*time.Second, func() error {
		if err := p.node.Ready(); err == nil {
			return fmt.Errorf("a node that ends calls itself ready")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-running; err != nil {
		t.Error("an exchange under way was cut:", err)
	}
	if err := p.node.Wait(20 * time.Second); err != nil {
		t.Error("the node's end:", err)
	}
	err = lab.Poll(t.Context(), 5*time.Second, func() error {
		if left := lab.Mentioning(p.node.Dir + "/"); len(left) > 0 {
			return fmt.Errorf("processes outlived the node: %v", left)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := p.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.scansAgain(t, 1)
	found, err := p.node.Events(t.Context(), 10, "url~/slow/400000", "direction=response")
	if err != nil || len(found) != 1 {
		t.Errorf("the event of before the restart: %v, %v", err, found)
	}
}

// TestSettingsCommands writes and checks settings as an administrator would.
func TestSettingsCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if _, _, err := shared.node.Run(t.Context(), "settings", "init", file); err != nil {
		t.Fatal(err)
	}
	out, _, err := shared.node.Run(t.Context(), "settings", "validate", file)
	if err != nil || !strings.Contains(out, "valid") {
		t.Errorf("validate: %v, %s", err, out)
	}
	if _, _, err := shared.node.Run(t.Context(), "settings", "init", file); err == nil {
		t.Error("init overwrites a file that is there")
	}
	if out, _, err := shared.node.Run(t.Context(), "version"); err != nil || !strings.Contains(out, "sluice") {
		t.Errorf("version: %v, %s", err, out)
	}
}

// TestHealthAndMetrics looks at the admin port.
func TestHealthAndMetrics(t *testing.T) {
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body, err := shared.node.Get(path); err != nil || code != http.StatusOK {
			t.Errorf("%s: %v, %d %s", path, err, code, body)
		}
	}
	code, body, err := shared.node.Get("/metrics")
	if err != nil || code != http.StatusOK || !strings.Contains(body, "sluice_") || !strings.Contains(body, "# HELP") {
		t.Errorf("/metrics: %v, %d\n%.500s", err, code, body)
	}
}

// TestStartSending lets a large object begin to flow while it is scanned, and
// cuts it when it turns out bad.
func TestStartSending(t *testing.T) {
	p := startPrivate(t, "early", "icap: {start_sending: {enabled: true, after: 1s, rate: 1MB}}\n")
	p.scansAgain(t, 1)
	path := "/slow/500000?gap=300ms" // about three seconds, and longer than the delay
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req := must(http.NewRequestWithContext(ctx, http.MethodGet, originURL("http", path), nil))(t)
	start := time.Now()
	resp := must(p.client.Do(req))(t)
	defer resp.Body.Close()
	one := make([]byte, 1)
	must(io.ReadFull(resp.Body, one))(t)
	first := time.Since(start)
	rest := must(io.ReadAll(resp.Body))(t)
	whole := time.Since(start)
	want := must(io.ReadAll(lab.Content(500_000)))(t)
	if !bytes.Equal(slices.Concat(one, rest), want) {
		t.Errorf("the object changed: %d bytes", len(rest)+1)
	}
	t.Logf("first byte after %v, last after %v", first, whole)
	if first < 500*time.Millisecond || first > whole-500*time.Millisecond {
		t.Errorf("the first byte came after %v of %v", first, whole)
	}
	bad := bytes.Repeat([]byte("harmless "), 50_000)
	copy(bad[len(bad)-100:], lab.Marker)
	shared.Origin.Put("early.bin", lab.Sample{Body: bad, Type: "application/octet-stream", Gap: 300 * time.Millisecond})
	status, body, err := p.get(ctx, originURL("http", "/sample/early.bin"))
	if bytes.Contains(body, []byte(lab.Marker)) {
		t.Error("the bad end of the object got through")
	}
	if err == nil && status == http.StatusOK {
		t.Errorf("a bad object ended properly: status %d, %d bytes", status, len(body))
	}
}
