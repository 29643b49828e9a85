package content

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

// fuzzLimits keep one input cheap.
var fuzzLimits = Limits{Depth: 6, ObjectSize: 1 << 20, ExpandedSize: 4 << 20, Ratio: 100, Members: 500}

// fuzzStore lives as long as the fuzzing process.
func fuzzStore(f *testing.F) *spool.Store {
	f.Helper()
	s, err := spool.Open(spool.Config{Dir: f.TempDir(), MemoryPerBody: 64 << 10, Memory: 64 << 20, Disk: 64 << 20})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func addAll(f *testing.F, names ...string) {
	f.Helper()
	text := bytes.Repeat(append(eicar(), "some more text to pack "...), 5)
	for _, m := range makers() {
		for _, n := range names {
			if n == m.name || n == "*" {
				f.Add(m.make(f, text))
			}
		}
	}
}

// checkWalk walks b in memory and on disk: it must end in time, with a known
// kind of error, fit names, all room given back, and the same objects both
// times.
func checkWalk(t *testing.T, w *Walker, m Message) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	b := readAt(m.Body, 0, m.Body.Size())
	var sizes [2][]int64
	var errs [2]error
	for i, c := range [...]tx.Content{bytesView(b), noBytes{bytesView(b)}} {
		m.Body = c
		errs[i] = w.Walk(ctx, m, func(o *Object) error {
			sizes[i] = append(sizes[i], o.Data.Size())
			if o.Type == "" || o.Data == nil || len(o.Name) > maxName+4 || len(o.Path) > maxPath+8 {
				t.Errorf("bad object %+v", o)
			}
			if n, err := io.Copy(io.Discard, io.NewSectionReader(o.Data, 0, o.Data.Size())); err != nil || n != o.Data.Size() {
				t.Errorf("%s: %d of %d bytes can be read: %v", o.Path, n, o.Data.Size(), err)
			}
			return nil
		})
		if errs[i] != nil && !errors.Is(errs[i], ErrLimit) && !errors.Is(errs[i], ErrDamaged) && !errors.Is(errs[i], ErrEncoding) {
			t.Errorf("error of no kind: %v", errs[i])
		}
	}
	if len(sizes[0]) != len(sizes[1]) || (errs[0] == nil) != (errs[1] == nil) {
		t.Errorf("in memory %d objects, %v; on disk %d objects, %v", len(sizes[0]), errs[0], len(sizes[1]), errs[1])
	}
	if mem, disk := w.store.Usage(); mem != 0 || disk != 0 {
		t.Errorf("%d bytes of memory and %d of disk were not given back", mem, disk)
	}
}

// noBytes hides that a content lies in memory.
type noBytes struct{ *view }

func (noBytes) Bytes() ([]byte, bool) { return nil, false }

func fuzzWalk(f *testing.F, names ...string) {
	addAll(f, names...)
	w := NewWalker(fuzzStore(f), fuzzLimits)
	f.Fuzz(func(t *testing.T, b []byte) { checkWalk(t, w, Message{Body: bytesView(b)}) })
}

func FuzzWalk(f *testing.F) { fuzzWalk(f, "*") }

func FuzzZip(f *testing.F) {
	r, err := os.ReadFile("testdata/r.zip")
	must(f, err)
	f.Add(r)
	lie := storedMember("a", eicar())
	lie.method = 8
	f.Add(rawZip(0, nil, lie))
	f.Add(packWith(f, "x.zip", map[string][]byte{"a": bytes.Repeat(eicar(), 9)}, "7z", "a", "-bd", "-tzip", "-mm=LZMA", "x.zip", "a"))
	f.Add(packWith(f, "x.zip", map[string][]byte{"a": bytes.Repeat(eicar(), 9)}, "7z", "a", "-bd", "-tzip", "-mm=Deflate64", "x.zip", "a"))
	fuzzWalk(f, "zip-stored", "zip-deflate", "sfx")
}

func FuzzSevenZip(f *testing.F) {
	text := bytes.Repeat(eicar(), 30)
	for _, args := range [][]string{{"-mhc=off"}, {"-m0=PPMd", "-mhc=off"}, {"-mf=BCJ2", "-mhc=off"}, {"-m0=Copy"}, {"-m0=BCJ", "-m1=LZMA"}} {
		f.Add(make7z(f, text, args...))
	}
	fuzzWalk(f, "7z")
}

func FuzzRAR(f *testing.F)    { fuzzWalk(f, "rar4", "rar5") }
func FuzzTar(f *testing.F)    { f.Add(sparseTar(f)); fuzzWalk(f, "tar") }
func FuzzXZ(f *testing.F)     { fuzzWalk(f, "xz", "lzma") }
func FuzzCab(f *testing.F)    { fuzzWalk(f, "cab-stored", "cab-mszip") }
func FuzzISO(f *testing.F)    { fuzzWalk(f, "iso") }
func FuzzOLE(f *testing.F)    { fuzzWalk(f, "ole") }
func FuzzPDF(f *testing.F)    { fuzzWalk(f, "pdf") }
func FuzzRTF(f *testing.F)    { fuzzWalk(f, "rtf") }
func FuzzMail(f *testing.F)   { fuzzWalk(f, "eml") }
func FuzzBase64(f *testing.F) { fuzzWalk(f, "html", "json") }
func FuzzSmall(f *testing.F)  { fuzzWalk(f, "ar", "cpio", "rpm", "z", "lz4") }

// FuzzLZX and FuzzInflate64 go at decoders that few inputs above reach.
func FuzzLZX(f *testing.F) {
	f.Add(uint8(15), []byte("\x00\x30\x00\x01"), uint16(16))
	f.Fuzz(func(_ *testing.T, bits uint8, b []byte, want uint16) {
		d := newLZX(uint(bits)%7 + 15)
		for range 3 {
			if _, err := d.block(b, int(want)%32768+1); err != nil {
				return
			}
		}
	})
}

func FuzzInflate64(f *testing.F) {
	f.Add(makeDeflate(f, eicar()))
	f.Fuzz(func(t *testing.T, b []byte) {
		v := bytesView(b)
		_, _ = io.CopyN(io.Discard, newInflate64(newSource(t.Context(), v, 0, v.Size())), 1<<20)
	})
}

func FuzzMultipart(f *testing.F) {
	f.Add("multipart/form-data; boundary=xyz", []byte("--xyz\r\nContent-Disposition: form-data; name=a; filename=b\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--xyz--\r\n"))
	f.Add("multipart/mixed; boundary=\"a b\"; boundary=c", []byte("--c\n\nx\n--c--"))
	w := NewWalker(fuzzStore(f), fuzzLimits)
	f.Fuzz(func(t *testing.T, ct string, b []byte) {
		checkWalk(t, w, Message{Body: bytesView(b), ContentType: ct, ContentDisposition: ct, FileName: ct})
	})
}

func FuzzForm(f *testing.F) {
	f.Add([]byte("a=1&b=%58%35O%21P%25%40AP%5B4%5CPZX54%28P%5E%297CC%297%7D%24"))
	w := NewWalker(fuzzStore(f), fuzzLimits)
	f.Fuzz(func(t *testing.T, b []byte) {
		checkWalk(t, w, Message{Body: bytesView(b), ContentType: "application/x-www-form-urlencoded"})
	})
}

func FuzzCoding(f *testing.F) {
	f.Add("gzip", makeGzip(f, eicar()))
	f.Add("deflate, br", makeBrotli(f, makeZlib(f, eicar())))
	f.Add("zstd", makeZstd(f, eicar()))
	f.Add("deflate", makeDeflate(f, eicar()))
	w := NewWalker(fuzzStore(f), fuzzLimits)
	f.Fuzz(func(t *testing.T, coding string, b []byte) {
		checkWalk(t, w, Message{Body: bytesView(b), ContentEncoding: []string{coding}})
	})
}

// FuzzSimple: what is simple is one object without faults.
func FuzzSimple(f *testing.F) {
	addAll(f, "*")
	f.Add([]byte("hello"))
	w := NewWalker(fuzzStore(f), fuzzLimits)
	f.Fuzz(func(t *testing.T, b []byte) {
		o, ok := w.Simple(Message{Body: bytesView(b)})
		if !ok {
			return
		}
		n := 0
		err := w.Walk(t.Context(), Message{Body: bytesView(b)}, func(p *Object) error {
			if n++; p.Type != o.Type || p.MIME != o.MIME || p.Container || p.Encrypted || p.Macros {
				t.Errorf("simple %+v, walk %+v", o, p)
			}
			return nil
		})
		if n != 1 || err != nil {
			t.Errorf("%d objects, %v", n, err)
		}
	})
}

// FuzzCure: a cured zip has no dropped member, and curing it again changes
// nothing.
func FuzzCure(f *testing.F) {
	f.Add(rawZip(0, nil, storedMember("a", []byte("hello")), deflatedMember("evil", eicar())))
	addAll(f, "zip-stored", "zip-deflate", "sfx")
	s := fuzzStore(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		cured, _, err := Cure(t.Context(), s, bytesView(b), func(n string) bool { return n == "evil" })
		if err != nil {
			return
		}
		defer cured.Close()
		again, removed, err := Cure(t.Context(), s, cured, func(n string) bool { return n == "evil" })
		if err != nil || len(removed) != 0 {
			t.Fatalf("again: %q, %v", removed, err)
		}
		defer again.Close()
		if again.SHA256() != cured.SHA256() {
			t.Error("curing it again changes it")
		}
	})
}
