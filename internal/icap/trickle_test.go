package icap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func startTrickling(t *testing.T) (*node, net.Conn, *bufio.Reader) {
	n := start(t, func(c *Config) {
		c.StartSending = StartSending{Enabled: true, After: 5 * time.Millisecond, Rate: 1 << 20}
	})
	c := n.dial(t)
	return n, c, bufio.NewReader(c)
}

// readUntilTrickled reads the heads and the first chunk of an answer.
func readUntilTrickled(t *testing.T, r *bufio.Reader) {
	t.Helper()
	line, err := r.Peek(12)
	if err != nil || string(line) != "ICAP/1.0 200" {
		t.Fatalf("answer begins with %q, %v", line, err)
	}
	if _, err := r.Peek(600); err != nil { // more than the heads
		t.Fatal(err)
	}
}

func TestEarlySendingEndsWellForGoodBodies(t *testing.T) {
	for name, split := range map[string]bool{"while the judge works": false, "while the body arrives": true} {
		t.Run(name, func(t *testing.T) {
			n, c, r := startTrickling(t)
			body := strings.Repeat("0123456789abcdef", 20_000)
			wire := respmodHead("/all/wait/forward", "", "res-body") + chunked(body, 10_000, "0")
			cut := len(wire)
			if split {
				cut = 100_000
			}
			go writePieces(c, wire[:cut], 0)
			readUntilTrickled(t, r)
			close(n.stub.gate)
			go writePieces(c, wire[cut:], 0)
			a := get(t, r)
			if a.status != 200 || string(a.body) != body {
				t.Errorf("answer %d with %d bytes, want all %d", a.status, len(a.body), len(body))
			}
			eventually(t, "the delivery is known", func() bool { return n.stub.ends.Load() == 1 })
			if d := n.stub.last().end; d.Sent != int64(len(body)) || d.Err != nil {
				t.Errorf("delivery %+v", d)
			}
		})
	}
}

func TestEarlySendingWithholdsBadBodies(t *testing.T) {
	for _, act := range []string{"block", "redirect", "replace?with=x", "strip?field=X-Odd", "nonsense"} {
		t.Run(act, func(t *testing.T) {
			n, c, r := startTrickling(t)
			body := strings.Repeat("0123456789abcdef", 2000)
			go writePieces(c, respmodHead("/all/wait/"+act, "Allow: 204\r\n", "res-body")+chunked(body, 10_000, "0"), 0)
			readUntilTrickled(t, r)
			// Given all the time it likes, it keeps back at least an eighth.
			time.Sleep(200 * time.Millisecond)
			close(n.stub.gate)
			rest, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(string(rest), "0\r\n\r\n") || strings.Count(string(rest), "0123456789abcdef")*16 > len(body)-trickleKeep {
				t.Errorf("%d bytes came, ending with %q", len(rest), rest[len(rest)-20:])
			}
			eventually(t, "the delivery is known", func() bool { return n.stub.ends.Load() == 1 })
			if d := n.stub.last().end; !errors.Is(d.Err, errWithheld) || n.Stats().Cut != 1 {
				t.Errorf("delivery %+v, cut %d", d, n.Stats().Cut)
			}
		})
	}
}

func TestEarlySendingIsNotForEverything(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	fetch := "GET http://h/all/wait/block HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, send := range map[string]string{
		"request":        reqmodHead("/all/wait/block", "", "req-body") + chunked(body, 9000, "0"),
		"no content":     respmodWith(fetch, "HTTP/1.1 204 No Content\r\n\r\n", "", "res-body") + chunked(body, 9000, "0"),
		"not modified":   respmodWith(fetch, "HTTP/1.1 304 Not Modified\r\n\r\n", "", "res-body") + chunked(body, 9000, "0"),
		"HEAD":           respmodWith("HEAD"+fetch[3:], "HTTP/1.1 200 OK\r\n\r\n", "", "res-body") + chunked(body, 9000, "0"),
		"in the preview": respmodHead("/prefix/wait/block", "Preview: 4\r\n", "res-body") + chunked("abcd", 4, "0"),
		"without head":   fmt.Sprintf("RESPMOD icap://g/respmod ICAP/1.0\r\nHost: g\r\nEncapsulated: req-hdr=0, res-body=%d\r\n\r\n%s", len(fetch), fetch) + chunked(body, 9000, "0"),
	} {
		t.Run(name, func(t *testing.T) {
			n, c, r := startTrickling(t)
			go writePieces(c, send, 0)
			eventually(t, "the judge works", func() bool { return n.stub.runs.Load() == 1 })
			time.Sleep(30 * time.Millisecond) // it must not begin meanwhile
			close(n.stub.gate)
			a := get(t, r)
			if !strings.HasPrefix(a.resHdr, "HTTP/1.1 403 ") {
				t.Errorf("answer %q", render(a))
			}
		})
	}
}

func TestQuickAnswersDoNotBeginEarly(t *testing.T) {
	n := start(t, func(c *Config) { c.StartSending = StartSending{Enabled: true, After: time.Hour, Rate: 1 << 20} })
	c := n.dial(t)
	r := bufio.NewReader(c)
	body := strings.Repeat("x", 100_000)
	want(t, ask(t, c, r, respmodHead("/all/block", "Allow: 204\r\n", "res-body")+chunked(body, 9000, "0")), "200 HTTP/1.1 403 Forbidden {"+page+"}")
	want(t, ask(t, c, r, respmodHead("/all/forward", "Allow: 204\r\nPreview: 10\r\n", "res-body")+chunked(body[:10], 9000, "0")), "100")
	want(t, ask(t, c, r, chunked(body, 9000, "0")), "204")
}
