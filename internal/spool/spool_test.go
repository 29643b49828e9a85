package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/tx"
)

var _ tx.Content = (*Body)(nil)

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, b *Body, p []byte) {
	t.Helper()
	if n, err := b.Write(p); err != nil || n != len(p) {
		t.Fatalf("wrote %d of %d: %v", n, len(p), err)
	}
}

func noUsage(t testing.TB, s *Store) {
	t.Helper()
	if m, d := s.Usage(); m != 0 || d != 0 {
		t.Errorf("%d bytes of memory and %d of disk are still in use", m, d)
	}
}

func TestSmallBodyStaysInMemory(t *testing.T) {
	s := open(t, Config{MemoryPerBody: 1 << 20, Memory: 10 << 20, Disk: 10 << 20})
	b := s.New(0)
	write(t, b, []byte("hello "))
	write(t, b, []byte("world"))
	if p, ok := b.Bytes(); !ok || string(p) != "hello world" {
		t.Errorf("%q, %v", p, ok)
	}
	if _, ok := b.File(); ok {
		t.Error("it has a file")
	}
	if b.SHA256() != sha256.Sum256([]byte("hello world")) || b.Size() != 11 {
		t.Error("wrong digest or size")
	}
	if _, d := s.Usage(); d != 0 {
		t.Errorf("%d bytes on disk", d)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	noUsage(t, s)
}

func TestLargeBodyGoesToDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, MemoryPerBody: 8 << 10, Memory: 10 << 20, Disk: 10 << 20})
	for _, hint := range []int64{0, -1, 100, 8 << 10, 1 << 20} {
		b := s.New(hint)
		var want []byte
		for i := range 100 {
			p := bytes.Repeat([]byte{byte(i)}, 300)
			write(t, b, p)
			want = append(want, p...)
		}
		f, ok := b.File()
		if !ok {
			t.Fatal("no file")
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("hint %d: file differs: %v", hint, err)
		}
		if _, ok := b.Bytes(); ok {
			t.Error("still in memory")
		}
		if m, d := s.Usage(); m != 0 || d != int64(len(want)) {
			t.Errorf("hint %d: usage %d and %d", hint, m, d)
		}
		names, err := os.ReadDir(dir)
		if err != nil || len(names) != 0 {
			t.Errorf("the file has a name: %v, %v", names, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	noUsage(t, s)
}

func TestMemoryPerBodyHolds(t *testing.T) {
	s := open(t, Config{MemoryPerBody: 100, Memory: 1 << 20, Disk: 1 << 20})
	b := s.New(0)
	defer b.Close()
	write(t, b, make([]byte, 100))
	if _, ok := b.Bytes(); !ok {
		t.Error("100 bytes are not in memory")
	}
	write(t, b, []byte{1})
	if _, ok := b.File(); !ok {
		t.Error("101 bytes are in memory")
	}
}

func TestMemoryBudgetSendsBodiesToDisk(t *testing.T) {
	s := open(t, Config{MemoryPerBody: 1 << 20, Memory: 64 << 10, Disk: 10 << 20})
	var all []*Body
	for range 10 {
		b := s.New(16 << 10)
		write(t, b, make([]byte, 16<<10))
		all = append(all, b)
	}
	m, d := s.Usage()
	if m > 64<<10 || d != 6*16<<10 {
		t.Errorf("usage %d and %d", m, d)
	}
	for _, b := range all {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	noUsage(t, s)
}

func TestDiskBudget(t *testing.T) {
	s := open(t, Config{MemoryPerBody: 1 << 10, Memory: 1 << 20, Disk: 10 << 10})
	b := s.New(0)
	write(t, b, make([]byte, 8<<10))
	if _, err := b.Write(make([]byte, 4<<10)); !errors.Is(err, ErrNoRoom) {
		t.Errorf("error %v", err)
	}
	if _, err := b.Write([]byte{1}); !errors.Is(err, ErrNoRoom) {
		t.Errorf("a later write: %v", err)
	}
	other := s.New(0)
	write(t, other, make([]byte, 100)) // memory is not concerned
	if err := errors.Join(b.Close(), b.Close(), other.Close()); err != nil {
		t.Error(err)
	}
	noUsage(t, s)
}

func TestNoRoomAtTheMoveToDisk(t *testing.T) {
	s := open(t, Config{MemoryPerBody: 8 << 10, Memory: 1 << 20, Disk: 100})
	b := s.New(0)
	write(t, b, make([]byte, 4<<10))
	if _, err := b.Write(make([]byte, 8<<10)); !errors.Is(err, ErrNoRoom) {
		t.Errorf("error %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	noUsage(t, s)
}

func TestReadAtEdges(t *testing.T) {
	for name, perBody := range map[string]int64{"memory": 1 << 20, "disk": 1} {
		s := open(t, Config{MemoryPerBody: perBody, Memory: 1 << 20, Disk: 1 << 20})
		b := s.New(0)
		write(t, b, []byte("0123456789"))
		for _, test := range []struct {
			off  int64
			n    int
			want string
			err  error
		}{{0, 10, "0123456789", nil}, {0, 11, "0123456789", io.EOF}, {9, 1, "9", nil}, {9, 2, "9", io.EOF}, {10, 1, "", io.EOF}, {100, 1, "", io.EOF}, {3, 4, "3456", nil}} {
			p := make([]byte, test.n)
			n, err := b.ReadAt(p, test.off)
			if string(p[:n]) != test.want || !errors.Is(err, test.err) {
				t.Errorf("%s: %d bytes at %d: %q, %v", name, test.n, test.off, p[:n], err)
			}
		}
		if _, err := b.ReadAt(make([]byte, 1), -1); err == nil {
			t.Errorf("%s: a negative offset is no error", name)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A body can be read while it fills, by many at once, in memory and across the
// move to disk.
func TestReadWhileItFills(t *testing.T) {
	s := open(t, Config{MemoryPerBody: 64 << 10, Memory: 1 << 20, Disk: 1 << 20})
	b := s.New(0)
	defer b.Close()
	const size = 200 << 10
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			buf := make([]byte, 5000)
			for off := int64(0); off < size; {
				n, err := b.ReadAt(buf, off)
				if err != nil && !errors.Is(err, io.EOF) {
					t.Error(err)
					return
				}
				for i, c := range buf[:n] {
					if c != byte((off+int64(i))%251) {
						t.Errorf("wrong byte at %d", off+int64(i))
						return
					}
				}
				off += int64(n)
				b.Size()
				b.SHA256()
			}
		})
	}
	for off := 0; off < size; {
		p := make([]byte, min(777, size-off))
		for i := range p {
			p[i] = byte((off + i) % 251)
		}
		write(t, b, p)
		off += len(p)
	}
	wg.Wait()
}

// Whatever is written in whatever pieces comes out again, and all room is given
// back.
func TestBodiesKeepWhatIsWritten(t *testing.T) {
	s := open(t, Config{MemoryPerBody: 20 << 10, Memory: 60 << 10, Disk: 1 << 20})
	rapid.Check(t, func(rt *rapid.T) {
		var bodies []*Body
		var want [][]byte
		for range rapid.IntRange(1, 5).Draw(rt, "bodies") {
			bodies = append(bodies, s.New(rapid.Int64Range(-1, 40<<10).Draw(rt, "hint")))
			want = append(want, nil)
		}
		for range rapid.IntRange(0, 20).Draw(rt, "writes") {
			i := rapid.IntRange(0, len(bodies)-1).Draw(rt, "body")
			p := bytes.Repeat([]byte{rapid.Byte().Draw(rt, "byte")}, rapid.IntRange(0, 9000).Draw(rt, "length"))
			if _, err := bodies[i].Write(p); err != nil {
				rt.Fatal(err)
			}
			want[i] = append(want[i], p...)
		}
		if m, d := s.Usage(); m > 60<<10 || d > 1<<20 {
			rt.Fatalf("usage %d and %d", m, d)
		}
		for i, b := range bodies {
			got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
			if err != nil || !bytes.Equal(got, want[i]) || b.SHA256() != sha256.Sum256(want[i]) {
				rt.Fatalf("body %d differs: %v", i, err)
			}
			if p, ok := b.Bytes(); ok && !bytes.Equal(p, want[i]) {
				rt.Fatalf("body %d differs in memory", i)
			}
			if err := b.Close(); err != nil {
				rt.Fatal(err)
			}
		}
		if m, d := s.Usage(); m != 0 || d != 0 {
			rt.Fatalf("%d and %d still in use", m, d)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"no memory per body": {Dir: t.TempDir()},
		"too much of it":     {Dir: t.TempDir(), MemoryPerBody: 2 << 30},
		"negative memory":    {Dir: t.TempDir(), MemoryPerBody: 1, Memory: -1},
		"negative disk":      {Dir: t.TempDir(), MemoryPerBody: 1, Disk: -1},
		"a file in the way":  {Dir: file, MemoryPerBody: 1},
	} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	open(t, Config{Dir: dir, MemoryPerBody: 1})
	i, err := os.Stat(dir)
	if err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
}

func BenchmarkBody(b *testing.B) {
	s := open(b, Config{MemoryPerBody: 1 << 20, Memory: 64 << 20, Disk: 1 << 30})
	for name, size := range map[string]int{"1 KiB": 1 << 10, "64 KiB": 64 << 10, "4 MiB": 4 << 20} {
		b.Run(name, func(b *testing.B) {
			p := make([]byte, min(size, 32<<10))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				body := s.New(int64(size))
				for n := 0; n < size; n += len(p) {
					if _, err := body.Write(p); err != nil {
						b.Fatal(err)
					}
				}
				if err := body.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
