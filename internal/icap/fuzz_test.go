package icap

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sluice/internal/tx"
)

func FuzzICAPHead(f *testing.F) {
	for _, tc := range conformanceCases() {
		if head, _, ok := strings.Cut(tc.send, "\r\n\r\n"); ok && len(head) < 2000 {
			f.Add([]byte(head + "\r\n\r\n"))
		}
	}
	cfg, err := testConfig().checked()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var q request
		if r := q.parse(b, cfg); r != nil {
			if s := kinds[r.kind].status; s < 400 || s > 505 {
				t.Errorf("refused with %d", s)
			}
			return
		}
		if !bytes.HasSuffix(b, headEnd) || bytes.Count(b, headEnd) != 1 || bytes.Count(b, []byte("\n")) != len(q.fields)+2 || bytes.Count(b, []byte("\r")) != len(q.fields)+2 {
			t.Errorf("accepted %q with %d fields", b, len(q.fields))
		}
		checkFieldsClean(t, q.fields)
		if !q.enc.fits(q.method) {
			t.Errorf("accepted %+v for %s", q.enc, methodNames[q.method])
		}
	})
}

func checkFieldsClean(t *testing.T, h tx.Header) {
	for _, f := range h {
		if !isToken(f.Name) || !cleanBytes(f.Value) || len(f.Value) != len(trimOWS(f.Value)) {
			t.Errorf("accepted field %q: %q", f.Name, f.Value)
		}
	}
}

func FuzzHTTPHead(f *testing.F) {
	for _, tc := range conformanceCases() {
		if _, rest, ok := strings.Cut(tc.send, "\r\n\r\n"); ok && len(rest) < 2000 {
			f.Add([]byte(rest))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		if r := h.parse(b, 100); r != nil {
			return
		}
		checkFieldsClean(t, h.fields)
		if n, r := declaredLength(h.fields); r == nil && n < -1 {
			t.Errorf("length %d", n)
		}
		if n, r := h.statusLine(); r == nil && (n < 100 || n > 999) {
			t.Errorf("status %d", n)
		}
		method, target, r := h.requestLine()
		if r != nil {
			return
		}
		url, _, r := absoluteURL(method, target, h.fields, nil)
		if r == nil && string(method) != "CONNECT" && (!bytes.Contains(url, []byte("://")) || !isTarget(url)) {
			t.Errorf("URL %q", url)
		}
	})
}

func FuzzEncapsulated(f *testing.F) {
	for _, tc := range encapsulatedCases() {
		_, rest, _ := strings.Cut(tc.send, "Encapsulated: ")
		value, _, _ := strings.Cut(rest, "\r\n")
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, r := parseEncapsulated(b, 5000)
		if r == nil && (e.reqLen < 0 || e.resLen < 0 || e.reqLen > 5000 || e.resLen > 5000 || e.body < reqBody || e.body > nullBody) {
			t.Errorf("%q is %+v", b, e)
		}
	})
}

// FuzzChunks reads a body whole and in two pieces: both must see the same.
func FuzzChunks(f *testing.F) {
	for _, tc := range chunkCases() {
		_, rest, _ := strings.Cut(tc.send, "spaced\r\n\r\n")
		if len(rest) < 2000 {
			f.Add([]byte(rest), 3)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, wholeUsed, wholeErr := readChunks(b, len(b))
		pieces, used, err := readChunks(b, cut)
		if (err == nil) != (wholeErr == nil) || err == nil && (used != wholeUsed || !bytes.Equal(whole, pieces)) {
			t.Errorf("%q: whole %q (%d, %v), cut at %d %q (%d, %v)", b, whole, wholeUsed, wholeErr, cut, pieces, used, err)
		}
		if len(whole) > len(b) {
			t.Error("more data than input")
		}
	})
}

// readChunks shows the reader first b[:cut], then all.
func readChunks(b []byte, cut int) (data []byte, used int, err error) {
	var d chunkReader
	d.reset(100, 200)
	cut = max(0, min(cut, len(b)))
	for _, end := range []int{cut, len(b)} {
		for {
			p, n, r := d.next(b[used:end])
			if r != nil {
				return nil, used, r
			}
			used += n
			data = append(data, p...)
			if len(p) == 0 {
				break
			}
		}
	}
	if !d.done() {
		return nil, used, io.ErrUnexpectedEOF
	}
	return data, used, nil
}

// script is a connection whose peer sends in and hangs up.
type script struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *script) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *script) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *script) Close() error                     { return nil }
func (c *script) CloseWrite() error                { return nil }
func (c *script) LocalAddr() net.Addr              { return nil }
func (c *script) RemoteAddr() net.Addr             { return nil }
func (c *script) SetDeadline(time.Time) error      { return nil }
func (c *script) SetReadDeadline(time.Time) error  { return nil }
func (c *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzConnection sends bytes to a server and hangs up. Whatever they are, the
// server answers in proper ICAP or not at all, no answer follows an error, and
// every transaction ends.
func FuzzConnection(f *testing.F) {
	for _, tc := range conformanceCases() {
		if send := tc.send + strings.Join(tc.then, ""); len(send) < 4000 {
			f.Add([]byte(send))
		}
	}
	engine := &stub{gate: make(chan struct{})}
	close(engine.gate)
	cfg := testConfig()
	cfg.MaxHeaderBytes = 4096
	s, err := NewServer(engine, testStore(f), cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte("pagesize")) || bytes.Contains(b, []byte("with=")) {
			return // scripts of the stub that take memory
		}
		engine.runs.Store(0)
		engine.ends.Store(0)
		c := &script{in: bytes.NewReader(b)}
		newConn(s, c).serve()
		checkAnswers(t, b, &c.out)
		if engine.runs.Load() != engine.ends.Load() {
			t.Errorf("%q: %d transactions began, %d ended", b, engine.runs.Load(), engine.ends.Load())
		}
		if mem, disk := s.store.Usage(); mem != 0 || disk != 0 {
			t.Errorf("%q: spool holds %d, %d", b, mem, disk)
		}
		if n := s.stats.panics.Swap(0); n != 0 && !bytes.Contains(b, []byte("/panic")) {
			t.Errorf("%q: panic", b)
		}
	})
}

func checkAnswers(t *testing.T, b []byte, out *bytes.Buffer) {
	r := bufio.NewReader(out)
	closed := false
	for {
		a, err := readAnswer(r)
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.Is(err, io.ErrUnexpectedEOF) && a != nil && a.status == 200:
			return // an answer that was cut
		case err != nil:
			t.Errorf("%q: answer is malformed: %v, %+v", b, err, a)
			return
		case closed:
			t.Errorf("%q: an answer follows one that said close: %+v", b, a)
			return
		}
		closed = a.header.Get("Connection") == "close"
		if a.status >= 400 && !closed {
			t.Errorf("%q: %d without close", b, a.status)
		}
	}
}
