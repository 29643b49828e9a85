package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/test/lab"
)

// browse loads a page in Chromium through Squid and returns its document after
// its scripts ran.
func browse(t *testing.T, url string) string {
	t.Helper()
	block, _ := pem.Decode(must(os.ReadFile(shared.BumpCA()))(t))
	if block == nil {
		t.Fatal("no certificate in " + shared.BumpCA())
	}
	ca := must(x509.ParseCertificate(block.Bytes))(t)
	pin := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--user-data-dir="+t.TempDir(), fmt.Sprintf("--proxy-server=http://127.0.0.1:%d", shared.squid.Port), "--proxy-bypass-list=<-loopback>",
		"--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(pin[:]),
		"--virtual-time-budget=10000", "--dump-dom", url)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium %s: %v\n%s", url, err, stderr.String())
	}
	return string(out)
}

// TestBrowser has Chromium load a page whose script fetches more, and a page
// that is blocked.
func TestBrowser(t *testing.T) {
	page := `<!doctype html><title>lab</title><p id=here>waiting</p><img id=pic src=/dot.png>
<script>fetch("/data.txt").then(r => r.text()).then(s => { document.getElementById("here").textContent = "fetched " + s.trim() })</script>`
	dot := must(base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="))(t)
	for name, b := range map[string][]byte{"app.html": []byte(page), "data.txt": []byte("42 fish\n"), "dot.png": dot} {
		if err := shared.Publish(name, b); err != nil {
			t.Fatal(err)
		}
	}
	shared.Origin.Put("browser/eicar.com", lab.Sample{Body: eicar, Type: "text/html"})
	for _, scheme := range []string{"http", "https"} {
		if dom := browse(t, nginxURL(scheme, "/app.html")); !strings.Contains(dom, "fetched 42 fish") {
			t.Errorf("%s: the page did not come to life:\n%s", scheme, dom)
		}
		dom := browse(t, originURL(scheme, "/sample/browser/eicar.com"))
		if !strings.Contains(strings.ToLower(dom), "eicar") || receipt.FindString(dom) == "" || strings.Contains(dom, "EICAR-STANDARD") {
			t.Errorf("%s: not the block page:\n%s", scheme, dom)
		}
	}
}
