package node_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/node"
)

var buildEvents = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs("../../bin/sluice-events")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	cmd := exec.Command("go", "build", "-o", path, "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs")
	cmd.Dir, cmd.Env = "../../eventengine", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build event engine: %w\n%s", err, out)
	}
	return path, nil
})

// running is a node with its data directory.
type running struct {
	t     *testing.T
	dir   string
	icap  string
	admin string
	*node.Node
	client *node.Client
	stop   func()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// document is the settings of all tests, and more lines.
func (r *running) document(more string) string {
	return fmt.Sprintf("node:\n  name: gw1\n  icap: {listen: [\"%s\"]}\n  admin: {listen: \"%s\"}\nengines:\n  clamd: {mode: \"off\"}\n  hashlists: [{name: lab, file: %s/bad.txt}]\n%s",
		r.icap, r.admin, r.dir, more)
}

func (r *running) write(more string) {
	r.t.Helper()
	name := filepath.Join(r.dir, "sluice.yaml")
	if err := os.WriteFile(name+".new", []byte(r.document(more)), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		r.t.Fatal(err)
	}
}

func start(t *testing.T) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), icap: freePort(t), admin: freePort(t)}
	sum := sha256.Sum256([]byte("bad"))
	if err := os.WriteFile(filepath.Join(r.dir, "bad.txt"), []byte(hex.EncodeToString(sum[:])+" Lab.Bad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.write("")
	r.start()
	return r
}

func (r *running) start() {
	r.t.Helper()
	events, err := buildEvents()
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{r.t}, nil))
	ctx, cancel := context.WithCancel(context.Background())
	r.Node, err = node.Start(ctx, node.Config{
		Paths: node.Paths{Data: r.dir}, Document: filepath.Join(r.dir, "sluice.yaml"), Version: "test", EventsProgram: events, Log: log,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, nil) }()
	r.client = node.NewClient(node.Paths{Data: r.dir})
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("run: %v", err)
		}
		drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Shutdown(drain); err != nil {
			r.t.Errorf("shutdown: %v", err)
		}
	})
	r.t.Cleanup(r.stop)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// respmod sends one response through the node and returns the answer.
func respmod(t *testing.T, addr, url, body string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return respmodOn(t, c, addr, url, body)
}

func respmodOn(t *testing.T, c net.Conn, addr, url, body string) string {
	t.Helper()
	req := "GET " + url + " HTTP/1.1\r\nHost: x\r\n\r\n"
	res := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
	var b bytes.Buffer
	fmt.Fprintf(&b, "RESPMOD icap://%s/respmod ICAP/1.0\r\nHost: %s\r\nAllow: 204\r\nX-Client-IP: 10.1.2.3\r\nX-Client-Username: alice\r\nEncapsulated: req-hdr=0, res-hdr=%d, res-body=%d\r\n\r\n%s%s",
		addr, addr, len(req), len(req)+len(res), req, res)
	fmt.Fprintf(&b, "%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	var head strings.Builder
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			t.Fatalf("%v after %q", err, head.String())
		}
		if line == "\r\n" {
			break
		}
	}
	return head.String()
}

func receipt(answer string) string {
	_, rest, _ := strings.Cut(answer, "X-Sluice-ID: ")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func (r *running) get(path string) (int, string) {
	resp, err := http.Get("http://" + r.admin + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestTrafficIsJudgedLoggedAndExplained(t *testing.T) {
	r := start(t)
	if a := respmod(t, r.icap, "http://a.test/clean", "hello"); !strings.HasPrefix(a, "ICAP/1.0 204 ") {
		t.Errorf("clean: %s", a)
	}
	a := respmod(t, r.icap, "http://a.test/bad", "bad")
	if !strings.HasPrefix(a, "ICAP/1.0 200 ") || !strings.Contains(a, "Threat=Lab.Bad") {
		t.Fatalf("bad: %s", a)
	}
	var lines []string
	err := r.client.Events(t.Context(), []string{"action=block"}, 10, false, func(line []byte) error {
		lines = append(lines, string(line))
		return nil
	})
	if err != nil || len(lines) != 1 || !strings.Contains(lines[0], receipt(a)) || !strings.Contains(lines[0], "Lab.Bad") {
		t.Errorf("events: %v %v", err, lines)
	}
	raw, err := r.client.Explain(t.Context(), receipt(a))
	if err != nil {
		t.Fatal(err)
	}
	var e node.Explanation
	if err := json.Unmarshal(raw, &e); err != nil || e.Note != "" || len(e.Objects) != 1 || len(e.Rules.Stages) != 3 {
		t.Errorf("explanation: %v %s", err, raw)
	}
	var out bytes.Buffer
	if err := e.Print(&out); err != nil || !strings.Contains(out.String(), "lab says infected (Lab.Bad)") {
		t.Errorf("explanation for people: %v\n%s", err, out.String())
	}
	if err := r.client.Events(t.Context(), []string{"colour=red"}, 10, false, nil); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("a wrong filter: %v", err)
	}
}

func TestGoodSettingsActAndBadOnesDoNot(t *testing.T) {
	r := start(t)
	held, err := net.Dial("tcp", r.icap)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	before := respmodOn(t, held, r.icap, "http://a.test/", "hello")
	r.write("rules: {access: [{name: no a, match: {all: [{url: a.test}]}}]}\n")
	eventually(t, "the new rule acts", func() bool {
		return strings.Contains(respmod(t, r.icap, "http://a.test/", "hello"), "ICAP/1.0 200 ")
	})
	after := respmodOn(t, held, r.icap, "http://b.test/", "hello")
	if !strings.HasPrefix(after, "ICAP/1.0 204 ") {
		t.Errorf("a connection from before the change: %s", after)
	}
	tag := func(a string) string { _, x, _ := strings.Cut(a, "ISTag: "); return x[:34] }
	if tag(before) == tag(after) {
		t.Error("the ISTag did not change with the rules")
	}
	r.write("rules: {access: [{name: no a, match: {all: [{colour: red}]}}]}\n")
	eventually(t, "the bad document is reported", func() bool {
		_, ready := r.get("/readyz")
		return strings.Contains(ready, `unknown field "colour"`) && strings.Contains(ready, "line ")
	})
	if a := respmod(t, r.icap, "http://a.test/", "hello"); !strings.HasPrefix(a, "ICAP/1.0 200 ") {
		t.Errorf("the old rule does not act any more: %s", a)
	}
	if _, m := r.get("/metrics"); !strings.Contains(m, "sluice_settings_ok 0") {
		t.Error("metrics call the settings good")
	}
	r.stop()
	r.start() // the document is still bad: the last good revision serves
	if a := respmod(t, r.icap, "http://a.test/", "hello"); !strings.HasPrefix(a, "ICAP/1.0 200 ") {
		t.Errorf("after a restart: %s", a)
	}
	if s := r.Status(); !strings.Contains(s.Problem, "colour") {
		t.Errorf("status: %q", s.Problem)
	}
	r.write("")
	eventually(t, "the good document is in force", func() bool { return r.Status().Problem == "" })
}

func TestHashListIsReadAgainWhenItChanges(t *testing.T) {
	r := start(t)
	sum := sha256.Sum256([]byte("worse"))
	if a := respmod(t, r.icap, "http://a.test/", "worse"); !strings.HasPrefix(a, "ICAP/1.0 204 ") {
		t.Fatalf("before: %s", a)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "bad.txt"), []byte(hex.EncodeToString(sum[:])+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new list acts", func() bool {
		return strings.Contains(respmod(t, r.icap, "http://a.test/", "worse"), "Threat=Hash.lab")
	})
}

func TestListenersFollowTheSettings(t *testing.T) {
	r := start(t)
	old, extra := r.icap, filepath.Join(r.dir, "icap.sock")
	r.icap = freePort(t)
	r.write("")
	eventually(t, "the new address answers", func() bool {
		c, err := net.Dial("tcp", r.icap)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	eventually(t, "the old address is closed", func() bool {
		c, err := net.Dial("tcp", old)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	keep := r.icap
	r.icap = keep + `", "unix:` + extra + `", "` + taken.Addr().String()
	r.write("")
	eventually(t, "the taken address is reported", func() bool { return strings.Contains(r.Status().Problem, "in use") })
	if _, err := os.Stat(extra); err == nil {
		t.Error("a listener of the refused revision is open")
	}
	if a := respmod(t, keep, "http://a.test/", "hello"); !strings.HasPrefix(a, "ICAP/1.0 204 ") {
		t.Errorf("after the refusal: %s", a)
	}
}

func TestHealthMetricsStatusAndScan(t *testing.T) {
	r := start(t)
	respmod(t, r.icap, "http://a.test/", "hello")
	if code, body := r.get("/healthz"); code != 200 || body != "alive\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, body := r.get("/readyz"); code != 200 || body != "in service\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	_, m := r.get("/metrics")
	for _, want := range []string{
		`sluice_transactions_total{action="forward",direction="response"} 1`, `sluice_icap_requests_total{method="RESPMOD"} 1`,
		`sluice_engine_up{engine="lab"} 1`, "sluice_events_dropped_total 0", "sluice_settings_ok 1", "sluice_transaction_seconds_count 1",
	} {
		if !strings.Contains(m, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	raw, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var s node.Status
	var out bytes.Buffer
	if err := json.Unmarshal(raw, &s); err != nil || s.Print(&out) != nil || !strings.Contains(out.String(), "in service") {
		t.Errorf("status: %v %s", err, raw)
	}
	for body, want := range map[string]string{"bad": "infected", "good": "clean"} {
		raw, err := r.client.Scan(t.Context(), "x.bin", strings.NewReader(body))
		var rep node.ScanReport
		if err != nil || json.Unmarshal(raw, &rep) != nil || rep.Status != want {
			t.Errorf("scan of %q: %v %s", body, err, raw)
		}
	}
}

func TestUnusableSettingsStopTheFirstStart(t *testing.T) {
	dir := t.TempDir()
	doc := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(doc, []byte("node:\n  icap: {listen: [nowhere]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := node.Start(t.Context(), node.Config{Paths: node.Paths{Data: dir}, Document: doc, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "line 2: node.icap.listen[0]") {
		t.Errorf("have %v", err)
	}
}
