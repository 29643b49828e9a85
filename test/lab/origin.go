package lab

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Sample is a fixed answer of the origin.
type Sample struct {
	Body   []byte
	Type   string
	Header map[string]string
	Gap    time.Duration // between tenths of the body
}

// Origin is a web server for answers that nginx would not give. It listens on
// one port in the clear and on another with TLS.
type Origin struct {
	HTTP, HTTPS int

	mu      sync.Mutex
	samples map[string]Sample
	seen    map[string]int
	servers []*http.Server
}

func startOrigin(certFile, keyFile string) (*Origin, error) {
	o := &Origin{samples: map[string]Sample{}, seen: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/bytes/{n}", o.bytes)
	mux.HandleFunc("/coded/{coding}/{n}", o.coded)
	mux.HandleFunc("/echo", o.echo)
	mux.HandleFunc("/echo/{name...}", o.echo)
	mux.HandleFunc("/slow/{n}", o.slow)
	mux.HandleFunc("/load/{kind}/{n}", o.load)
	mux.HandleFunc("/status/{code}", o.status)
	mux.HandleFunc("/sample/{name...}", o.sample)
	count := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.seen[r.URL.Path]++
		o.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
	for _, tls := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s := &http.Server{Handler: count, ReadHeaderTimeout: time.Minute}
		o.servers = append(o.servers, s)
		port := l.Addr().(*net.TCPAddr).Port
		if tls {
			o.HTTPS = port
			go func() { _ = s.ServeTLS(l, certFile, keyFile) }()
		} else {
			o.HTTP = port
			go func() { _ = s.Serve(l) }()
		}
	}
	return o, nil
}

func (o *Origin) stop(ctx context.Context) {
	for _, s := range o.servers {
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
	}
}

// Put makes the origin answer /sample/NAME.
func (o *Origin) Put(name string, s Sample) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.samples[name] = s
}

// Seen counts the requests for a path that reached the origin.
func (o *Origin) Seen(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[path]
}

// Content reads n bytes that look random and are the same for the same n: the
// origin's /bytes/N.
func Content(n int64) io.Reader {
	var seed [32]byte
	copy(seed[:], strconv.FormatInt(n, 10))
	return io.LimitReader(rand.NewChaCha8(seed), n)
}

// Text reads n bytes that compress well: the origin's /coded/CODING/N, decoded.
func Text(n int64) io.Reader {
	return io.LimitReader(strings.NewReader(strings.Repeat("All is well on the road to the origin. ", int(n/39)+1)), n)
}

// bytes answers with Content; ?chunked=1 without a length.
func (o *Origin) bytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil {
		http.Error(w, "bad size", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.URL.Query().Has("chunked") {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	} else {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	if r.Method != http.MethodHead {
		paced(w, Content(n))
	}
}

// paced sends in pieces, as a network would: an origin that is always ahead of
// Squid costs a second here and there (see unstuck).
func paced(w io.Writer, src io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(src, buf)
		if _, werr := w.Write(buf[:n]); werr != nil || err != nil {
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// coded answers with Text in a content coding.
func (o *Origin) coded(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil {
		http.Error(w, "bad size", http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(Text(n))
	if err == nil {
		b, err = Encode(r.PathValue("coding"), b)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Encoding", r.PathValue("coding"))
	_, _ = w.Write(b)
}

// Encode applies content codings, first one first: "gzip", "br", "gzip, br".
func Encode(codings string, b []byte) ([]byte, error) {
	for coding := range strings.SplitSeq(codings, ",") {
		var out strings.Builder
		var w io.WriteCloser
		var err error
		switch coding = strings.TrimSpace(coding); coding {
		case "identity", "":
			continue
		case "gzip", "x-gzip":
			w = gzip.NewWriter(&out)
		case "deflate":
			w = zlib.NewWriter(&out)
		case "deflate-raw": // what some servers send as "deflate"
			w, err = flate.NewWriter(&out, 6)
		case "br":
			w = brotli.NewWriter(&out)
		case "zstd":
			w, err = zstd.NewWriter(&out)
		default:
			err = fmt.Errorf("no coding %q", coding)
		}
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		b = []byte(out.String())
	}
	return b, nil
}

// Echo is what the origin says about a request.
type Echo struct {
	Method, Type, SHA256 string
	Size                 int64
	Header               http.Header
}

func (o *Origin) echo(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Echo{Method: r.Method, Type: r.Header.Get("Content-Type"), SHA256: hex.EncodeToString(h.Sum(nil)), Size: n, Header: r.Header})
}

// slow answers with Content in ten parts, ?gap apart.
func (o *Origin) slow(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	gap, err2 := time.ParseDuration(r.URL.Query().Get("gap"))
	if err != nil || err2 != nil {
		http.Error(w, "bad size or gap", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	drip(r.Context(), w, Content(n), n, gap)
}

// drip sends n bytes in ten parts, gap apart.
func drip(ctx context.Context, w http.ResponseWriter, src io.Reader, n int64, gap time.Duration) {
	for left := n; left > 0; {
		part := min(left, n/10+1)
		if _, err := io.CopyN(w, src, part); err != nil {
			return
		}
		left -= part
		_ = http.NewResponseController(w).Flush()
		select {
		case <-ctx.Done():
			return
		case <-time.After(gap):
		}
	}
}

// Marker is malware in the eyes of nodes that StartNode started: it stands in a
// signature of their own.
const Marker = "LAB-" + "MALWARE-" + "MARKER-7f3a"

// Load is the origin's /load/KIND/N: 8 KiB that are different for each N. Kind
// "bad" has the Marker in the middle.
func Load(kind string, n int) []byte {
	var seed [32]byte
	copy(seed[:], kind+strconv.Itoa(n))
	b := make([]byte, 8<<10)
	_, _ = rand.NewChaCha8(seed).Read(b)
	if kind == "bad" {
		copy(b[4000:], Marker)
	}
	return b
}

func (o *Origin) load(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		http.Error(w, "bad number", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(Load(r.PathValue("kind"), n))
}

func (o *Origin) status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "bad code", http.StatusBadRequest)
		return
	}
	w.Header().Set("ETag", `"lab"`)
	w.WriteHeader(code)
}

func (o *Origin) sample(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	s, ok := o.samples[r.PathValue("name")]
	o.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", s.Type)
	for k, v := range s.Header {
		w.Header().Set(k, v)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(s.Body)))
	if s.Gap > 0 {
		drip(r.Context(), w, bytes.NewReader(s.Body), int64(len(s.Body)), s.Gap)
		return
	}
	paced(w, bytes.NewReader(s.Body))
}
