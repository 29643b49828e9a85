package content

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// packZeros lets a program pack n zero bytes: "gzip", "-c" and so on.
func packZeros(t testing.TB, n int64, args ...string) []byte {
	t.Helper()
	if raceEnabled {
		n = max(n/8, 16<<20)
	}
	name := filepath.Join(t.TempDir(), "zeros")
	must(t, os.WriteFile(name, nil, 0o600))
	must(t, os.Truncate(name, n))
	return runTool(t, "", args[0], append(args[1:], name)...)
}

func gzipZeros(t testing.TB, n int64) []byte { return packZeros(t, n, "gzip", "-cn") }

// zipZeros makes a ZIP member of what gzip packed: both are deflate.
func zipZeros(t testing.TB, name string, n int64) []byte {
	if n == 0 {
		return makeZip(t, 8, name, nil)
	}
	g := gzipZeros(t, n)
	m := zipMember{name: name, method: 8, raw: g[10 : len(g)-8]}
	m.crc, m.usize = binary.LittleEndian.Uint32(g[len(g)-8:]), binary.LittleEndian.Uint32(g[len(g)-4:])
	return rawZip(0, nil, m)
}

// zipOf packs the same bytes n times under different names.
func zipOf(t testing.TB, n int, b []byte) []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := range n {
		f, err := w.Create(fmt.Sprintf("%d.zip", i))
		must(t, err)
		_, err = f.Write(b)
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

// overlapZip has n directory entries for one local header.
func overlapZip(t testing.TB, n int, size int64) []byte {
	one := zipZeros(t, "0", size)
	at := bytes.LastIndex(one, sigCentral)
	end := bytes.LastIndex(one, sigEOCD)
	entry := one[at:end]
	out := append([]byte{}, one[:at]...)
	for i := range n {
		name := fmt.Sprintf("%06d", i)
		e := append([]byte{}, entry[:centralLen]...)
		binary.LittleEndian.PutUint16(e[28:], uint16(len(name)))
		binary.LittleEndian.PutUint16(e[30:], 0)
		out = append(append(out, e...), name...)
	}
	eocd := append([]byte{}, one[end:]...)
	binary.LittleEndian.PutUint16(eocd[8:], uint16(n))
	binary.LittleEndian.PutUint16(eocd[10:], uint16(n))
	binary.LittleEndian.PutUint32(eocd[12:], uint32(len(out)-at))
	return append(out, eocd...)
}

func sparseTar(t testing.TB) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Name: "a", Size: 512, Format: tar.FormatGNU}))
	_, err := w.Write(make([]byte, 512))
	must(t, err)
	must(t, w.Close())
	b := buf.Bytes()
	h := b[:512]
	h[156] = 'S'
	copy(h[386:], fmt.Sprintf("%011o\x00%011o\x00", 0, 512))
	copy(h[483:], fmt.Sprintf("%011o\x00", int64(1)<<32)) // the size with holes
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

type bomb struct {
	name  string
	make  func(t testing.TB) Message
	limit bool // it is over a bound, not only harmless
}

func body(b []byte) Message { return Message{Body: bytesView(b)} }

func bombs() []bomb {
	return []bomb{
		{"flat zip", func(t testing.TB) Message { return body(zipZeros(t, "a", 128<<20)) }, true},
		{"flat zip in a zip of 100", func(t testing.TB) Message { return body(zipOf(t, 100, zipZeros(t, "a", 32<<20))) }, true},
		{"different zips, nested", func(t testing.TB) Message { return body(nestedZip(t, 3)) }, true},
		{"overlapping zip", func(t testing.TB) Message { return body(overlapZip(t, 20000, 7<<20)) }, true},
		{"overlapping zip of large members", func(t testing.TB) Message { return body(overlapZip(t, 60000, 64<<20)) }, true},
		{"zip with very many empty members", func(t testing.TB) Message { return body(overlapZip(t, 65000, 0)) }, false},
		{"quine", func(t testing.TB) Message {
			b, err := os.ReadFile("testdata/r.zip")
			must(t, err)
			return body(b)
		}, false},
		{"gzip", func(t testing.TB) Message { return body(gzipZeros(t, 128<<20)) }, true},
		{"gzip of 10 MB", func(t testing.TB) Message {
			one := gzipZeros(t, 128<<20)
			return body(bytes.Repeat(one, 10<<20/len(one)))
		}, true},
		{"gzip as coding, stacked", func(t testing.TB) Message {
			b := makeGzip(t, makeGzip(t, gzipZeros(t, 256<<20)))
			return Message{Body: bytesView(b), ContentEncoding: []string{"gzip, gzip, gzip"}}
		}, true},
		{"gzip in gzip in gzip", func(t testing.TB) Message { return body(makeGzip(t, makeGzip(t, gzipZeros(t, 128<<20)))) }, true},
		{"br as coding", func(t testing.TB) Message {
			return Message{Body: bytesView(packZeros(t, 128<<20, "brotli", "-q", "1", "-c")), ContentEncoding: []string{"br"}}
		}, true},
		{"br not declared", func(t testing.TB) Message { return body(packZeros(t, 128<<20, "brotli", "-q", "1", "-c")) }, true},
		{"zstd", func(t testing.TB) Message { return body(packZeros(t, 128<<20, "zstd", "-q", "-c")) }, true},
		{"bzip2", func(t testing.TB) Message { return body(packZeros(t, 32<<20, "bzip2", "-c")) }, true},
		{"xz", func(t testing.TB) Message { return body(packZeros(t, 128<<20, "xz", "-0", "-c")) }, true},
		{"xz with a large dictionary", func(t testing.TB) Message {
			return body(packZeros(t, 128<<20, "xz", "--lzma2=preset=0,dict=1GiB", "-c"))
		}, true},
		{"lzma", func(t testing.TB) Message { return body(packZeros(t, 64<<20, "xz", "-0", "--format=lzma", "-c")) }, true},
		{"7z", func(t testing.TB) Message {
			return body(packWith(t, "x.7z", map[string][]byte{"a": make([]byte, 32<<20)}, "7z", "a", "-bd", "-mx1", "x.7z", "a"))
		}, true},
		{"sparse tar", func(t testing.TB) Message { return body(sparseTar(t)) }, false},
		{"docx", func(t testing.TB) Message { return body(zipZeros(t, "word/document.xml", 128<<20)) }, true},
		{"pdf", func(t testing.TB) Message {
			var buf bytes.Buffer
			z := makeZlib(t, make([]byte, 16<<20))
			fmt.Fprintf(&buf, "%%PDF-1.4\n1 0 obj <</Type/EmbeddedFile/Filter/FlateDecode>>\nstream\n%s\nendstream endobj\n", z)
			return body(buf.Bytes())
		}, true},
		{"nested 200 deep", func(t testing.TB) Message {
			b := eicar()
			for range 200 {
				b = makeGzip(t, b)
			}
			return body(b)
		}, true},
		{"base64 nested", func(t testing.TB) Message {
			b := gzipZeros(t, 64<<20)
			for range 3 {
				b = []byte(base64.StdEncoding.EncodeToString(b))
			}
			return body(b)
		}, true},
		{"hundreds of thousands of parts", func(t testing.TB) Message {
			b := bytes.Repeat([]byte("--x\r\n\r\na\r\n"), 300_000)
			return Message{Body: bytesView(b), ContentType: "multipart/form-data; boundary=x"}
		}, true},
	}
}

// nestedZip is 16 different zips in each zip, and zeros at the bottom.
func nestedZip(t testing.TB, depth int) []byte {
	if depth == 0 {
		return zipZeros(t, fmt.Sprintf("bottom %d", time.Now().UnixNano()), 16<<20)
	}
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	inner := nestedZip(t, depth-1)
	for i := range 16 {
		f, err := w.Create(fmt.Sprintf("%d.zip", i))
		must(t, err)
		_, err = f.Write(append([]byte(fmt.Sprintf("PK00%02d", i)), inner...)) // all differ
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

// TestBombs takes each bomb with the default bounds: 2 s of CPU, 64 MiB of
// memory, 256 MiB of disk.
func TestBombs(t *testing.T) {
	for _, b := range bombs() {
		t.Run(b.name, func(t *testing.T) {
			m := b.make(t)
			if m.Body.Size() > 1<<20 {
				m.Body = onDisk(t, readAt(m.Body, 0, m.Body.Size()))
			}
			u, err := measure(t, m)
			t.Logf("%d KiB: cpu %v, memory %d MiB, disk %d MiB, %d objects: %v", m.Body.Size()>>10, u.cpu.Round(time.Millisecond), u.memory>>20, u.disk>>20, u.objects, err)
			if b.limit {
				wantKind(t, err, ErrLimit)
			}
			if !raceEnabled && (u.cpu > 2*time.Second || u.memory > 64<<20) || u.disk > 256<<20 {
				t.Errorf("over 2 s, 64 MiB or 256 MiB")
			}
		})
	}
}

type usage struct {
	cpu          time.Duration
	memory, disk int64
	objects      int
}

// measure walks m and watches what that takes. Memory is the growth of the live
// and not yet collected heap.
func measure(t testing.TB, m Message) (u usage, err error) {
	t.Helper()
	w := NewWalker(newStore(t, 1<<20), Limits{})
	runtime.GC()
	runtime.GC()
	before := heap()
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			u.memory = max(u.memory, heap()-before)
			_, d := w.store.Usage()
			u.disk = max(u.disk, d)
			time.Sleep(500 * time.Microsecond)
		}
	}()
	start := cpu()
	err = w.Walk(context.Background(), m, func(*Object) error {
		u.objects++
		return nil
	})
	u.cpu = cpu() - start
	stop.Store(true)
	<-done
	return u, err
}

func heap() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

func cpu() time.Duration {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
