package lab

import (
	"fmt"
	"testing"
)

// TestLab brings up everything but a node, and looks at one file through each way.
func TestLab(t *testing.T) {
	l, err := Start(t.Context())
	if l != nil {
		defer l.Stop(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.StartSquid(t.Context(), "squid", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Publish("hello.txt", []byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{
		fmt.Sprintf("http://%s:%d/hello.txt", Host, l.NginxHTTP), fmt.Sprintf("https://%s:%d/hello.txt", Host, l.NginxHTTPS),
		fmt.Sprintf("ftp://%s:%d/pub/hello.txt", Host, l.FTP),
	} {
		for _, port := range []int{0, s.Port} {
			a, err := l.Curl(t.Context(), port, u)
			if err != nil || string(a.Body) != "hello\n" {
				t.Errorf("%s through %d: %v, %+v", u, port, err, a)
			}
		}
	}
	if a, err := l.Curl(t.Context(), s.AuthPort, fmt.Sprintf("http://%s:%d/hello.txt", Host, l.NginxHTTP)); err != nil || a.Status != 407 {
		t.Errorf("without a password: %v, %+v", err, a)
	}
	if a, err := l.Curl(t.Context(), s.AuthPort, fmt.Sprintf("https://%s:%d/hello.txt", Host, l.NginxHTTPS), "--proxy-user", Alice+":"+AlicePassword); err != nil || a.Status != 200 {
		t.Errorf("with a password: %v, %+v", err, a)
	}
	if t.Failed() {
		l.Dump(t.Output())
	}
}
