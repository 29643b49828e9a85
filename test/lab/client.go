package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Client returns an HTTP client that goes through a proxy on a loopback port,
// as user:password when given. With port 0 it goes straight to the origin. It
// leaves content codings alone and follows no redirect. For ftp:// there is Curl.
func (l *Lab) Client(port int, user *url.Userinfo) (*http.Client, error) {
	pool := x509.NewCertPool()
	for _, f := range []string{l.root.File, l.bump.File} {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		pool.AppendCertsFromPEM(b)
	}
	tr := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: pool},
		DisableCompression: true, MaxIdleConnsPerHost: 64, ForceAttemptHTTP2: false,
	}
	if port == 0 {
		tr.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
			_, p, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+p)
		}
	} else {
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", User: user, Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	return &http.Client{
		Transport:     tr,
		Timeout:       5 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// Answer is what curl got.
type Answer struct {
	Status int
	Header http.Header
	Size   int64
	SHA256 string
	Body   []byte // the first MiB
}

// Curl runs curl through a proxy on a loopback port (0: straight) and hashes
// what comes. More arguments go before the URL. A transfer that curl calls
// broken is an error, and comes with what arrived.
func (l *Lab) Curl(ctx context.Context, port int, target string, args ...string) (*Answer, error) {
	head := filepath.Join(l.Dir, "log", fmt.Sprintf("curl-%d.head", time.Now().UnixNano()))
	defer os.Remove(head)
	all := []string{"-sS", "--max-time", "300", "-D", head, "--cacert", l.bump.File}
	if port == 0 {
		all = append(all, "--cacert", l.root.File, "--noproxy", "*")
		for _, h := range []string{Host, "a." + Host, "b." + Host, "other.test"} {
			all = append(all, "--connect-to", h+"::127.0.0.1:")
		}
	} else {
		all = append(all, "--noproxy", "", "-x", fmt.Sprintf("http://127.0.0.1:%d", port))
	}
	cmd := exec.CommandContext(ctx, "curl", append(append(all, args...), target)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	sum := sha256.New()
	sink := &hashing{hash: sum}
	cmd.Stdout = sink
	runErr := cmd.Run()
	a := &Answer{Size: sink.n, SHA256: hex.EncodeToString(sum.Sum(nil)), Body: sink.first.Bytes()}
	if b, err := os.ReadFile(head); err == nil {
		a.Status, a.Header = lastHead(string(b))
	}
	if runErr != nil {
		return a, fmt.Errorf("curl %s: %w: %s", target, runErr, stderr.Bytes())
	}
	return a, nil
}

// hashing hashes all it is given and keeps the first MiB.
type hashing struct {
	hash  io.Writer
	n     int64
	first bytes.Buffer
}

func (h *hashing) Write(p []byte) (int, error) {
	h.n += int64(len(p))
	if room := 1<<20 - h.first.Len(); room > 0 {
		h.first.Write(p[:min(room, len(p))])
	}
	return h.hash.Write(p)
}

// lastHead reads the last of the heads that curl -D wrote: those before it are
// the proxy's answer to CONNECT, 100 Continue and the like.
func lastHead(s string) (int, http.Header) {
	heads := strings.Split(strings.TrimSpace(s), "\r\n\r\n")
	status, header := 0, http.Header{}
	for i, line := range strings.Split(heads[len(heads)-1], "\r\n") {
		if i == 0 {
			if f := strings.Fields(line); len(f) > 1 {
				status, _ = strconv.Atoi(f[1])
			}
			continue
		}
		if k, v, ok := strings.Cut(line, ":"); ok {
			header.Add(k, strings.TrimSpace(v))
		}
	}
	return status, header
}

// Paced reads b as a network would bring it, at some 80 MB a second. Squid 5.7
// takes a client that is ahead of the ICAP service for gone when it comes to read
// with its buffer full: nothing an ICAP service could mend.
func Paced(b []byte) io.Reader { return &pacedReader{r: bytes.NewReader(b)} }

type pacedReader struct {
	r    *bytes.Reader
	sent int
}

const (
	paceStep = 256 << 10
	paceWait = 3 * time.Millisecond
)

func (p *pacedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b[:min(len(b), paceStep)])
	if p.sent += n; p.sent >= paceStep {
		p.sent = 0
		time.Sleep(paceWait)
	}
	return n, err
}
