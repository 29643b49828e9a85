package scan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// memory is content in memory.
type memory struct{ *bytes.Reader }

func inMemory(b []byte) *Object { return &Object{Name: "test", Data: memory{bytes.NewReader(b)}} }

func (m memory) all() []byte {
	b := make([]byte, m.Size())
	_, _ = m.ReadAt(b, 0)
	return b
}
func (m memory) SHA256() [32]byte       { return sha256.Sum256(m.all()) }
func (m memory) Bytes() ([]byte, bool)  { return m.all(), true }
func (m memory) File() (*os.File, bool) { return nil, false }

// opaque is content that can only be read.
type opaque struct{ memory }

func (opaque) Bytes() ([]byte, bool) { return nil, false }

// onDisk spools b to a file.
func onDisk(t *testing.T, b []byte) *Object {
	t.Helper()
	store, err := spool.Open(spool.Config{Dir: t.TempDir(), MemoryPerBody: 1, Memory: 1, Disk: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	body := store.New(int64(len(b)))
	t.Cleanup(func() { _ = body.Close() })
	if _, err := body.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, ok := body.File(); !ok {
		t.Fatal("body is not on disk")
	}
	return &Object{Name: "test", Data: body}
}

// within fails the test unless cond holds before d is over.
func within(t testing.TB, d time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", d, what)
		}
	}
}

func scanFor(t testing.TB, e Engine, o *Object, d time.Duration) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return e.Scan(ctx, o)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	tmp := filepath.Join(t.TempDir(), "new")
	if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, path)); err != nil {
		t.Fatal(err)
	}
}

func resultCache(t testing.TB) *Cache[[]Result] {
	t.Helper()
	c, err := NewCache(CacheConfig[[]Result]{Entries: 10_000, Bytes: 10 << 20, SizeOf: ResultsSize})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// openDir is a directory that every account reaches, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scan-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
