package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sluice/test/lab"
)

// offered reads the Preview of the node's OPTIONS answer.
func offered(t *testing.T) int {
	t.Helper()
	out := must(exec.CommandContext(t.Context(), "c-icap-client", "-i", "127.0.0.1", "-p", strconv.Itoa(shared.node.ICAP), "-s", "respmod").CombinedOutput())(t)
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Preview: "); ok {
			return must(strconv.Atoi(v))(t)
		}
	}
	t.Fatalf("c-icap-client shows no Preview:\n%s", out)
	return 0
}

// TestICAPClient exchanges bodies around every edge with c-icap-client, in both
// directions and with every set of options that it has.
func TestICAPClient(t *testing.T) {
	preview := offered(t)
	if preview < 1024 {
		t.Errorf("the node offers a preview of %d bytes", preview)
	}
	dir := t.TempDir()
	options := [][]string{nil, {"-no204"}, {"-nopreview"}, {"-nopreview", "-no204"}, {"-206"}, {"-206", "-no204"}, {"-w", "0"}, {"-w", "1", "-no204"}, {"-w", "1000"}, {"-w", "1000", "-no204"}}
	exchanges, unchanged := 0, 0
	for _, size := range []int{0, 1, preview - 1, preview, preview + 1, 999, 1000, 1001, 65535, 65536, 1 << 20} {
		in := filepath.Join(dir, fmt.Sprintf("in-%d", size))
		content := must(io.ReadAll(lab.Content(int64(size))))(t)
		if err := os.WriteFile(in, content, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, o := range options {
			for _, way := range [][]string{{"-s", "respmod", "-resp", "http://origin.test/c-icap"}, {"-s", "reqmod", "-req", "http://origin.test/c-icap", "-method", "POST"}} {
				got, same := icapExchange(t, shared.node.ICAP, in, append(append([]string{}, way...), o...))
				exchanges++
				if same {
					unchanged++
				} else if !bytes.Equal(got, content) {
					t.Errorf("%d bytes, %v %v: came back as %d bytes", size, way[1], o, len(got))
				}
			}
		}
	}
	t.Logf("%d exchanges, %d of them answered unchanged (204)", exchanges, unchanged)
}

// icapExchange runs c-icap-client and returns what it wrote; same tells that
// the node said "unchanged".
func icapExchange(t *testing.T, port int, in string, args []string) (got []byte, same bool) {
	t.Helper()
	out := in + ".out"
	_ = os.Remove(out)
	all := append([]string{"-i", "127.0.0.1", "-p", strconv.Itoa(port), "-f", in, "-o", out, "-v"}, args...)
	said, err := exec.CommandContext(t.Context(), "c-icap-client", all...).CombinedOutput()
	if err != nil {
		t.Errorf("c-icap-client %v: %v\n%s", args, err, said)
		return nil, false
	}
	if bytes.Contains(said, []byte("ICAP/1.0 204")) {
		return nil, true
	}
	if !bytes.Contains(said, []byte("ICAP/1.0 20")) {
		t.Errorf("c-icap-client %v:\n%s", args, said)
	}
	got, err = os.ReadFile(out)
	if err != nil {
		t.Errorf("c-icap-client %v wrote nothing: %v\n%s", args, err, said)
	}
	return got, false
}

// TestICAPClientBlocked sees what an ICAP client is told about malware.
func TestICAPClientBlocked(t *testing.T) {
	in := filepath.Join(t.TempDir(), "bad.com")
	if err := os.WriteFile(in, eicar, 0o644); err != nil {
		t.Fatal(err)
	}
	out := in + ".out"
	said := must(exec.CommandContext(t.Context(), "c-icap-client", "-i", "127.0.0.1", "-p", strconv.Itoa(shared.node.ICAP),
		"-s", "respmod", "-resp", "http://origin.test/bad.com", "-f", in, "-o", out, "-v").CombinedOutput())(t)
	for _, want := range []string{"ICAP/1.0 200", "X-Infection-Found: Type=0; Resolution=", "Threat=", "X-Virus-ID: ", "X-Sluice-ID: ", "ISTag: ", "403"} {
		if !bytes.Contains(said, []byte(want)) {
			t.Errorf("the answer does not have %q:\n%s", want, said)
		}
	}
	body := must(os.ReadFile(out))(t)
	id := receipt.Find(body)
	if id == nil || !bytes.Contains(said, append([]byte("X-Sluice-ID: "), id...)) {
		t.Errorf("the page's id %q is not the answer's:\n%s", id, said)
	}
}

// TestICAPOverTLS does an exchange over icaps, with a certificate of the
// client's and without.
func TestICAPOverTLS(t *testing.T) {
	certFile, keyFile, err := shared.Issue("icaps", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	port := must(lab.FreePort())(t)
	n := must(shared.StartNode(t.Context(), "icaps", ""))(t)
	defer n.Stop(20e9)
	n.Insert = fmt.Sprintf("    tls: {listen: [\"127.0.0.1:%d\"], certificate: %s, key: %s}\n", port, certFile, keyFile)
	apply(t, n, "")
	in := filepath.Join(t.TempDir(), "in")
	content := must(io.ReadAll(lab.Content(100_000)))(t)
	if err := os.WriteFile(in, content, 0o644); err != nil {
		t.Fatal(err)
	}
	got, _ := icapExchange(t, port, in, []string{"-tls", "-tls-no-verify", "-no204", "-s", "respmod", "-resp", "http://origin.test/tls"})
	if !bytes.Equal(got, content) {
		t.Errorf("over TLS: %d bytes came back of %d", len(got), len(content))
	}
	n.Insert = strings.Replace(n.Insert, "}\n", ", client_ca: "+shared.RootCA()+"}\n", 1)
	apply(t, n, "")
	said, err := exec.CommandContext(t.Context(), "c-icap-client", "-i", "127.0.0.1", "-p", strconv.Itoa(port), "-tls", "-tls-no-verify", "-s", "respmod", "-v").CombinedOutput()
	if err == nil && bytes.Contains(said, []byte("ICAP/1.0 200")) {
		t.Errorf("a client without a certificate is served:\n%s", said)
	}
}
