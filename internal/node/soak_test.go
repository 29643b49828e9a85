package node_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// askOn sends one response through an open connection, reads the whole answer
// and returns its head.
func askOn(c net.Conn, r *bufio.Reader, url, body string) (string, error) {
	req := "GET " + url + " HTTP/1.1\r\nHost: x\r\n\r\n"
	res := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
	msg := fmt.Sprintf("RESPMOD icap://x/respmod ICAP/1.0\r\nHost: x\r\nAllow: 204\r\nEncapsulated: req-hdr=0, res-hdr=%d, res-body=%d\r\n\r\n%s%s%x\r\n%s\r\n0\r\n\r\n",
		len(req), len(req)+len(res), req, res, len(body), body)
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, msg); err != nil {
		return "", err
	}
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			return head.String(), err
		}
		if line == "\r\n" {
			break
		}
	}
	_, at, found := strings.Cut(head.String(), "res-body=")
	if !found {
		return head.String(), nil
	}
	at, _, _ = strings.Cut(at, "\r\n")
	n, err := strconv.Atoi(at)
	if err == nil {
		_, err = r.Discard(n)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, httputil.NewChunkedReader(r))
	}
	if err == nil {
		_, err = r.Discard(len("\r\n"))
	}
	return head.String(), err
}

// TestSoak: settings change, the engine comes and goes, and eight connections
// send without a pause. What is bad never passes, what is clean passes or is
// blocked for the engine's sake, no connection breaks, and nothing is left over.
func TestSoak(t *testing.T) {
	already := goleak.IgnoreCurrent()
	r := start(t)
	socket := filepath.Join(r.dir, "fake.sock")
	f := startFakeClamd(t, socket)
	documents := [...]string{
		noA,
		"rules: {access: [{name: no b, match: {all: [{url: b.test}]}}]}\npages: {contact: the desk}\n",
		"protection: {limits: {time: 20s, members: 500}}\nrules: {access: [{name: no a, match: {all: [{url: a.test}]}}, {name: no pe, match: {all: [{type: pe}]}}]}\n",
		"rules: {access: [{colour: red}]}\n", // refused
	}
	document := func(i int) string {
		return strings.Replace(r.document(documents[i%len(documents)]), `clamd: {mode: "off"}`, "clamd: {mode: external, socket: "+socket+", sessions: 4}", 1)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			name := filepath.Join(r.dir, "sluice.yaml")
			if err := os.WriteFile(name+".new", []byte(document(i)), 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Rename(name+".new", name); err != nil {
				t.Error(err)
			}
			_ = r.client.Reload(t.Context()) // one of them is refused
		}
	})
	wg.Go(func() {
		for !stop.Load() {
			f.stop()
			time.Sleep(50 * time.Millisecond)
			f.listen()
			time.Sleep(200 * time.Millisecond)
		}
	})
	var passed, blocked atomic.Int64
	for n := range 8 {
		wg.Go(func() {
			c, err := net.Dial("tcp", r.icap)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			for i := 0; !stop.Load(); i++ {
				url, body := "http://c.test/", fmt.Sprintf("body %d %d %s", n, i%50, strings.Repeat("x", i%10*10_000))
				if i%7 == 3 {
					body = "bad"
				}
				a, err := askOn(c, in, url, body)
				switch {
				case err != nil:
					t.Errorf("connection %d: %v after %q", n, err, a)
					return
				case strings.HasPrefix(a, "ICAP/1.0 204 ") && body != "bad" && !strings.Contains(a, "Unscanned"):
					passed.Add(1)
				case strings.HasPrefix(a, "ICAP/1.0 200 ") && strings.Contains(a, "Blocked"):
					blocked.Add(1)
				default:
					t.Errorf("%.20q: %s", body, a)
				}
			}
		})
	}
	time.Sleep(10 * time.Second) // the length of the soak, not a wait for something
	stop.Store(true)
	wg.Wait()
	t.Logf("%d passed, %d blocked", passed.Load(), blocked.Load())
	if passed.Load() == 0 || blocked.Load() == 0 {
		t.Errorf("%d passed, %d blocked", passed.Load(), blocked.Load())
	}
	eventually(t, "no transaction is left and no fault was met", func() bool {
		_, m := r.get("/metrics")
		return strings.Contains(m, "sluice_transactions_active 0\n") && strings.Contains(m, "sluice_faults_total 0\n")
	})
	r.stop()
	f.stop()
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, already)
}
