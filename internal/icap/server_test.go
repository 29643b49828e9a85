package icap

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/tx"
)

// ask sends a request and reads one answer.
func ask(t testing.TB, c net.Conn, r *bufio.Reader, request string) *answer {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return get(t, r)
}

func get(t testing.TB, r *bufio.Reader) *answer {
	t.Helper()
	a, err := readAnswer(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func want(t testing.TB, a *answer, rendered string) {
	t.Helper()
	if got := render(a); got != rendered {
		t.Fatalf("answer %q, want %q (%v)", got, rendered, a.header)
	}
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

var get204 = reqmodHead("/forward", "Allow: 204\r\n", "null-body")

func TestConfigBounds(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no tag":             func(c *Config) { c.ISTag = nil },
		"no path":            func(c *Config) { c.ReqmodPath = "" },
		"same path":          func(c *Config) { c.ReqmodPath = c.RespmodPath },
		"path with query":    func(c *Config) { c.ReqmodPath = "/a?b" },
		"preview":            func(c *Config) { c.Preview = MaxPreview + 1 },
		"connections":        func(c *Config) { c.MaxConnections = 100_001 },
		"negative":           func(c *Config) { c.MaxConnections = -1 },
		"header name":        func(c *Config) { c.Headers.User = []string{"X User"} },
		"extension":          func(c *Config) { c.TransferIgnore = []string{"a b"} },
		"service":            func(c *Config) { c.Service = "a\r\nb" },
		"sending without":    func(c *Config) { c.StartSending = StartSending{Enabled: true} },
		"sending too fast":   func(c *Config) { c.StartSending = StartSending{Enabled: true, After: time.Second, Rate: 1 << 30} },
		"ttl":                func(c *Config) { c.OptionsTTL = time.Millisecond },
		"write timeout":      func(c *Config) { c.Timeouts.Write = -1 },
		"header bytes":       func(c *Config) { c.MaxHeaderBytes = 10 },
		"chunk line":         func(c *Config) { c.MaxChunkLine = 1 << 20 },
		"too many for users": func(c *Config) { c.Headers.User = strings.Split("a,b,c,d,e,f,g,h,i", ",") },
	} {
		cfg := testConfig()
		change(&cfg)
		if _, err := NewServer(&stub{}, testStore(t), cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestClientNetworks(t *testing.T) {
	n := start(t, func(c *Config) { c.ClientNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	c := n.dial(t)
	r := bufio.NewReader(c)
	a := ask(t, c, r, get204)
	want(t, a, "403")
	if a.header.Get("Istag") != `"tag-1"` || a.header.Get("Connection") != "close" {
		t.Errorf("fields of the refusal: %v", a.header)
	}
	wantClosed(t, r)
	if n.stub.runs.Load() != 0 || n.Stats().Refusals["forbidden-client"] != 1 {
		t.Errorf("refused client got through: %+v", n.Stats())
	}
	u := n.unixDialer(t)(t)
	want(t, ask(t, u, bufio.NewReader(u), get204), "204")

	cfg := testConfig()
	if err := n.SetConfig(cfg); err != nil {
		t.Fatal(err)
	}
	c = n.dial(t)
	want(t, ask(t, c, bufio.NewReader(c), get204), "204")
}

func TestMaxConnections(t *testing.T) {
	n := start(t, func(c *Config) { c.MaxConnections = 2 })
	c1, c2 := n.dial(t), n.dial(t)
	r1 := bufio.NewReader(c1)
	want(t, ask(t, c1, r1, get204), "204")
	want(t, ask(t, c2, bufio.NewReader(c2), get204), "204")
	c3 := n.dial(t)
	r3 := bufio.NewReader(c3)
	want(t, get(t, r3), "503")
	wantClosed(t, r3)
	_ = c2.Close()
	eventually(t, "a place is free", func() bool { return n.Stats().Connections == 1 })
	c4 := n.dial(t)
	want(t, ask(t, c4, bufio.NewReader(c4), get204), "204")
	want(t, ask(t, c1, r1, get204), "204")
}

func TestTLSClientCertificates(t *testing.T) {
	n := start(t, nil)
	server, client := testTLS(t)
	server.ClientAuth = tls.RequireAndVerifyClientCert
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.serve(t, tls.NewListener(l, server))
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	want(t, ask(t, c, bufio.NewReader(c), get204), "204")

	client = client.Clone()
	client.Certificates = nil
	if c, err := tls.Dial("tcp", l.Addr().String(), client); err == nil {
		_, err = io.WriteString(c, get204)
		if err == nil {
			_, err = readAnswer(bufio.NewReader(c))
		}
		if err == nil {
			t.Error("a client without certificate was served")
		}
		_ = c.Close()
	}
	eventually(t, "the handshake failed", func() bool { return n.Stats().Handshakes == 1 })
}

func TestTimeouts(t *testing.T) {
	half := get204[:len(get204)-30]
	body := respmodHead("/all/forward", "", "res-body")
	for _, tc := range []struct {
		name, send string
		change     func(*Config)
		want       string
	}{
		{"header", half, func(c *Config) { c.Timeouts.Header = 30 * time.Millisecond }, "408"},
		{"encapsulated header", get204[:len(get204)-2], func(c *Config) { c.Timeouts.Header = 30 * time.Millisecond }, "408"},
		{"preview", respmodHead("/forward", "Preview: 4\r\n", "res-body") + "4\r\nab", func(c *Config) { c.Timeouts.BodyIdle = 30 * time.Millisecond }, "408"},
		{"body", body + "4\r\nab", func(c *Config) { c.Timeouts.BodyIdle = 30 * time.Millisecond }, "408"},
		{"idle", "", func(c *Config) { c.Timeouts.Idle = 30 * time.Millisecond }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := start(t, tc.change)
			c := n.dial(t)
			r := bufio.NewReader(c)
			if _, err := io.WriteString(c, tc.send); err != nil {
				t.Fatal(err)
			}
			if tc.want != "" {
				want(t, get(t, r), tc.want)
			}
			wantClosed(t, r)
		})
	}
}

func TestSlowBodyIsRefused(t *testing.T) {
	n := start(t, func(c *Config) { c.Timeouts.BodyIdle, c.Timeouts.MinRate = 100*time.Millisecond, 1_000_000 })
	c := n.dial(t)
	r := bufio.NewReader(c)
	go func() {
		writePieces(c, respmodHead("/all/forward", "", "res-body"), 0)
		for range 1000 { // dripping, never idle for long
			if _, err := io.WriteString(c, "1\r\nx\r\n"); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	want(t, get(t, r), "408")
}

func TestIdleConnectionsHoldNoBuffers(t *testing.T) {
	n := start(t, nil)
	c := n.dial(t)
	r := bufio.NewReader(c)
	want(t, ask(t, c, r, get204), "204")
	eventually(t, "the buffers are back", func() bool { return n.Stats().Resting == 1 })
	want(t, ask(t, c, r, get204), "204")
	if n.Stats().Resting != 0 {
		t.Error("still counted as resting")
	}
}

func TestShutdownFinishesWhatRuns(t *testing.T) {
	n := start(t, nil)
	idle, busy := n.dial(t), n.dial(t)
	ir, br := bufio.NewReader(idle), bufio.NewReader(busy)
	want(t, ask(t, idle, ir, get204), "204")
	go writePieces(busy, reqmodHead("/wait/forward", "Allow: 204\r\n", "null-body"), 0)
	eventually(t, "the request runs", func() bool { return n.stub.runs.Load() == 2 })
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(context.Background()) }()
	wantClosed(t, ir)
	close(n.stub.gate)
	a := get(t, br)
	want(t, a, "204")
	if a.header.Get("Connection") != "close" {
		t.Error("the last answer does not say that it is the last")
	}
	wantClosed(t, br)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", n.addr); err == nil {
		t.Error("still listening")
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	n := start(t, nil)
	c := n.dial(t)
	writePieces(c, respmodHead("/all/forward", "", "res-body")+"5\r\nhel", 0)
	eventually(t, "the request runs", func() bool { return n.stub.runs.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := n.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Shutdown returned %v", err)
	}
	if _, err := readAnswer(bufio.NewReader(c)); err == nil {
		t.Error("a cut request was answered")
	}
}

func TestDrainingNodeClosesConnections(t *testing.T) {
	n := start(t, func(c *Config) { c.Draining = func() bool { return true } })
	c := n.dial(t)
	r := bufio.NewReader(c)
	a := ask(t, c, r, get204)
	want(t, a, "204")
	if a.header.Get("Connection") != "close" {
		t.Error("no Connection: close")
	}
	wantClosed(t, r)
}

func TestSkipConnect(t *testing.T) {
	n := start(t, func(c *Config) { c.SkipConnect = true })
	c := n.dial(t)
	a := ask(t, c, bufio.NewReader(c), reqmodWith("CONNECT h:443 HTTP/1.1\r\nHost: h\r\nX-Script: /block\r\n\r\n", "Allow: 204\r\n", "null-body"))
	want(t, a, "204")
	if n.stub.runs.Load() != 0 || a.header.Get("X-Sluice-Id") != "" {
		t.Error("CONNECT was judged")
	}
}

func TestUserBase64(t *testing.T) {
	n := start(t, func(c *Config) { c.UserBase64 = true })
	c := n.dial(t)
	r := bufio.NewReader(c)
	want(t, ask(t, c, r, reqmodHead("/forward", "Allow: 204\r\nX-Client-Username: YW5uYQ==\r\n", "null-body")), "204")
	if got := n.stub.last().tx; !strings.Contains(got, "user=anna ") {
		t.Errorf("engine saw %s", got)
	}
	want(t, ask(t, c, r, reqmodHead("/forward", "Allow: 204\r\nX-Client-Username: anna!\r\n", "null-body")), "400")
}

func TestUnknownHeadersAreCounted(t *testing.T) {
	n := start(t, nil)
	c := n.dial(t)
	r := bufio.NewReader(c)
	for range 3 {
		ask(t, c, r, reqmodHead("/forward", "Allow: 204\r\nX-Client-Usrname: a\r\n", "null-body"))
	}
	for i := range 100 {
		ask(t, c, r, reqmodHead("/forward", fmt.Sprintf("Allow: 204\r\nX-%d: a\r\n", i), "null-body"))
	}
	st := n.Stats()
	if st.UnknownHeaders["X-Client-Usrname"] != 3 || len(st.UnknownHeaders) != maxUnknownHeaders {
		t.Errorf("unknown headers: %v", st.UnknownHeaders)
	}
	if st.Requests["REQMOD"] != 103 || st.Answers[204] != 103 {
		t.Errorf("stats: %+v", st)
	}
}

func TestConfigSwapLeavesConnections(t *testing.T) {
	n := start(t, nil)
	c := n.dial(t)
	r := bufio.NewReader(c)
	want(t, ask(t, c, r, get204), "204")
	cfg := testConfig()
	cfg.ReqmodPath = "/other"
	cfg.ISTag = func() string { return "a tag of \"more\" than thirty-two bytes" }
	if err := n.SetConfig(cfg); err != nil {
		t.Fatal(err)
	}
	a := ask(t, c, r, strings.Replace(get204, "/reqmod", "/other", 1))
	want(t, a, "204")
	if got := a.header.Get("Istag"); got != `"a-tag-of--more--than-thirty-two-"` {
		t.Errorf("ISTag %s", got)
	}
	want(t, ask(t, c, r, get204), "404")
}

func TestEnginePanicCutsOneConnection(t *testing.T) {
	n := start(t, nil)
	c, other := n.dial(t), n.dial(t)
	if _, err := io.WriteString(c, reqmodHead("/panic", "Allow: 204\r\n", "null-body")); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, c)
	want(t, ask(t, other, bufio.NewReader(other), get204), "204")
	if st := n.Stats(); st.Panics != 1 {
		t.Errorf("panics: %d", st.Panics)
	}
	if d := n.stub.seen[0].end; d.Err == nil {
		t.Error("the judge was not told that judging was aborted")
	}
}

func TestDeliveryTellsWhatHappened(t *testing.T) {
	n := start(t, nil)
	c := n.dial(t)
	r := bufio.NewReader(c)
	body := strings.Repeat("x", 100_000)
	for _, tc := range []struct {
		send string
		want tx.Delivery
	}{
		{respmodHead("/all/forward", "Allow: 204\r\n", "res-body") + chunked(body, 9000, "0"), tx.Delivery{Received: 100_000}},
		{respmodHead("/all/forward", "", "res-body") + chunked(body, 9000, "0"), tx.Delivery{Received: 100_000, Sent: 100_000}},
		{respmodHead("/forward", "", "res-body") + chunked(body, 9000, "0"), tx.Delivery{Received: 100_000, Sent: 100_000}},
		{respmodHead("/block", "", "res-body") + chunked(body, 9000, "0"), tx.Delivery{Received: 100_000, Sent: int64(len(page))}},
		{respmodHead("/prefix/forward", "Preview: 4\r\n", "res-body") + chunked("abcd", 9000, "0"), tx.Delivery{Received: 4}},
	} {
		ask(t, c, r, tc.send)
		ask(t, c, r, probe) // the transaction before is over by then
		if diff := cmp.Diff(tc.want, n.stub.last().end); diff != "" {
			t.Errorf("%.60q: %s", tc.send, diff)
		}
	}
}

func TestMalformedBodyIsNeverPassed(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	bad := chunked(body, 50_000, "zz")
	n := start(t, nil)
	for _, path := range []string{"/all/forward", "/all/forward?onerror=forward", "/all/forward?onerror=block"} {
		c := n.dial(t)
		r := bufio.NewReader(c)
		want(t, ask(t, c, r, respmodHead(path, "Allow: 204\r\n", "res-body")+bad), "400")
		wantClosed(t, r)
		eventually(t, "the error was recorded", func() bool { return n.stub.last().end.Err != nil })
	}
	// What streams by can only be cut: no last chunk is sent.
	c := n.dial(t)
	if _, err := io.WriteString(c, respmodHead("/forward", "", "res-body")+bad); err != nil {
		t.Fatal(err)
	}
	if a, err := readAnswer(bufio.NewReader(c)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("answer %v, %v, want one without end", a, err)
	}
	eventually(t, "the answer was cut", func() bool { return n.Stats().Cut == 1 })
}

func TestJudgeDeadlineWakesAll(t *testing.T) {
	for path, want := range map[string]string{
		"/deadline/x?onerror=block":   "200 HTTP/1.1 403 Forbidden {" + page + "}",
		"/deadline/x?onerror=forward": echoed + "{abcdefgh}",
	} {
		n := start(t, nil)
		c := n.dial(t)
		r := bufio.NewReader(c)
		writePieces(c, respmodHead(path, "", "res-body")+chunked("abcd", 4, "0")[:9], 0)
		eventually(t, "the judge gave up", func() bool { return n.stub.runs.Load() == 1 && n.Stats().Answers[200] == 1 })
		writePieces(c, chunked("efgh", 4, "0"), 0)
		a := get(t, r)
		if got := render(a); got != want {
			t.Errorf("answer %q, want %q", got, want)
		}
		ask(t, c, r, probe)
		if err := n.stub.last().err; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("All returned %v", err)
		}
	}
}

func TestHalfDuplexClientGetsEarlyAnswer(t *testing.T) {
	// The client reads nothing before it has sent everything, and everything
	// is more than socket buffers hold.
	n := start(t, nil)
	c := n.dial(t)
	r := bufio.NewReader(c)
	body := strings.Repeat("x", 16<<20)
	a := ask(t, c, r, reqmodHead("/block?pagesize=900000", "", "req-body")+chunked(body, 1<<20, "0"))
	want(t, a, "200 HTTP/1.1 403 Forbidden {900000 bytes}")
	want(t, ask(t, c, r, get204), "204")
}

func TestBlockedUploadIsNotReadForever(t *testing.T) {
	n := start(t, func(c *Config) { c.MaxDrain = 1 << 20 })
	c := n.dial(t)
	r := bufio.NewReader(c)
	go writePieces(c, reqmodHead("/block", "", "req-body")+chunked(strings.Repeat("x", 8<<20), 1<<20, "0"), 0)
	want(t, get(t, r), "200 HTTP/1.1 403 Forbidden {"+page+"}")
	wantClosed(t, r)
}
