package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Range(0, 1<<40).Draw(t, "ns")
		if low := bound(slot(v)); low > v || float64(v-low) > float64(v)/64+1 {
			t.Fatalf("%d counts as %d", v, low)
		}
	})
	var h hist
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	if q := h.quantile(0.99); q < 970*time.Microsecond || q > 990*time.Microsecond {
		t.Errorf("p99 of 1 to 1,000 µs is %v", q)
	}
}

// TestReplyInAnyPieces feeds two answers cut at random places.
func TestReplyInAnyPieces(t *testing.T) {
	const head = "HTTP/1.1 403 Forbidden\r\nA: b\r\n\r\n"
	wire := fmt.Sprintf("ICAP/1.0 100 Continue\r\n\r\nICAP/1.0 200 OK\r\nX: y\r\nencapsulated: res-hdr=0, res-body=%d\r\n\r\n%s"+
		"5\r\nhello\r\na;x=y\r\n0123456789\r\n0\r\n\r\n", len(head), head)
	rapid.Check(t, func(t *rapid.T) {
		var r reply
		r.reset()
		var seen []progress
		for left := []byte(wire); len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "piece")
			for b := left[:n:n]; len(b) > 0; {
				rest, p, err := r.feed(b)
				if err != nil {
					t.Fatal(err)
				}
				if b = rest; p != more {
					seen = append(seen, p)
				}
			}
			left = left[n:]
		}
		if !slices.Equal(seen, []progress{goOn, answer}) || r.status != 200 || r.inner != 403 || r.body != 15 {
			t.Fatalf("progress %v, status %d, inner %d, body %d", seen, r.status, r.inner, r.body)
		}
	})
}

// serve answers ICAP requests as a service that reads everything and answers
// 204; it checks what the generator sent.
func serve(t *testing.T, l net.Listener, wait time.Duration, bodies chan<- string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			br := bufio.NewReader(c)
			for {
				body, err := exchange(br, c)
				if err != nil {
					return
				}
				select {
				case bodies <- body:
				default:
				}
				time.Sleep(wait)
				fmt.Fprint(c, "ICAP/1.0 204 No Content\r\nISTag: \"x\"\r\n\r\n")
			}
		}()
	}
}

// exchange reads one request whole and returns its body.
func exchange(br *bufio.Reader, w io.Writer) (string, error) {
	preview, list := false, ""
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = br.ReadString('\n'); err != nil {
			return "", err
		}
		preview = preview || strings.HasPrefix(line, "Preview:")
		if v, ok := strings.CutPrefix(line, "Encapsulated:"); ok {
			list = strings.TrimSpace(v)
		}
	}
	heads, err := strconv.ParseInt(list[strings.LastIndexByte(list, '=')+1:], 10, 64)
	if err != nil {
		return "", err
	}
	if _, err := io.CopyN(io.Discard, br, heads); err != nil || strings.Contains(list, "null-body") {
		return "", err
	}
	body, ieof, err := readChunks(br)
	if err != nil || !preview || ieof {
		return body, err
	}
	fmt.Fprint(w, "ICAP/1.0 100 Continue\r\n\r\n")
	further, _, err := readChunks(br)
	return body + further, err
}

func readChunks(br *bufio.Reader) (body string, ieof bool, err error) {
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return body, false, err
		}
		size, ext, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil {
			return body, false, err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(br, b); err != nil {
			return body, false, err
		}
		if n == 0 {
			return body, strings.TrimSpace(ext) == "ieof", nil
		}
		body += string(b[:n])
	}
}

func testLoop(t *testing.T, s spec, p plan, wait time.Duration) (*tally, string) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bodies := make(chan string, 1)
	go serve(t, l, wait, bodies)
	p.addr = "unix:" + l.Addr().String()
	s.url, _ = url.Parse("icap://h/respmod")
	s.ctype, s.allow204, s.variants = "text/plain", true, 3
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	lp, err := newLoop(p, &s)
	if err != nil {
		t.Fatal(err)
	}
	out, err := lp.run(func() {})
	if err != nil {
		t.Fatal(err)
	}
	return out, <-bodies
}

func TestBodiesAreWhole(t *testing.T) {
	for _, c := range []struct{ size, preview int64 }{
		{1024, 1024}, {1025, 1024}, {100, 1024}, {100, -1}, {5000, -1}, {3<<20 + 5, 1024}, {2<<20 + 1024, -1},
	} {
		got, body := testLoop(t, spec{mode: "respmod", size: c.size, preview: c.preview}, plan{conns: 2, count: 6, length: 20 * time.Second}, 0)
		if got.lat.total != 6 || got.fails != 0 || got.status[204] != 6 {
			t.Errorf("size %d, preview %d: %d exchanges, %d failed (%v), status %v", c.size, c.preview, got.lat.total, got.fails, got.lastErr, got.status)
		}
		if int64(len(body)) != c.size {
			t.Errorf("size %d, preview %d: the service received %d bytes", c.size, c.preview, len(body))
		}
	}
}

// TestStallsAreSeen drives a service that needs 20 ms at a rate it can't keep:
// latencies must grow far beyond what one exchange takes.
func TestStallsAreSeen(t *testing.T) {
	got, _ := testLoop(t, spec{mode: "reqmod", preview: -1}, plan{conns: 1, rate: 200, length: time.Second}, 20*time.Millisecond)
	if p := got.lat.quantile(0.9); p < 200*time.Millisecond {
		t.Errorf("p90 %v: requests that were due and waited do not count", p)
	}
	if got.behind == 0 {
		t.Error("nothing is said of the requests that never began")
	}
}
