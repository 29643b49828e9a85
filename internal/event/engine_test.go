package event

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/tx"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("EVENT_TEST_DIR"); dir != "" {
		beKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

var buildEngine = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("SLUICE_EVENTS_BIN"); path != "" {
		return path, nil
	}
	path, err := filepath.Abs("../../bin/sluice-events")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	cmd := exec.Command("go", "build", "-o", path, "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs")
	cmd.Dir = "../../eventengine"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build event engine: %w\n%s", err, out)
	}
	return path, nil
})

// engineBinary is the real event engine, built when it is not there yet.
func engineBinary(t testing.TB) string {
	t.Helper()
	path, err := buildEngine()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

type testLog struct{ t testing.TB }

func (w testLog) Write(b []byte) (int, error) {
	w.t.Log(string(b))
	return len(b), nil
}

func testConfig(t testing.TB) Config {
	return Config{
		Dir: t.TempDir(), Binary: engineBinary(t), Node: "n1", EngineNice: 1,
		Log: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// open opens a log; the returned function closes it and may be called early.
func open(t testing.TB, cfg Config) (*Log, func()) {
	t.Helper()
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	closeLog := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(closeLog)
	return l, closeLog
}

func eventually(t testing.TB, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened within %v: %s", within, what)
		}
	}
}

func running(t testing.TB, l *Log) {
	t.Helper()
	eventually(t, "engine answers", 20*time.Second, func() bool { _, ok := l.engine.current(); return ok })
}

// sample is an event as the data path makes it.
func sample() *Traffic {
	return &Traffic{
		ID: tx.NewID(time.Now()), Workspace: "main", Entrance: "icap", Direction: "exchange",
		Method: []byte("GET"), URL: []byte("http://www.example.com/path/to/some/page.html?id=12345&session=abcdef"),
		Host: []byte("www.example.com"), User: []byte("alice@EXAMPLE.COM"), Groups: [][]byte{[]byte("staff"), []byte("web")},
		Client: netip.MustParseAddr("10.1.2.3"), Peer: netip.MustParseAddr("10.0.0.1"),
		Agent:  []byte("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"),
		Status: 200, MIME: []byte("text/html"), FileType: "html", Received: 1024, Sent: 1024, Length: 1024,
		Decide: 3, WaitBody: 120, Inspect: 5, Scan: 40, Total: 250,
		AccessRule: "Allow staff", Action: "forward", Reason: "none", ScanStatus: "clean", Engine: "hash-list",
		Revision: "0123456789abcdef",
		Objects:  []ObjectResult{{Name: "page.html", Type: "html", Size: 1024, SHA256: [32]byte{1, 2}, Engine: "hash-list", Status: "clean", Micros: 40}},
	}
}

func query(t testing.TB, l *Log, q Query) []map[string]string {
	t.Helper()
	var rows []map[string]string
	err := l.Query(t.Context(), q, func(line []byte) error {
		var row map[string]string
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestEventIsFoundAtOnceWithAllItsFields(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	e := sample()
	e.Time = time.Now().Truncate(time.Nanosecond)
	e.Threat, e.Error, e.ScanDetail, e.Unscanned = "Eicar", "cut", "why", true
	e.Rule, e.BypassRule, e.ProtectionRule, e.FileName = "r", "b", "p", []byte("f.zip")
	for range MaxObjects {
		e.Objects = append(e.Objects, ObjectResult{Name: "x"})
	}
	l.Traffic(e)
	rows := query(t, l, Query{})
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	got := rows[0]
	for _, f := range Fields() {
		if f.Kind == KindSystem {
			continue
		}
		if got[f.Name] == "" {
			t.Errorf("field %s is missing in %v", f.Name, got)
		}
		delete(got, f.Name)
	}
	if len(got) != 0 {
		t.Errorf("fields that are not documented: %v", got)
	}
}
