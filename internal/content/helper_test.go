package content

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

// eicar is the harmless test file of eicar.org, put together at run time so
// that no scanner stops at this source.
func eicar() []byte {
	return []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-` + `ANTIVIRUS-TEST-FILE!$H+H*`)
}

func newStore(t testing.TB, perBody int64) *spool.Store {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: t.TempDir(), MemoryPerBody: perBody, Memory: 64 << 20, Disk: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// seen is what a test keeps of an object.
type seen struct {
	Name, Path, Type, Declared   string
	Depth                        int
	Size                         int64
	Encrypted, Macros, Container bool
	data                         []byte
}

type walked struct {
	objects []seen
	err     error
}

func (w walked) paths() string {
	var b strings.Builder
	for _, o := range w.objects {
		b.WriteString(o.Path + " [" + o.Type + "]\n")
	}
	return b.String()
}

// has tells whether an object with exactly this content was visited.
func (w walked) has(data []byte) bool {
	for _, o := range w.objects {
		if string(o.data) == string(data) {
			return true
		}
	}
	return false
}

func (w walked) find(name string) *seen {
	for i := range w.objects {
		if w.objects[i].Name == name {
			return &w.objects[i]
		}
	}
	return nil
}

func walkMessage(t testing.TB, w *Walker, m Message) walked {
	t.Helper()
	var r walked
	r.err = w.Walk(context.Background(), m, func(o *Object) error {
		s := seen{o.Name, o.Path, o.Type, o.DeclaredMIME, o.Depth, o.Data.Size(), o.Encrypted, o.Macros, o.Container, nil}
		if s.Size <= 1<<20 {
			s.data = append([]byte{}, readAt(o.Data, 0, s.Size)...)
		}
		r.objects = append(r.objects, s)
		return nil
	})
	return r
}

func walkBytes(t testing.TB, b []byte) walked {
	t.Helper()
	return walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), Message{Body: bytesView(b)})
}

// onDisk is a body that does not lie in memory.
func onDisk(t testing.TB, b []byte) tx.Content {
	t.Helper()
	body := newStore(t, 1).New(int64(len(b)))
	t.Cleanup(func() { _ = body.Close() })
	if _, err := body.Write(b); err != nil {
		t.Fatal(err)
	}
	return body
}

// run executes a program in dir; a missing program fails the test.
func runTool(t testing.TB, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.String())
	}
	return out
}

// packWith writes the files to a fresh directory, runs a program there and
// returns the file that it made.
func packWith(t testing.TB, made string, files map[string][]byte, name string, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	for f, b := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := runTool(t, dir, name, args...)
	if made == "-" {
		return out
	}
	b, err := os.ReadFile(filepath.Join(dir, made))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantKind(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error is %v, want one of kind %q", err, kind)
	}
}

// tinyStore has next to no disk.
func tinyStore(t testing.TB) *spool.Store {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: t.TempDir(), MemoryPerBody: 1 << 10, Memory: 1 << 20, Disk: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// readProgram returns a piece of an executable of this machine.
func readProgram(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("/bin/bash")
	if err != nil {
		t.Fatal(err)
	}
	return b[:min(len(b), 256<<10)]
}
