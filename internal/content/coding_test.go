package content

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var coders = map[string]func(testing.TB, []byte) []byte{
	"gzip": makeGzip, "x-gzip": makeGzip, "deflate": makeZlib, "br": makeBrotli, "zstd": makeZstd,
	"identity": func(_ testing.TB, b []byte) []byte { return b },
}

func TestContentCodings(t *testing.T) {
	w := NewWalker(newStore(t, 1<<20), Limits{})
	page := []byte("<html><body>" + strings.Repeat("words and more words. ", 500) + "</body></html>")
	e := eicar()
	tests := []struct {
		name   string
		lines  []string
		body   []byte
		want   []byte // content of the root object; nil for any
		also   []byte // some object has this content
		faults error
	}{
		{"none", nil, page, page, nil, nil},
		{"gzip", []string{"gzip"}, makeGzip(t, page), page, nil, nil},
		{"x-gzip, upper case", []string{" X-GZip "}, makeGzip(t, page), page, nil, nil},
		{"deflate as zlib", []string{"deflate"}, makeZlib(t, page), page, nil, nil},
		{"deflate raw", []string{"deflate"}, makeDeflate(t, page), page, nil, nil},
		{"br", []string{"br"}, makeBrotli(t, page), page, nil, nil},
		{"zstd", []string{"zstd"}, makeZstd(t, page), page, nil, nil},
		{"identity and empty items", []string{",identity,, gzip ,"}, makeGzip(t, page), page, nil, nil},
		{"stack in one line", []string{"gzip, br"}, makeBrotli(t, makeGzip(t, page)), page, nil, nil},
		{"stack in two lines", []string{"zstd", "deflate"}, makeZlib(t, makeZstd(t, page)), page, nil, nil},
		{"gzip twice", []string{"gzip,gzip"}, makeGzip(t, makeGzip(t, page)), page, nil, nil},
		{"five", []string{"gzip,br,zstd", "deflate,gzip"}, makeGzip(t, makeZlib(t, makeZstd(t, makeBrotli(t, makeGzip(t, page))))), page, nil, nil},
		{"six", []string{"gzip,gzip,gzip,gzip,gzip,gzip"}, e, e, nil, ErrEncoding},
		{"unknown", []string{"compress"}, e, e, nil, ErrEncoding},
		{"unknown under known", []string{"nonsense, gzip"}, makeGzip(t, e), nil, e, ErrEncoding},
		{"declared, not done", []string{"gzip"}, e, e, nil, ErrEncoding},
		{"br declared, not done", []string{"br"}, e, nil, e, ErrEncoding},
		{"zstd declared, not done", []string{"zstd"}, e, e, nil, ErrEncoding},
		{"deflate declared, not done", []string{"deflate"}, e, nil, e, ErrEncoding},
		{"wrong one declared", []string{"br"}, makeGzip(t, e), nil, e, ErrEncoding},
		{"done, not declared: gzip", nil, makeGzip(t, e), nil, e, nil},
		{"done, not declared: zlib", nil, makeZlib(t, e), nil, e, nil},
		{"done, not declared: raw deflate", nil, makeDeflate(t, bytes.Repeat(e, 3)), nil, bytes.Repeat(e, 3), nil},
		{"done, not declared: br", nil, makeBrotli(t, page), nil, page, nil},
		{"done, not declared: zstd", nil, makeZstd(t, e), nil, e, nil},
		{"done twice, declared once", []string{"gzip"}, makeGzip(t, makeGzip(t, e)), nil, e, nil},
		{"two gzip members", []string{"gzip"}, append(makeGzip(t, page), makeGzip(t, page)...), append(append([]byte{}, page...), page...), nil, nil},
		{"padding behind gzip", []string{"gzip"}, append(makeGzip(t, page), 0, 0, 0), page, nil, nil},
		{"virus behind gzip", []string{"gzip"}, append(makeGzip(t, page), e...), page, e, nil},
		{"virus behind zlib", []string{"deflate"}, append(makeZlib(t, page), e...), page, e, nil},
		{"empty body", []string{"gzip"}, nil, []byte{}, nil, nil},
		{"empty gzip", []string{"gzip"}, makeGzip(t, nil), []byte{}, nil, nil},
		{"large window br", []string{"br"}, []byte{0x11, 0, 0, 0, 0, 0, 0, 0}, nil, nil, ErrEncoding},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, body := range []Message{{Body: bytesView(test.body)}, {Body: onDisk(t, test.body)}} {
				body.ContentEncoding = test.lines
				r := walkMessage(t, w, body)
				if !errors.Is(r.err, test.faults) {
					t.Errorf("%d: error %v, want %v", i, r.err, test.faults)
				}
				if len(r.objects) == 0 {
					t.Fatal("nothing was visited")
				}
				if test.want != nil && !bytes.Equal(r.objects[0].data, test.want) {
					t.Errorf("%d: root object is %.60q", i, r.objects[0].data)
				}
				if test.also != nil && !r.has(test.also) {
					t.Errorf("%d: not visited: %.60q\n%s", i, test.also, r.paths())
				}
			}
		})
	}
}

// A truncated body is an error, and what came out of it is scanned.
func TestTruncatedCoding(t *testing.T) {
	w := NewWalker(newStore(t, 1<<20), Limits{})
	page := []byte(strings.Repeat("some text that goes on and on ", 3000))
	for name, code := range coders {
		if name == "identity" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			whole := code(t, page)
			for _, n := range []int{1, 5, len(whole) / 2, len(whole) - 1} {
				r := walkMessage(t, w, Message{ContentEncoding: []string{name}, Body: bytesView(whole[:n])})
				wantKind(t, r.err, ErrEncoding)
				raw := false
				for _, o := range r.objects {
					raw = raw || bytes.Equal(o.data, whole[:n])
				}
				if !raw {
					t.Errorf("%d bytes: the body as it came was not visited\n%s", n, r.paths())
				}
			}
		})
	}
}

func TestAnyStackOfCodings(t *testing.T) {
	w := NewWalker(newStore(t, 1<<10), Limits{})
	names := []string{"gzip", "x-gzip", "deflate", "br", "zstd", "identity"}
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 1, 5000).Draw(rt, "body")
		stack := rapid.SliceOfN(rapid.SampledFrom(names), 0, 5).Draw(rt, "stack")
		coded := body
		for _, s := range stack {
			coded = coders[s](t, coded)
		}
		var lines []string
		for _, s := range stack {
			if len(lines) > 0 && rapid.Bool().Draw(rt, "same line") {
				lines[len(lines)-1] += ", " + s
			} else {
				lines = append(lines, s)
			}
		}
		r := walkMessage(t, w, Message{ContentEncoding: lines, Body: bytesView(coded)})
		if len(r.objects) == 0 || !bytes.Equal(r.objects[0].data, body) {
			rt.Fatalf("%v: root object differs", lines)
		}
		if errors.Is(r.err, ErrEncoding) {
			rt.Fatalf("%v: %v", lines, r.err)
		}
	})
}

func TestVisitErrorEndsTheWalk(t *testing.T) {
	w := NewWalker(newStore(t, 1<<20), Limits{})
	boom := errors.New("boom")
	n := 0
	err := w.Walk(context.Background(), Message{Body: bytesView(makeTar(t, makeGzip(t, eicar())))}, func(*Object) error {
		if n++; n == 2 {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) || n != 2 {
		t.Errorf("error %v after %d objects", err, n)
	}
}

func TestPanicOfVisitIsNotSwallowed(t *testing.T) {
	defer func() {
		if recover() != "visit" {
			t.Error("the panic did not come out")
		}
	}()
	w := NewWalker(newStore(t, 1<<20), Limits{})
	_ = w.Walk(context.Background(), Message{Body: bytesView(makeGzip(t, eicar()))}, func(o *Object) error {
		if o.Depth == 1 {
			panic("visit")
		}
		return nil
	})
}

func TestContextEndsTheWalk(t *testing.T) {
	w := NewWalker(newStore(t, 1<<20), Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	err := w.Walk(ctx, Message{Body: bytesView(makeTar(t, makeGzip(t, eicar())))}, func(*Object) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if m, d := w.store.Usage(); m != 0 || d != 0 {
		t.Errorf("%d bytes of memory and %d of disk were not given back", m, d)
	}
}

// Time that runs out ends every decoder soon.
func TestTimeEndsDecoders(t *testing.T) {
	data := randomBytes(1, 3<<20)
	for i := range data {
		data[i] &= 0x3f // compresses a little, so that decoders have work
	}
	w := NewWalker(newStore(t, 1<<20), Limits{})
	for name, b := range map[string][]byte{"gzip": makeGzip(t, data), "xz": packWith(t, "-", map[string][]byte{"a": data}, "xz", "-0", "-c", "a"),
		"7z": make7z(t, data, "-mx1"), "bzip2": packWith(t, "-", map[string][]byte{"a": data}, "bzip2", "-c", "a")} {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
		start := time.Now()
		err := w.Walk(ctx, Message{Body: onDisk(t, b)}, func(*Object) error { return nil })
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		}
		cancel()
	}
}

func TestStoreWithoutRoomIsALimit(t *testing.T) {
	w := NewWalker(newStore(t, 1<<10), Limits{})
	w.store = tinyStore(t)
	err := w.Walk(context.Background(), Message{Body: bytesView(makeGzip(t, bytes.Repeat([]byte("x1y2"), 1<<16)))}, func(*Object) error { return nil })
	wantKind(t, err, ErrLimit)
}

func TestGzipNamesMember(t *testing.T) {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Name = "inner\x01.txt"
	_, _ = fmt.Fprint(z, "hello")
	_ = z.Close()
	r := walkBytes(t, buf.Bytes())
	if r.find("inner_.txt") == nil {
		t.Error(r.paths())
	}
}

// A range is looked into as far as it goes, and that it is none is no fault.
func TestPartial(t *testing.T) {
	w := NewWalker(newStore(t, 1<<20), Limits{})
	z := rawZip(0, nil, storedMember("a", eicar()), storedMember("b", make([]byte, 1000)))
	r := walkMessage(t, w, Message{Body: bytesView(z[:500]), Partial: true})
	if !r.has(eicar()) || r.err != nil {
		t.Errorf("%v\n%s", r.err, r.paths())
	}
	g := makeGzip(t, randomBytes(1, 5000))
	r = walkMessage(t, w, Message{Body: bytesView(g[:2000]), ContentEncoding: []string{"gzip"}, Partial: true})
	if len(r.objects) < 2 || r.err != nil {
		t.Errorf("%v\n%s", r.err, r.paths())
	}
	r = walkMessage(t, w, Message{Body: bytesView(g), ContentEncoding: []string{"strange"}, Partial: true})
	wantKind(t, r.err, ErrEncoding)
}

func TestConcurrentWalks(t *testing.T) {
	w := NewWalker(newStore(t, 1<<10), Limits{})
	all := makers()
	var packed [][]byte
	for _, m := range all {
		packed = append(packed, m.make(t, eicar()))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, b := range packed {
				found := false
				err := w.Walk(t.Context(), Message{Body: bytesView(b)}, func(o *Object) error {
					found = found || bytes.Equal(readAt(o.Data, 0, 100), eicar())
					return nil
				})
				if !found || err != nil {
					t.Errorf("%s: found %v, %v", all[i].name, found, err)
				}
			}
		})
	}
	wg.Wait()
}
