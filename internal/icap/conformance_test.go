package icap

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// conformance is one case of the suite: bytes in, answers out.
type conformance struct {
	name string
	send string   // the request or requests, as raw bytes
	then []string // sent one by one, each after another "100 Continue"
	// want is the answers in order, as render writes them.
	want []string
	// closes says that the server ends the connection then; otherwise it must
	// answer one more request.
	closes bool
	// has lists "Name: value" lines that the last answer carries, and
	// "!Name" for fields that it must not carry.
	has []string
	// seen, when set, is the transaction as the engine saw it.
	seen string
	// whole says that the answer depends on the request arriving in one piece.
	whole bool
}

// render writes an answer in one line: status, first line of the encapsulated
// head, body in braces, "+orig N" for use-original-body.
func render(a *answer) string {
	s := fmt.Sprint(a.status)
	for _, h := range []string{a.reqHdr, a.resHdr} {
		if h != "" {
			line, _, _ := strings.Cut(h, "\r\n")
			s += " " + line
		}
	}
	if a.hasBody {
		body := string(a.body)
		if len(body) > 64 {
			body = fmt.Sprintf("%d bytes", len(body))
		}
		s += " {" + body + "}"
	}
	if a.original >= 0 {
		s += fmt.Sprintf(" +orig %d", a.original)
	}
	return s
}

const probe = "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\nHost: gw.test\r\n\r\n"

// delivery is how the bytes of a case travel.
type delivery struct {
	name  string
	dial  func(t *testing.T) net.Conn
	piece int // bytes a write; 0 for all at once
}

func TestConformance(t *testing.T) {
	n := start(t, func(c *Config) { c.MaxHeaderBytes, c.MaxHeaderFields = 4096, 40 })
	ways := []delivery{
		{name: "tcp", dial: func(t *testing.T) net.Conn { return n.dial(t) }},
		{name: "bytewise", dial: func(t *testing.T) net.Conn { return n.dial(t) }, piece: 1},
		{name: "tls", dial: n.tlsDialer(t)},
		{name: "unix", dial: n.unixDialer(t), piece: 7},
	}
	cases := conformanceCases()
	if len(cases) < 200 {
		t.Fatalf("only %d cases", len(cases))
	}
	names := map[string]bool{}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			for _, tc := range cases {
				if key := way.name + "/" + tc.name; names[key] {
					t.Fatalf("two cases are called %q", tc.name)
				} else {
					names[key] = true
				}
				if way.piece > 0 && tc.whole {
					continue
				}
				t.Run(tc.name, func(t *testing.T) { tc.run(t, n, way) })
			}
		})
	}
}

func (tc *conformance) run(t *testing.T, n *node, way delivery) {
	c := way.dial(t)
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		writePieces(c, tc.send, way.piece)
	}()
	then := tc.then
	var last *answer
	for i, want := range tc.want {
		a, err := readAnswer(r)
		if err != nil {
			t.Fatalf("answer %d: %v, want %q", i+1, err, want)
		}
		if got := render(a); got != want {
			t.Fatalf("answer %d is\n%q, want\n%q (%v)", i+1, got, want, a.header)
		}
		if a.status == 100 {
			if len(then) == 0 {
				t.Fatal("unexpected 100 Continue")
			}
			<-sent
			writePieces(c, then[0], way.piece)
			then = then[1:]
		}
		last = a
	}
	tc.checkFields(t, last)
	if tc.closes {
		wantClosed(t, r)
	} else {
		<-sent
		writePieces(c, probe, way.piece)
		if a, err := readAnswer(r); err != nil || a.status != 200 || a.header.Get("Methods") != "REQMOD" {
			t.Fatalf("the connection can't be used any more: %v, %v", a, err)
		}
	}
	if tc.seen != "" {
		if got := n.stub.last().tx; got != tc.seen {
			t.Errorf("engine saw\n%s, want\n%s", got, tc.seen)
		}
	}
}

func (tc *conformance) checkFields(t *testing.T, a *answer) {
	if a == nil {
		return
	}
	if a.status != 100 && a.header.Get("Istag") != `"tag-1"` {
		t.Errorf("ISTag is %q", a.header.Get("Istag"))
	}
	if got := a.header.Get("Connection") == "close"; a.status != 100 && got != tc.closes {
		t.Errorf("Connection: close is %v, the connection closes: %v", got, tc.closes)
	}
	for _, line := range tc.has {
		if name, absent := strings.CutPrefix(line, "!"); absent {
			if a.header.Get(name) != "" || strings.Contains(a.resHdr+a.reqHdr, "\r\n"+name+":") {
				t.Errorf("%s is there: %v %q", name, a.header, a.resHdr+a.reqHdr)
			}
			continue
		}
		name, value, _ := strings.Cut(line, ": ")
		if a.header.Get(name) != value && !strings.Contains(a.resHdr+a.reqHdr, "\r\n"+line+"\r\n") {
			t.Errorf("no line %q in %v %q", line, a.header, a.resHdr+a.reqHdr)
		}
	}
}

// writePieces writes s in pieces of n bytes, of larger ones behind the first
// kilobytes. The server may close in between.
func writePieces(c net.Conn, s string, n int) {
	if n == 0 {
		n = max(1, len(s))
	}
	for written := 0; len(s) > 0; {
		m := min(n, len(s))
		if written += m; written > 3000 {
			m = min(100*n, len(s))
		}
		if _, err := io.WriteString(c, s[:m]); err != nil {
			return
		}
		s = s[m:]
	}
}

func wantClosed(t *testing.T, r io.Reader) {
	t.Helper()
	b := make([]byte, 1)
	if n, err := r.Read(b); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("connection is not closed: %d bytes, %v", n, err)
	}
}

func (n *node) unixDialer(t *testing.T) func(*testing.T) net.Conn {
	path := t.TempDir() + "/icap.sock"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = n.Serve(l) }() // ends with the node
	return func(t *testing.T) net.Conn {
		return dialDeadline(t, func() (net.Conn, error) { return net.Dial("unix", path) })
	}
}

func (n *node) tlsDialer(t *testing.T) func(*testing.T) net.Conn {
	server, client := testTLS(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = n.Serve(tls.NewListener(l, server)) }() // ends with the node
	return func(t *testing.T) net.Conn {
		return dialDeadline(t, func() (net.Conn, error) { return tls.Dial("tcp", l.Addr().String(), client) })
	}
}

func dialDeadline(t *testing.T, dial func() (net.Conn, error)) net.Conn {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}
