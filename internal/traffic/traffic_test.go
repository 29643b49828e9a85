package traffic_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/content"
	"sluice/internal/event"
	"sluice/internal/page"
	"sluice/internal/policy"
	"sluice/internal/scan"
	"sluice/internal/settings"
	"sluice/internal/spool"
	"sluice/internal/traffic"
	"sluice/internal/tx"
)

// eicar is written in two halves so that this file is no test virus itself.
const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}` + `$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// log keeps copies of what is recorded.
type log struct {
	mu     sync.Mutex
	drop   bool // keep none
	events []event.Traffic
}

func (l *log) Traffic(e *event.Traffic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drop {
		return
	}
	c := *e
	c.Objects = append([]event.ObjectResult(nil), e.Objects...)
	c.URL, c.FileName = bytes.Clone(e.URL), bytes.Clone(e.FileName)
	l.events = append(l.events, c)
}

// engine is a scanner that says what the test wants.
type engine struct {
	mu      sync.Mutex
	result  scan.Result
	version string
	scans   int
	slow    time.Duration
	panics  bool
}

func (e *engine) Name() string    { return "test" }
func (e *engine) Version() string { return e.version }
func (e *engine) Health() scan.Health {
	return scan.Health{State: scan.OK}
}

func (e *engine) Scan(ctx context.Context, o *scan.Object) scan.Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scans++
	if e.panics {
		panic("engine fault")
	}
	if e.slow > 0 {
		<-ctx.Done()
		return scan.Result{Engine: "test", Status: scan.TimedOut, Detail: "slow"}
	}
	b := make([]byte, o.Data.Size())
	if _, err := o.Data.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return scan.Result{Engine: "test", Status: scan.Error, Detail: err.Error()}
	}
	if bytes.Contains(b, []byte(eicar)) {
		return scan.Result{Engine: "test", Status: scan.Infected, Threat: "Eicar"}
	}
	r := e.result
	r.Engine = "test"
	if r.Status == scan.NotScanned {
		r.Status = scan.Clean
	}
	return r
}

type world struct {
	*traffic.Engine
	log    *log
	engine *engine
	spool  *spool.Store
}

type options struct {
	rules   string
	engine  *engine
	none    bool // no engine at all
	open    []tx.Reason
	limit   int64
	time    time.Duration
	reports int
	age     time.Duration
}

func build(t testing.TB, o options) *world {
	t.Helper()
	s, err := settings.Parse([]byte(o.rules))
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Compile(s.Rules, s.Workspaces, s.Protection.Default, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := spool.Open(spool.Config{Dir: t.TempDir(), MemoryPerBody: 64 << 10, Memory: 1 << 20, Disk: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := page.New(page.Config{Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	if o.engine == nil {
		o.engine = &engine{version: "1"}
	}
	engines := []scan.Engine{o.engine}
	if o.none {
		engines = nil
	}
	var fail traffic.FailPolicy
	for _, r := range o.open {
		fail = fail.Open(r)
	}
	w := &world{log: &log{}, engine: o.engine, spool: store}
	w.Engine, err = traffic.New(traffic.Config{Node: "gw1", Version: "test", Log: w.log, Spool: store, CachedReports: o.reports, ReportAge: o.age}, &traffic.Snapshot{
		Revision: "r1", Policy: p, Walker: content.NewWalker(store, content.Limits{}), Chain: scan.NewChain(engines, nil),
		Pages: pages, Fail: fail, BodyLimit: max(o.limit, 1<<20), TimeLimit: cmp.Or(o.time, 10*time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// body is a tx.Body that arrived whole, or not.
type body struct {
	b     []byte
	whole bool
	store *spool.Store
	err   error
}

func (b *body) Prefix() ([]byte, bool) {
	if b.whole {
		return b.b, true
	}
	return b.b[:len(b.b)/2], false
}

func (b *body) All(_ context.Context, limit int64) (tx.Content, error) {
	if b.err != nil {
		return nil, b.err
	}
	if int64(len(b.b)) > limit {
		return nil, tx.ErrTooLarge
	}
	s := b.store.New(0)
	_, err := s.Write(b.b)
	return s, err
}

type message struct {
	method, url string
	response    bool
	status      int
	header      map[string]string
	lines       []string          // more header lines, name and value in turn
	asked       map[string]string // header of a response's request
	user        string
	groups      []string
	addr        string
	noBody      bool
	body        string
	half        bool // the body does not lie whole in the prefix
	bodyErr     error
}

func (w *world) judge(m message) (tx.Verdict, *event.Traffic) {
	t := &tx.Transaction{ID: tx.NewID(time.Now()), Start: time.Now(), Entrance: "icap", Length: int64(len(m.body)), HasBody: !m.noBody}
	t.Request = tx.Request{Method: []byte(m.method), URL: []byte(m.url)}
	if m.method == "" {
		t.Request.Method = []byte("GET")
	}
	h := &t.Request.Header
	if m.response {
		t.Direction = tx.DirResponse
		t.Response.Status = m.status
		if m.status == 0 {
			t.Response.Status = 200
		}
		h = &t.Response.Header
	}
	for k, v := range m.header {
		*h = append(*h, tx.Field{Name: []byte(k), Value: []byte(v)})
	}
	for i := 0; i+1 < len(m.lines); i += 2 {
		*h = append(*h, tx.Field{Name: []byte(m.lines[i]), Value: []byte(m.lines[i+1])})
	}
	for k, v := range m.asked {
		t.Request.Header = append(t.Request.Header, tx.Field{Name: []byte(k), Value: []byte(v)})
	}
	t.Client.User = []byte(m.user)
	for _, g := range m.groups {
		t.Client.Groups = append(t.Client.Groups, []byte(g))
	}
	t.Client.Addr, _ = netip.ParseAddr(m.addr)
	ctx := context.Background()
	j := w.Begin(ctx, t)
	v := j.Head(ctx)
	if v.Action == tx.Inspect {
		v = j.Body(ctx, &body{[]byte(m.body), !m.half, w.spool, m.bodyErr})
	}
	if v.Replacement != nil {
		b := make([]byte, v.Replacement.Size())
		_, _ = v.Replacement.ReadAt(b, 0)
		v.Detail += "\n" + string(b)
	}
	j.End(tx.Delivery{})
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	return v, &w.log.events[len(w.log.events)-1]
}

func gz(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zipped(members ...string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i+1 < len(members); i += 2 {
		f, _ := w.Create(members[i])
		_, _ = f.Write([]byte(members[i+1]))
	}
	_ = w.Close()
	return b.String()
}

// TestVerdicts is the pipeline as a table: what goes in, what the entrance is
// told, and what the event says.
func TestVerdicts(t *testing.T) {
	const blockPE = `
rules:
  access:
    - {name: no exe, action: block, match: {all: [{type: pe}]}}
`
	for _, c := range []struct {
		name   string
		o      options
		m      message
		action tx.Action
		reason tx.Reason
		rule   string
		threat string
		status string // scan_status of the event
		marked bool   // unscanned
	}{
		{name: "request without a body", m: message{url: "http://a.test/", noBody: true}, action: tx.Forward},
		{name: "clean response", m: message{url: "http://a.test/", response: true, body: "hello"}, action: tx.Forward, status: "clean"},
		{name: "empty body", m: message{url: "http://a.test/", response: true}, action: tx.Forward, status: "clean"},
		{name: "clean response, spooled", m: message{url: "http://a.test/", response: true, body: "hello", half: true}, action: tx.Forward, status: "clean"},
		{name: "response without its request", m: message{response: true, body: "hello"}, action: tx.Forward, status: "clean"},
		{name: "request without a URL", m: message{noBody: true}, action: tx.Block, reason: tx.BadURL},
		{name: "malware", m: message{url: "http://a.test/", response: true, body: eicar}, action: tx.Block, reason: tx.Malware, threat: "Eicar", status: "infected"},
		{name: "malware, spooled", m: message{url: "http://a.test/", response: true, body: eicar, half: true}, action: tx.Block, reason: tx.Malware, threat: "Eicar", status: "infected"},
		{name: "malware uploaded", m: message{method: "POST", url: "http://a.test/", body: eicar}, action: tx.Block, reason: tx.Malware, threat: "Eicar", status: "infected"},
		{name: "malware in gzip coding", m: message{url: "http://a.test/", response: true, header: map[string]string{"Content-Encoding": "gzip"}, body: gz(eicar)}, action: tx.Block, reason: tx.Malware, threat: "Eicar", status: "infected"},
		{name: "malware in zip in zip", m: message{url: "http://a.test/", response: true, header: map[string]string{"Content-Encoding": "gzip"}, body: gz(zipped("a.zip", zipped("b", eicar)))}, action: tx.Block, reason: tx.Malware, threat: "Eicar", status: "infected"},
		{name: "malware let pass by rule", o: options{rules: "rules: {protection: [{name: lab, malware: skip, match: {all: [{url: lab.test}]}}]}"}, m: message{url: "http://lab.test/", response: true, body: eicar}, action: tx.Forward, threat: "Eicar", status: "infected"},
		{name: "unknown coding", m: message{url: "http://a.test/", response: true, header: map[string]string{"Content-Encoding": "zip9"}, body: "x"}, action: tx.Block, reason: tx.BadEncoding, status: "bad-encoding"},
		{name: "unknown coding, open", o: options{open: []tx.Reason{tx.BadEncoding}}, m: message{url: "http://a.test/", response: true, header: map[string]string{"Content-Encoding": "zip9"}, body: "x"}, action: tx.Forward, reason: tx.BadEncoding, status: "bad-encoding", marked: true},
		{name: "unknown coding, open, malware in it", o: options{open: []tx.Reason{tx.BadEncoding}}, m: message{url: "http://a.test/", response: true, header: map[string]string{"Content-Encoding": "zip9"}, body: eicar}, action: tx.Block, reason: tx.Malware, threat: "Eicar", status: "infected"},
		{name: "engine error", o: options{engine: &engine{result: scan.Result{Status: scan.Error, Detail: "down"}}}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Block, reason: tx.EngineError, status: "engine-error"},
		{name: "engine error, open", o: options{open: []tx.Reason{tx.EngineError}, engine: &engine{result: scan.Result{Status: scan.Error, Detail: "down"}}}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Forward, reason: tx.EngineError, status: "engine-error", marked: true},
		{name: "engine over its limit", o: options{engine: &engine{result: scan.Result{Status: scan.OverLimit}}}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Block, reason: tx.OverLimit, status: "over-limit"},
		{name: "engine too slow", o: options{time: 50 * time.Millisecond, engine: &engine{slow: time.Hour}}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Block, reason: tx.TimedOut, status: "timed-out"},
		{name: "engine too slow, open", o: options{open: []tx.Reason{tx.TimedOut}, time: 50 * time.Millisecond, engine: &engine{slow: time.Hour}}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Forward, reason: tx.TimedOut, status: "timed-out", marked: true},
		{name: "engine says encrypted", o: options{engine: &engine{result: scan.Result{Status: scan.Encrypted}}}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Block, reason: tx.Encrypted, status: "encrypted"},
		{name: "engine says macro, let pass", o: options{rules: "protection: {default: {macros: skip}}", engine: &engine{result: scan.Result{Status: scan.Macro}}}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Forward, status: "macro"},
		{name: "a fault of ours", o: options{engine: &engine{panics: true}}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Block, reason: tx.InternalError, status: "not-scanned"},
		{name: "too large", o: options{limit: 1 << 20}, m: message{url: "http://a.test/", response: true, body: strings.Repeat("x", 1<<20+1), half: true}, action: tx.Block, reason: tx.OverLimit, status: "over-limit"},
		{name: "too large, open", o: options{limit: 1 << 20, open: []tx.Reason{tx.OverLimit}}, m: message{url: "http://a.test/", response: true, body: strings.Repeat("x", 1<<20+1), half: true}, action: tx.Forward, reason: tx.OverLimit, status: "over-limit", marked: true},
		{name: "no room", m: message{url: "http://a.test/", response: true, body: "x", half: true, bodyErr: tx.ErrNoRoom}, action: tx.Block, reason: tx.EngineError, status: "engine-error"},
		{name: "sender gone", m: message{url: "http://a.test/", response: true, body: "x", half: true, bodyErr: io.ErrUnexpectedEOF}, action: tx.Drop, status: "not-scanned"},
		{name: "a range", o: options{open: []tx.Reason{tx.Partial}}, m: message{url: "http://a.test/", response: true, status: 206, body: "x"}, action: tx.Forward, reason: tx.Partial, status: "partial", marked: true},
		{name: "a range, closed", m: message{url: "http://a.test/", response: true, status: 206, body: "x"}, action: tx.Block, reason: tx.Partial, status: "partial"},
		{name: "malware in a range", o: options{open: []tx.Reason{tx.Partial}}, m: message{url: "http://a.test/", response: true, status: 206, body: eicar}, action: tx.Block, reason: tx.Malware, threat: "Eicar", status: "infected"},
		{name: "no engine", o: options{none: true}, m: message{url: "http://a.test/", response: true, body: "x"}, action: tx.Forward, status: "not-scanned", marked: true},
		{name: "bypass", o: options{rules: "rules: {bypass: [{name: trust, action: allow, match: {all: [{url: a.test}]}}]}"}, m: message{url: "http://a.test/", response: true, body: eicar}, action: tx.Forward, reason: tx.ByRule, rule: "trust", status: "not-scanned"},
		{name: "bypass block", o: options{rules: "rules: {bypass: [{name: never, action: block, match: {all: [{url: a.test}]}}]}"}, m: message{url: "http://a.test/", noBody: true}, action: tx.Block, reason: tx.ByRule, rule: "never"},
		{name: "access block by user", o: options{rules: `rules: {access: [{name: not alice, from: {any: [{user: alice}]}}]}`}, m: message{url: "http://a.test/", noBody: true, user: "ALICE"}, action: tx.Block, reason: tx.ByRule, rule: "not alice"},
		{name: "access redirect", o: options{rules: `rules: {access: [{name: go, action: redirect, redirect_to: "https://b.test/x", match: {all: [{url: a.test}]}}]}`}, m: message{url: "http://a.test/", noBody: true}, action: tx.Redirect, reason: tx.ByRule, rule: "go"},
		{name: "access by type", o: options{rules: blockPE}, m: message{url: "http://a.test/x.txt", response: true, body: "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00PE\x00\x00\x4c\x01"}, action: tx.Block, reason: tx.ByRule, rule: "no exe", status: "clean"},
		{name: "access by type in an archive", o: options{rules: blockPE}, m: message{url: "http://a.test/x.txt", response: true, body: zipped("good.txt", "hello", "bad.txt", "MZ"+strings.Repeat("\x00", 58)+"\x40\x00\x00\x00PE\x00\x00\x4c\x01")}, action: tx.Block, reason: tx.ByRule, rule: "no exe", status: "clean"},
		{name: "address without a meaning", m: message{url: "http://a.test:99999999/", noBody: true}, action: tx.Block, reason: tx.BadURL},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := build(t, c.o)
			v, e := w.judge(c.m)
			if v.Action != c.action || v.Reason != c.reason || v.Rule != c.rule || v.Threat != c.threat || v.Unscanned != c.marked {
				t.Errorf("verdict: %+v", v)
			}
			if e.ScanStatus != c.status || e.Action != v.Action.String() || e.Reason != v.Reason.String() || e.Unscanned != c.marked {
				t.Errorf("event: status %q action %q reason %q unscanned %v", e.ScanStatus, e.Action, e.Reason, e.Unscanned)
			}
			if (v.Action == tx.Block) != (v.Reply != nil && v.Reply.Status == 403) {
				t.Errorf("reply: %+v", v.Reply)
			}
			if v.Action == tx.Block && !strings.Contains(string(v.Reply.Body), e.ID.String()) {
				t.Errorf("the page lacks the receipt")
			}
			if len(w.log.events) != 1 || w.Stats().Totals().Active != 0 {
				t.Errorf("%d events, %d active", len(w.log.events), w.Stats().Totals().Active)
			}
			if memory, disk := w.spool.Usage(); disk != 0 && memory < 0 {
				t.Errorf("spool keeps %d, %d", memory, disk)
			}
		})
	}
}

func TestDisinfectTakesBadMembersOut(t *testing.T) {
	w := build(t, options{})
	v, e := w.judge(message{url: "http://a.test/x.zip", response: true, body: zipped("good.txt", "hello", "bad/evil.com", eicar, "deep.zip", zipped("x", eicar))})
	if v.Action != tx.Forward || v.Reason != tx.Cured || v.Threat != "Eicar" || v.Replacement == nil {
		t.Fatalf("verdict: %+v", v)
	}
	_, cured, _ := strings.Cut(v.Detail, "\n")
	r, err := zip.NewReader(strings.NewReader(cured), int64(len(cured)))
	if err != nil || len(r.File) != 1 || r.File[0].Name != "good.txt" {
		t.Errorf("cured archive: %v, %v", err, r)
	}
	if e.ScanStatus != "infected" && e.ScanStatus != "clean" || e.Reason != "cured" || !strings.Contains(e.ScanDetail, "evil.com") {
		t.Errorf("event: %+v", e)
	}
}

func TestReportsAreRememberedUntilAnEngineChanges(t *testing.T) {
	w := build(t, options{reports: 100})
	m := message{url: "http://a.test/x", response: true, body: "hello"}
	for range 3 {
		w.judge(m)
	}
	if w.engine.scans != 1 {
		t.Errorf("%d scans of one body", w.engine.scans)
	}
	v, e := w.judge(m)
	if v.Action != tx.Forward || e.ScanStatus != "clean" || len(e.Objects) != 1 {
		t.Errorf("from memory: %+v, %+v", v, e)
	}
	w.engine.version = "2"
	if w.judge(m); w.engine.scans != 2 {
		t.Errorf("%d scans after the engine changed", w.engine.scans)
	}
}

func TestFailuresAreNotRemembered(t *testing.T) {
	e := &engine{result: scan.Result{Status: scan.Error}}
	w := build(t, options{reports: 100, engine: e})
	m := message{url: "http://a.test/x", response: true, body: "hello"}
	if v, _ := w.judge(m); v.Action != tx.Block {
		t.Fatalf("verdict: %+v", v)
	}
	e.result.Status = scan.Clean
	if v, _ := w.judge(m); v.Action != tx.Forward {
		t.Errorf("after recovery: %+v", v)
	}
}

func TestDropRangeIsAnEdit(t *testing.T) {
	w := build(t, options{rules: "rules: {access: [{name: whole, action: allow, drop_range: true}]}"})
	v, _ := w.judge(message{url: "http://a.test/", noBody: true, header: map[string]string{"Range": "bytes=0-1"}})
	if v.Action != tx.Nothing && len(v.RemoveFields) == 0 {
		t.Errorf("verdict: %+v", v)
	}
}

func TestHashListAndObjectsInTheEvent(t *testing.T) {
	sum := sha256.Sum256([]byte("bad"))
	l, err := scan.ReadHashList(t.Context(), scan.HashListConfig{Name: "lab", CacheDir: t.TempDir()}, strings.NewReader(hex.EncodeToString(sum[:])+" Lab.Bad\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := build(t, options{})
	snap := *w.Snapshot()
	snap.Chain = scan.NewChain([]scan.Engine{l}, nil)
	w.Swap(&snap)
	_, e := w.judge(message{url: "http://a.test/x", response: true, body: "bad"})
	if e.Threat != "Lab.Bad" || len(e.Objects) != 1 || e.Objects[0].SHA256 != sum || e.Objects[0].Size != 3 {
		t.Errorf("event: %+v", e)
	}
}

// TestBombsAreNotGivenToEngines: an engine unpacks on its own, and a few bytes
// could keep it busy for long. Where bombs may pass, it has to look all the same.
func TestBombsAreNotGivenToEngines(t *testing.T) {
	bomb := zipped("inner.zip", zipped("zeros", strings.Repeat("\x00", 12<<20)))
	for _, open := range []bool{false, true} {
		o := options{}
		if open {
			o.open = []tx.Reason{tx.OverLimit}
		}
		w := build(t, o)
		v, e := w.judge(message{url: "http://a.test/", response: true, body: bomb})
		want := tx.Block
		if open {
			want = tx.Forward
		}
		if v.Action != want || v.Reason != tx.OverLimit || v.Unscanned != open || e.ScanStatus != "over-limit" {
			t.Errorf("open %v: verdict %+v, scan status %s", open, v, e.ScanStatus)
		}
		if scans := w.engine.scans; open != (scans >= 3) {
			t.Errorf("open %v: %d scans; the containers are two, what came out of them is one", open, scans)
		}
		if len(e.Objects) != 3 || e.Objects[0].Type != "zip" || e.Objects[2].Name != "zeros" {
			t.Errorf("open %v: objects %+v", open, e.Objects)
		}
	}
}
