package icap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

// stub is an engine that is scripted by the URL of the request: the path says
// what to do ("/forward", "/all/forward", "/all/block", "/prefix/block", ...),
// the query gives parameters.
type stub struct {
	mu   sync.Mutex
	seen []seen
	keep bool // record what was seen
	ends atomic.Int64
	runs atomic.Int64
	gate chan struct{} // "wait" blocks until it is closed
}

type seen struct {
	tx    string // a summary
	body  string
	whole bool
	err   error
	end   tx.Delivery
}

type stubJudge struct {
	s    *stub
	t    *tx.Transaction
	seen seen
}

func (s *stub) Begin(_ context.Context, t *tx.Transaction) tx.Judge {
	s.runs.Add(1)
	return &stubJudge{s: s, t: t}
}

func (j *stubJudge) script() (steps []string, query map[string]string) {
	url := string(j.t.Request.URL)
	if j.t.Request.Header.Has("X-Script") {
		url = "http://h" + string(j.t.Request.Header.Get("X-Script"))
	}
	if v := j.t.Response.Header.Get("X-Script"); v != nil {
		url = "http://h" + string(v)
	}
	_, rest, _ := strings.Cut(url, "://")
	_, path, _ := strings.Cut(rest, "/")
	path, q, _ := strings.Cut(path, "?")
	query = map[string]string{}
	for _, kv := range strings.Split(q, "&") {
		k, v, _ := strings.Cut(kv, "=")
		query[k] = v
	}
	return append(strings.Split(path, "/"), "", ""), query // as many steps as are looked at
}

func (j *stubJudge) Head(context.Context) tx.Verdict {
	steps, q := j.script()
	switch steps[0] {
	case "all", "prefix", "deadline":
		return tx.Verdict{Action: tx.Inspect}
	case "panic":
		panic("stub")
	case "inspect":
		return tx.Verdict{}
	case "wait":
		<-j.s.gate
		return verdict(steps[1], q)
	}
	return verdict(steps[0], q)
}

func (j *stubJudge) Body(ctx context.Context, b tx.Body) tx.Verdict {
	steps, q := j.script()
	limit := int64(1 << 40)
	if v, err := strconv.ParseInt(q["limit"], 10, 64); err == nil {
		limit = v
	}
	switch steps[0] {
	case "prefix":
		p, whole := b.Prefix()
		j.seen.body, j.seen.whole = string(p), whole
	case "deadline":
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		fallthrough
	default:
		ct, err := b.All(ctx, limit)
		j.seen.err = err
		if err != nil && q["onerror"] != "" {
			return verdict(q["onerror"], q)
		}
		if err == nil {
			buf := make([]byte, ct.Size())
			if _, err := ct.ReadAt(buf, 0); err != nil && ct.Size() > 0 {
				j.seen.err = err
			}
			j.seen.body, j.seen.whole = string(buf), true
		}
	}
	if steps[1] == "wait" {
		<-j.s.gate
		return verdict(steps[2], q)
	}
	return verdict(steps[1], q)
}

func (j *stubJudge) End(d tx.Delivery) {
	j.s.ends.Add(1)
	j.seen.end = d
	j.seen.tx = summary(j.t)
	j.s.mu.Lock()
	defer j.s.mu.Unlock()
	if j.s.keep {
		j.s.seen = append(j.s.seen, j.seen)
	}
}

func summary(t *tx.Transaction) string {
	var groups []string
	for _, g := range t.Client.Groups {
		groups = append(groups, string(g))
	}
	addr := ""
	if t.Client.Addr.IsValid() {
		addr = t.Client.Addr.String()
	}
	return fmt.Sprintf("%s %s %s %d len=%d body=%v user=%s groups=%s addr=%s", t.Direction, t.Request.Method, t.Request.URL,
		t.Response.Status, t.Length, t.HasBody, t.Client.User, strings.Join(groups, "|"), addr)
}

func (s *stub) last() seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		return seen{}
	}
	return s.seen[len(s.seen)-1]
}

const page = "<html>blocked by a rule</html>\n"

func verdict(what string, q map[string]string) tx.Verdict {
	switch what {
	case "forward", "clean.bin", "":
		return tx.Verdict{Action: tx.Forward, Unscanned: q["unscanned"] != "", Detail: q["detail"], Threat: q["threat"]}
	case "strip":
		return tx.Verdict{Action: tx.Forward, RemoveFields: strings.Split(q["field"], ",")}
	case "replace":
		return tx.Verdict{Action: tx.Forward, Threat: q["threat"], Replacement: newContent(q["with"])}
	case "block":
		body := page
		if n, err := strconv.Atoi(q["pagesize"]); err == nil {
			body = strings.Repeat("p", n)
		}
		return tx.Verdict{Action: tx.Block, Threat: q["threat"], Detail: q["detail"], Rule: "r1",
			Reply: &tx.Reply{Status: 403, ContentType: "text/html; charset=utf-8", Language: "en", Body: []byte(body)}}
	case "blockempty":
		return tx.Verdict{Action: tx.Block, Reply: &tx.Reply{Status: 403}}
	case "blocknil":
		return tx.Verdict{Action: tx.Block}
	case "drop":
		return tx.Verdict{Action: tx.Drop, Reply: &tx.Reply{Status: 403, ContentType: "text/plain", Body: []byte("drop")}}
	case "redirect":
		return tx.Verdict{Action: tx.Redirect, Reply: &tx.Reply{Status: 302, Location: q["to"]}}
	case "inspect":
		return tx.Verdict{Action: tx.Inspect}
	}
	return tx.Verdict{}
}

// newContent is a body of n times "new" when with is a number, else with.
func newContent(with string) tx.Content {
	if n, err := strconv.Atoi(with); err == nil {
		return &memory{b: bytes.Repeat([]byte("new"), n)}
	}
	return &memory{b: []byte(with)}
}

func testConfig() Config {
	return Config{
		ReqmodPath: "/reqmod", RespmodPath: "/respmod", Preview: 1024, Service: "Sluice/test",
		ClientNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		ISTag:          func() string { return "tag-1" },
		Timeouts:       Timeouts{Header: 20 * time.Second, BodyIdle: 20 * time.Second, Write: 20 * time.Second, Idle: 20 * time.Second, MinRate: -1},
	}
}

func testStore(t testing.TB) *spool.Store {
	t.Helper()
	store, err := spool.Open(spool.Config{Dir: t.TempDir(), MemoryPerBody: 256 << 10, Memory: 64 << 20, Disk: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// node is a server with its engine on a loopback listener.
type node struct {
	*Server
	stub *stub
	addr string
}

func start(t testing.TB, change func(*Config)) *node {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	n := &node{stub: &stub{keep: true, gate: make(chan struct{})}}
	s, err := NewServer(n.stub, testStore(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.Server = s
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = l.Addr().String()
	n.serve(t, l)
	return n
}

// serve serves l until the test ends, and then shuts down within seconds.
func (n *node) serve(t testing.TB, l net.Listener) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- n.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = n.Shutdown(ctx) // what a test left open is cut
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if n.stub.runs.Load() != n.stub.ends.Load() {
			t.Errorf("%d transactions began, %d ended", n.stub.runs.Load(), n.stub.ends.Load())
		}
		if mem, disk := n.store.Usage(); mem != 0 || disk != 0 {
			t.Errorf("spool still holds %d bytes of memory, %d of disk", mem, disk)
		}
	})
}

func (n *node) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}
