package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/test/lab"
)

// TestEventFields looks at the two events of one exchange.
func TestEventFields(t *testing.T) {
	path := "/sample/fields/report.txt"
	shared.Origin.Put("fields/report.txt", lab.Sample{Body: []byte("all went well\n"), Type: "text/plain; charset=utf-8"})
	head := map[string]string{"User-Agent": "lab/1.0 (fields)"}
	if resp, _ := do(t, shared.client, http.MethodGet, originURL("https", path), head, nil); resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	found, err := shared.node.Events(t.Context(), 10, "url~"+path)
	if err != nil || len(found) != 2 {
		t.Fatalf("%d events, want one for the request and one for the response: %v %v", len(found), err, found)
	}
	for _, e := range found {
		want := map[string]string{
			"kind": "traffic", "entrance": "icap", "method": "GET", "url": originURL("https", path), "host": lab.Host, "client": "127.0.0.1",
			"agent": "lab/1.0 (fields)", "action": "forward", "node": "node",
		}
		if e.Str("direction") == "response" {
			want["status"], want["mime"], want["file_type"], want["scan_status"], want["received"] = "200", "text/plain", "text", "clean", "14"
		}
		for k, v := range want {
			if got := e.Str(k); got != v && !(k == "mime" && strings.HasPrefix(got, v)) {
				t.Errorf("%s: %s is %q, want %q", e.Str("direction"), k, got, v)
			}
		}
		for _, k := range []string{"time", "id", "total", "revision"} {
			if e.Str(k) == "" {
				t.Errorf("%s: no %s in %v", e.Str("direction"), k, e)
			}
		}
	}
}

// TestEventWords searches in words, and is told what is wrong with a bad one.
func TestEventWords(t *testing.T) {
	for i := range 5 {
		do(t, shared.client, http.MethodGet, originURL("http", fmt.Sprintf("/status/%d?words", 200+i%2)), nil, nil)
	}
	for _, c := range []struct {
		words []string
		want  int
	}{
		{[]string{"url~?words", "direction=response", "since=1h"}, 5},
		{[]string{"url~?words", "status=201"}, 2},
		{[]string{"url~?words", "status>200"}, 2},
		{[]string{"url~?words", "direction!=response"}, 5},
		{[]string{"url~no-such-words-anywhere"}, 0},
	} {
		found, err := shared.node.Events(t.Context(), 100, c.words...)
		if err != nil || len(found) != c.want {
			t.Errorf("events %v: %d, want %d: %v", c.words, len(found), c.want, err)
		}
	}
	if found, err := shared.node.Events(t.Context(), 3, "url~?words"); err != nil || len(found) != 3 {
		t.Errorf("--limit 3: %d events, %v", len(found), err)
	}
	if _, err := shared.node.Events(t.Context(), 3, "colour=red"); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("an unknown field: %v", err)
	}
	if out, _, err := shared.node.Run(t.Context(), "events", "--data", shared.node.Dir, "url~?words"); err != nil || !strings.Contains(out, "?words") || strings.HasPrefix(out, "{") {
		t.Errorf("for people: %v\n%s", err, out)
	}
	if found, err := shared.node.Events(t.Context(), 100, "kind=system"); err != nil || len(found) == 0 || found[0].Str("text") == "" {
		t.Errorf("system events: %v, %v", err, found)
	}
}

// TestFollow sees events come in.
func TestFollow(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(shared.Repo, "bin", "sluice"), "events", "--data", shared.node.Dir, "--follow", "--json", "url~?followed")
	out := must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	n := 0
	err := lab.Poll(ctx, 25*time.Second, func() error {
		n++
		do(t, shared.client, http.MethodGet, originURL("http", fmt.Sprintf("/status/204?followed=%d", n)), nil, nil)
		select {
		case line, ok := <-lines:
			var e lab.Event
			if !ok || json.Unmarshal([]byte(line), &e) != nil || !strings.Contains(e.Str("url"), "?followed=") {
				t.Errorf("followed: %q", line)
			}
			return nil
		case <-time.After(100 * time.Millisecond):
			return errors.New("no event came")
		}
	})
	if err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	go func() {
		for range lines { // whatever else came
		}
	}()
	if err := cmd.Wait(); err != nil {
		t.Error("interrupted:", err)
	}
}

// TestAborted breaks off connections at many points of the protocol, and looks
// for what stays behind.
func TestAborted(t *testing.T) {
	request := fmt.Appendf(nil, "RESPMOD icap://127.0.0.1/respmod ICAP/1.0\r\nHost: 127.0.0.1\r\nAllow: 204\r\nPreview: 1024\r\nEncapsulated: req-hdr=0, res-hdr=41, res-body=94\r\n\r\n"+
		"GET http://origin.test/ HTTP/1.1\r\nHost: a\r\n\r\n"+"HTTP/1.1 200 OK\r\nContent-Type: application/x-lab\r\n\r\n"+"400\r\n%s\r\n0\r\n\r\n", bytes.Repeat([]byte("p"), 1024))
	request = fixOffsets(request)
	more := fmt.Appendf(nil, "8000\r\n%s\r\n0\r\n\r\n", bytes.Repeat([]byte("q"), 0x8000))
	all := append(bytes.Clone(request), more...)
	node := must(shared.StartNode(t.Context(), "aborted", ""))(t)
	defer node.Stop(20 * time.Second)
	addr := fmt.Sprintf("127.0.0.1:%d", node.ICAP)
	abort := func(cut int) error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write(all[:min(cut, len(request))]); err != nil {
			return err
		}
		if cut > len(request) {
			b := make([]byte, 25)
			if _, err := io.ReadFull(c, b); err != nil || !bytes.HasPrefix(b, []byte("ICAP/1.0 100")) {
				return fmt.Errorf("after the preview: %q, %w", b, err)
			}
			if _, err := c.Write(all[len(request):cut]); err != nil {
				return err
			}
		}
		return c.(*net.TCPConn).SetLinger(cut % 2) // by turns with RST and FIN
	}
	for i := range 20 { // warm up: pools, first connections to clamd
		if err := abort(len(all) - i); err != nil {
			t.Fatal(err)
		}
	}
	var before float64
	err := lab.Poll(t.Context(), 10*time.Second, func() error {
		var err error
		before, err = node.Metric("go_goroutines")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fds := openFiles(t, node.PID())
	var wg sync.WaitGroup
	const aborts, workers = 1000, 4
	for w := range workers {
		wg.Go(func() {
			for i := w; i < aborts; i += workers {
				if err := abort(i * len(all) / aborts); err != nil {
					t.Errorf("abort %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	err = lab.Poll(t.Context(), 20*time.Second, func() error {
		now, err := node.Metric("go_goroutines")
		if err != nil {
			return err
		}
		if files := openFiles(t, node.PID()); now > before+5 || files > fds+8 {
			return fmt.Errorf("%v goroutines before, %v after; %d open files before, %d after", before, now, fds, files)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// fixOffsets writes the right offsets into the Encapsulated field.
func fixOffsets(request []byte) []byte {
	_, rest, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	res := bytes.Index(rest, []byte("HTTP/1.1 200"))
	body := res + bytes.Index(rest[res:], []byte("\r\n\r\n")) + 4
	return bytes.Replace(request, []byte("res-hdr=41, res-body=94"), fmt.Appendf(nil, "res-hdr=%d, res-body=%d", res, body), 1)
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	return len(must(os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)))(t))
}

// TestBomb sends a small archive that would unpack to a lot.
func TestBomb(t *testing.T) {
	zeros := zipped(t, "zeros", make([]byte, 200<<20))
	bomb := zipped(t, "b.zip", zeros)
	shared.Origin.Put("bomb.zip", lab.Sample{Body: bomb, Type: "application/zip"})
	_, before, err := lab.Resident(shared.node.PID())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	resp, body := do(t, shared.client, http.MethodGet, originURL("http", "/sample/bomb.zip"), nil, nil)
	took := time.Since(start)
	id := receipt.Find(body)
	if resp.StatusCode != http.StatusForbidden || id == nil {
		t.Fatalf("status %d\n%.500s", resp.StatusCode, body)
	}
	if e := logged(t, shared.node, "bomb", string(id)); e.Str("reason") != "over-limit" {
		t.Errorf("event %v", e)
	}
	_, after, err := lab.Resident(shared.node.PID())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes that would be %d MiB: decided in %v, peak of resident memory %d MiB before and %d after", len(bomb), 200, took, before>>20, after>>20)
	if took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestManyAtOnce asks for far more scans at a time than the engine has room for.
func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			resp, err := shared.client.Get(originURL("http", fmt.Sprintf("/load/crowd/%d", i)))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, lab.Load("crowd", i)) {
				t.Errorf("crowd/%d: status %d, %d bytes, %v", i, resp.StatusCode, len(body), err)
			}
		})
	}
	wg.Wait()
}
