package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/test/lab"
)

func originURL(scheme, path string) string {
	port := shared.Origin.HTTP
	if scheme == "https" {
		port = shared.Origin.HTTPS
	}
	return fmt.Sprintf("%s://%s:%d%s", scheme, lab.Host, port, path)
}

func nginxURL(scheme, path string) string {
	port := shared.NginxHTTP
	if scheme == "https" {
		port = shared.NginxHTTPS
	}
	return fmt.Sprintf("%s://%s:%d%s", scheme, lab.Host, port, path)
}

func ftpURL(path string) string { return fmt.Sprintf("ftp://%s:%d%s", lab.Host, shared.FTP, path) }

func sum(t *testing.T, r io.Reader) (string, int64) {
	t.Helper()
	h := sha256.New()
	n := must(io.Copy(h, r))(t)
	return hex.EncodeToString(h.Sum(nil)), n
}

var sizes = []int64{0, 1, 1 << 10, 64 << 10, 1 << 20, 64 << 20}

// TestDownloadIdentical compares what curl gets through Squid and the node with
// what the origin sent.
func TestDownloadIdentical(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, size := range sizes {
			for _, query := range []string{"", "?chunked"} {
				want, _ := sum(t, lab.Content(size))
				u := originURL(scheme, fmt.Sprintf("/bytes/%d%s", size, query))
				a, err := shared.Curl(t.Context(), shared.squid.Port, u)
				if err != nil || a.Status != http.StatusOK || a.Size != size || a.SHA256 != want {
					t.Errorf("%s: %v; status %d, %d bytes, digest %s; want %d bytes, %s", u, err, a.Status, a.Size, a.SHA256, size, want)
				}
				if query == "" && a.Header.Get("Content-Length") != fmt.Sprint(size) {
					t.Errorf("%s: Content-Length %q", u, a.Header.Get("Content-Length"))
				}
			}
		}
	}
}

// TestFTPIdentical does the same over FTP, down and up.
func TestFTPIdentical(t *testing.T) {
	for _, size := range sizes {
		name := fmt.Sprintf("size-%d.bin", size)
		content := must(io.ReadAll(lab.Content(size)))(t)
		if err := os.WriteFile(filepath.Join(shared.Dir, "ftp", "pub", name), content, 0o644); err != nil {
			t.Fatal(err)
		}
		want, _ := sum(t, bytes.NewReader(content))
		a, err := shared.Curl(t.Context(), shared.squid.Port, ftpURL("/pub/"+name))
		if err != nil || a.Status != http.StatusOK || a.SHA256 != want {
			t.Errorf("%s: %v; status %d, %d bytes, digest %s; want %s", name, err, a.Status, a.Size, a.SHA256, want)
		}
		a, err = shared.Curl(t.Context(), shared.squid.Port, ftpURL("/in/"+name), "-T", filepath.Join(shared.Dir, "ftp", "pub", name))
		if err != nil || a.Status/100 != 2 {
			t.Errorf("upload of %s: %v, status %d\n%s", name, err, a.Status, a.Body)
			continue
		}
		f := must(os.Open(filepath.Join(shared.Dir, "ftp", "in", name)))(t)
		if got, _ := sum(t, f); got != want {
			t.Errorf("upload of %s: the server has digest %s, want %s", name, got, want)
		}
		f.Close()
	}
	a, err := shared.Curl(t.Context(), shared.squid.Port, ftpURL("/pub/"))
	if err != nil || a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte("size-1024.bin")) {
		t.Errorf("listing: %v, status %d\n%s", err, a.Status, a.Body)
	}
}

// TestTwoGiB sends 2 GiB through and watches the node's memory meanwhile.
func TestTwoGiB(t *testing.T) {
	const size = 2 << 30
	// clamd takes objects below 2 GiB only: the administrator has to allow
	// what is over a limit, and the event says that it was not scanned.
	apply(t, shared.node, "protection: {on: {over_limit: allow}}\n")
	defer apply(t, shared.node, blocking)
	var peak atomic.Int64
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if now, _, err := lab.Resident(shared.node.PID()); err == nil {
					peak.Store(max(peak.Load(), now))
				}
			}
		}
	}()
	want, _ := sum(t, lab.Content(size))
	path := fmt.Sprintf("/bytes/%d", size)
	start := time.Now()
	a, err := shared.Curl(t.Context(), shared.squid.Port, originURL("http", path))
	close(stop)
	<-watched
	if err != nil || a.Status != http.StatusOK || a.Size != size || a.SHA256 != want {
		t.Fatalf("%v; status %d, %d bytes, digest %s; want %s", err, a.Status, a.Size, a.SHA256, want)
	}
	t.Logf("2 GiB in %v, resident memory of the node at most %d MiB", time.Since(start).Round(time.Millisecond), peak.Load()>>20)
	if peak.Load() == 0 || peak.Load() > 512<<20 {
		t.Errorf("resident memory %d MiB, want at most 512", peak.Load()>>20)
	}
	found, err := shared.node.Events(t.Context(), 10, "url~"+path, "direction=response")
	if err != nil || len(found) != 1 || found[0].Str("unscanned") != "true" || found[0].Str("received") != fmt.Sprint(size) {
		t.Errorf("its event: %v, %v", err, found)
	}
}

func TestContentCodings(t *testing.T) {
	for _, coding := range []string{"gzip", "br", "zstd", "deflate"} {
		for _, size := range []int64{0, 1, 1 << 10, 1 << 20} {
			text := must(io.ReadAll(lab.Text(size)))(t)
			coded := must(lab.Encode(coding, text))(t)
			want, _ := sum(t, bytes.NewReader(coded))
			u := originURL("https", fmt.Sprintf("/coded/%s/%d", coding, size))
			a, err := shared.Curl(t.Context(), shared.squid.Port, u)
			if err != nil || a.SHA256 != want || a.Header.Get("Content-Encoding") != coding {
				t.Errorf("%s: %v; status %d, digest %s, Content-Encoding %q; want %s", u, err, a.Status, a.SHA256, a.Header.Get("Content-Encoding"), want)
			}
		}
	}
}

// TestAsDirect compares status, fields and body of many kinds of request with
// what a Squid without ICAP gives.
func TestAsDirect(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcde"), 4000)
	if err := shared.Publish("static.bin", big); err != nil {
		t.Fatal(err)
	}
	if err := shared.Publish("page.html", []byte("<!doctype html><title>lab</title><p id=x>hello")); err != nil {
		t.Fatal(err)
	}
	direct := must(shared.Client(shared.plain.Port, nil))(t)
	etag := ""
	if r, err := direct.Head(nginxURL("http", "/static.bin")); err == nil {
		etag = r.Header.Get("ETag")
		r.Body.Close()
	}
	for _, scheme := range []string{"http", "https"} {
		cases := []struct {
			name, method, url string
			head              map[string]string
			body              []byte
		}{
			{"get", "GET", nginxURL(scheme, "/static.bin"), nil, nil},
			{"page", "GET", nginxURL(scheme, "/page.html"), nil, nil},
			{"head", "HEAD", nginxURL(scheme, "/static.bin"), nil, nil},
			{"head without length", "HEAD", originURL(scheme, "/bytes/100?chunked"), nil, nil},
			{"not found", "GET", nginxURL(scheme, "/nothing"), nil, nil},
			{"204", "GET", originURL(scheme, "/status/204"), nil, nil},
			{"205", "GET", originURL(scheme, "/status/205"), nil, nil},
			{"301 without body", "GET", originURL(scheme, "/status/301"), nil, nil},
			{"304", "GET", nginxURL(scheme, "/static.bin"), map[string]string{"If-None-Match": etag}, nil},
			{"304 of head", "HEAD", nginxURL(scheme, "/static.bin"), map[string]string{"If-None-Match": etag}, nil},
			{"500", "GET", originURL(scheme, "/status/500"), nil, nil},
			{"first range", "GET", nginxURL(scheme, "/static.bin"), map[string]string{"Range": "bytes=0-99"}, nil},
			{"middle range", "GET", nginxURL(scheme, "/static.bin"), map[string]string{"Range": "bytes=5000-50000"}, nil},
			{"last range", "GET", nginxURL(scheme, "/static.bin"), map[string]string{"Range": "bytes=-17"}, nil},
			{"unsatisfied range", "GET", nginxURL(scheme, "/static.bin"), map[string]string{"Range": "bytes=999999-"}, nil},
			{"nginx gzip", "GET", nginxURL("http", "/gz/static.bin"), map[string]string{"Accept-Encoding": "gzip"}, nil},
			{"options", "OPTIONS", originURL(scheme, "/status/200"), nil, nil},
			{"delete", "DELETE", originURL(scheme, "/status/200"), nil, nil},
			{"post nothing", "POST", originURL(scheme, "/status/200"), nil, []byte{}},
		}
		for _, c := range cases {
			want := fetch(t, direct, c.method, c.url, c.head, c.body)
			got := fetch(t, shared.client, c.method, c.url, c.head, c.body)
			if got != want {
				t.Errorf("%s %s: through the node\n%s\nwithout\n%s", scheme, c.name, got, want)
			}
		}
	}
}

// fetch returns an answer as text, with the fields that must not change.
func fetch(t *testing.T, c *http.Client, method, url string, head map[string]string, body []byte) string {
	t.Helper()
	resp, got := do(t, c, method, url, head, body)
	var b strings.Builder
	fmt.Fprintf(&b, "%d, ContentLength %d\n", resp.StatusCode, resp.ContentLength)
	for _, k := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Range", "ETag", "Last-Modified", "Accept-Ranges"} {
		fmt.Fprintf(&b, "%s: %q\n", k, resp.Header.Values(k))
	}
	fmt.Fprintf(&b, "%d bytes, %x\n", len(got), sha256.Sum256(got))
	return b.String()
}

// do sends one request and reads the whole answer.
func do(t *testing.T, c *http.Client, method, url string, head map[string]string, body []byte) (*http.Response, []byte) {
	t.Helper()
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req := must(http.NewRequestWithContext(t.Context(), method, url, r))(t)
	for k, v := range head {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading: %v", method, url, err)
	}
	return resp, got
}

// TestUploadIdentical has the origin hash what it is sent.
func TestUploadIdentical(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, size := range sizes {
			content := make([]byte, size)
			must(rand.Read(content))(t)
			multi, multiType := form(t, "holiday.jpg", content)
			for _, c := range []struct {
				name, mime string
				body       []byte
				chunked    bool
			}{
				{"raw", "application/octet-stream", content, false},
				{"chunked", "application/octet-stream", content, true},
				{"multipart", multiType, multi, false},
			} {
				req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, originURL(scheme, "/echo"), lab.Paced(c.body)))(t)
				if !c.chunked {
					req.ContentLength = int64(len(c.body))
				}
				req.Header.Set("Content-Type", c.mime)
				resp, err := shared.client.Do(req)
				if err != nil {
					t.Errorf("%s %s %d: %v", scheme, c.name, size, err)
					continue
				}
				var e lab.Echo
				err = json.NewDecoder(resp.Body).Decode(&e)
				resp.Body.Close()
				want, n := sum(t, bytes.NewReader(c.body))
				if err != nil || e.SHA256 != want || e.Size != n || e.Type != c.mime {
					t.Errorf("%s %s %d: status %d, %v; the origin got %d bytes, %s as %q; want %d, %s", scheme, c.name, size, resp.StatusCode, err, e.Size, e.SHA256, e.Type, n, want)
				}
			}
		}
	}
}

// apply replaces a node's settings and waits until they are in force.
func apply(t *testing.T, n *lab.Node, settings string) {
	t.Helper()
	if err := n.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
}

// TestManyExchanges does a few thousand downloads and uploads around the edges
// of previews and chunks, many at a time.
func TestManyExchanges(t *testing.T) {
	edges := []int64{0, 1, 999, 1000, 1001, 1023, 1024, 1025, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537, 1 << 20}
	contents := map[int64][]byte{}
	for _, n := range edges {
		contents[n] = must(io.ReadAll(lab.Content(n)))(t)
	}
	const each = 60
	var done atomic.Int64
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < each*len(edges); i += 8 {
				n, scheme := edges[i%len(edges)], []string{"http", "https"}[i/len(edges)%2]
				if err := exchange(t.Context(), n, scheme, i, contents[n]); err != nil {
					t.Errorf("exchange %d: %s, %d bytes: %v", i, scheme, n, err)
				}
				done.Add(2)
			}
		})
	}
	wg.Wait()
	t.Logf("%d exchanges", done.Load())
}

// exchange downloads and uploads one content, by turns with a length and chunked.
func exchange(ctx context.Context, n int64, scheme string, i int, content []byte) error {
	path := fmt.Sprintf("/bytes/%d?%d", n, i)
	var upload io.Reader = bytes.NewReader(content)
	if i%3 == 0 {
		path += "&chunked"
		upload = struct{ io.Reader }{upload}
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		url, body := originURL(scheme, path), io.Reader(nil)
		if method == http.MethodPost {
			url, body = originURL(scheme, "/echo"), upload
		}
		req, err := http.NewRequestWithContext(ctx, method, url, body)
		if err != nil {
			return err
		}
		resp, err := shared.client.Do(req)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: status %d: %w", method, resp.StatusCode, err)
		}
		var e lab.Echo
		want := sha256.Sum256(content)
		switch {
		case method == http.MethodGet && !bytes.Equal(got, content):
			return fmt.Errorf("%d bytes came, not the same", len(got))
		case method == http.MethodPost && (json.Unmarshal(got, &e) != nil || e.SHA256 != hex.EncodeToString(want[:])):
			return fmt.Errorf("the origin got %d bytes, not the same", e.Size)
		}
	}
	return nil
}
