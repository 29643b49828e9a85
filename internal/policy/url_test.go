package policy

import (
	"bytes"
	"strings"
	"testing"
)

func TestURLNormalForm(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, c := range []struct{ in, want string }{
		{"http://example.com", "http://example.com/"},
		{"HTTP://EXAMPLE.com:80/A?B#c", "http://example.com/A?B"},
		{"http://example.com:/", "http://example.com/"},
		{"http://example.com:8080", "http://example.com:8080/"},
		{"https://example.com:0443/", "https://example.com/"},
		{"ftp://example.com:21/x", "ftp://example.com/x"},
		{"foo+x://example.com/", "foo+x://example.com/"},
		{"http://example.com.", "http://example.com/"},
		{"http://user:p@ss@example.com/", "http://example.com/"},
		{"http://example.com?x=/../y", "http://example.com/?x=/../y"},
		{"http://example.com/a/./b/../c", "http://example.com/a/c"},
		{"http://example.com/../../a", "http://example.com/a"},
		{"http://example.com/a/..", "http://example.com/"},
		{"http://example.com/a/b/..", "http://example.com/a/"},
		{"http://example.com/a/.", "http://example.com/a/"},
		{"http://example.com/%2e%2E/%2E/a%2Eb", "http://example.com/a.b"},
		{"http://example.com//a///b//", "http://example.com/a/b/"},
		{"http://example.com/a//../b", "http://example.com/b"},
		{`http:\\example.com\a\b`, "http://example.com/a/b"},
		{`http:\\example.com\a/@b`, "http://example.com/a/@b"},
		{"http://example.com/%41%7e%2f%3F%25%zz%4", "http://example.com/A~%2F%3F%25%25zz%254"},
		{"http://example.com/\xc3\xbc\"<>", "http://example.com/%C3%BC%22%3C%3E"},
		{"http://example.com/a%21%40b", "http://example.com/a!@b"},
		{"http://example.com/?a%21=%41", "http://example.com/?a%21=A"},
		{"http://ex%61mple.com/", "http://example.com/"},
		{"http://b\xc3\xbccher.test/", "http://xn--bcher-kva.test/"},
		{"http://B%C3%9CCHER.test/", "http://xn--bcher-kva.test/"},
		{"http://example\xe3\x80\x82com/", "http://example.com/"},
		{"http://\xef\xbc\x91\xef\xbc\x90.1.2.3/", "http://10.1.2.3/"},
		{"http://my_host-1.test/", "http://my_host-1.test/"},
		{"http://1.2.3.4/", "http://1.2.3.4/"},
		{"http://1.2.3.4./", "http://1.2.3.4/"},
		{"http://16909060/", "http://1.2.3.4/"},
		{"http://0x01020304/", "http://1.2.3.4/"},
		{"http://0100.1/", "http://64.0.0.1/"},
		{"http://1.2.772/", "http://1.2.3.4/"},
		{"http://0x/", "http://0.0.0.0/"},
		{"http://4294967295/", "http://255.255.255.255/"},
		{"http://1.2.3.4.example/", "http://1.2.3.4.example/"},
		{"http://[2001:DB8:0:0::1]/", "http://[2001:db8::1]/"},
		{"http://[::ffff:1.2.3.4]:8080/", "http://1.2.3.4:8080/"},
	} {
		var u target
		if err := u.set([]byte(c.in), false); err != nil || string(u.text) != c.want {
			t.Errorf("%s: have %s %v, want %s", c.in, u.text, err, c.want)
		}
	}
	for _, in := range []string{
		"", "example.com", "/path", "*", "http:", "http:/", "http:/example.com/", "http:///a", "http://", "http://:80/",
		"1http://a/", "ht_tp://a/", "http://a b/", "http://a/\x00", "http://a/ b", "http://a/\x7f", "http://a:b/", "http://a:65536/", "http://a:0/",
		"http://a..b/", "http://.a/", "http://../", "http://a../", "http://" + long + ".test/", "http://" + strings.Repeat("a.", 127) + "ab/",
		"http://256.1.1.1/", "http://1.2.3.4.5/", "http://1.2.3.08/", "http://4294967296/", "http://99999999999999999999/",
		"http://[::1/", "http://[::1]x/", "http://[::1%25eth0]/", "http://[1.2.3.4]/", "http://[]/", "http://a%2fb/", "http://a%00b/", "http://a%/", "http://a<b/",
		`http://a.test\@b.test/`, `http://a.test\x:y@b.test/`,
		"http://\xff\xfe/", "http://a/" + strings.Repeat("a", maxURL),
	} {
		var u target
		if err := u.set([]byte(in), false); err == nil {
			t.Errorf("%.60q: have %s, want an error", in, u.text)
		}
	}
}

func TestConnectNormalForm(t *testing.T) {
	for in, want := range map[string]string{
		"Example.COM:443": "https://example.com", "example.com:8443": "https://example.com:8443",
		"[::1]:443": "https://[::1]", "2130706433:443": "https://127.0.0.1",
	} {
		var u target
		if err := u.set([]byte(in), true); err != nil || string(u.text) != want {
			t.Errorf("%s: have %s %v, want %s", in, u.text, err, want)
		}
	}
	for _, in := range []string{"", "example.com", "example.com:", "http://example.com:443", "a@b:443", "a:443/x", ":443"} {
		var u target
		if err := u.set([]byte(in), true); err == nil {
			t.Errorf("%q: have %s, want an error", in, u.text)
		}
	}
}

func TestURLWithoutAllocation(t *testing.T) {
	if raceEnabled {
		return
	}
	var u target
	urls := [][]byte{
		[]byte("https://www.Example.com:8443/a/../B/%7euser/c.html?x=%41&y=1#z"),
		[]byte("http://10.0.0.1/"), []byte("http://[2001:db8::1]/x"),
	}
	for _, raw := range urls {
		if n := testing.AllocsPerRun(100, func() { _ = u.set(raw, false) }); n > 0 && raw[7] != '[' {
			t.Errorf("%s: %v allocations", raw, n)
		}
	}
}

// The normal form is its own normal form, holds nothing that could be read in
// two ways, and its parts lie where they are said to.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"http://example.com/a/../b?c#d", `http:\\a.b\c`, "http://b\xc3\xbccher.test/%zz%41", "http://[::ffff:1.2.3.4]:80//", "http://0x7f.1/", "example.com:443", "http://a@b@c:1/%2e%2e/", "http://xn--a/",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, connect bool) {
		var u, again target
		if u.set(raw, connect) != nil {
			return
		}
		if connect != (u.path == len(u.text)) {
			t.Fatalf("%q: path at %d of %q", raw, u.path, u.text)
		}
		for _, c := range u.text {
			if c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
				t.Fatalf("%q: byte %q in %q", raw, c, u.text)
			}
		}
		path := string(u.text[u.path:u.query])
		if strings.Contains(path, "//") || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../") {
			t.Fatalf("%q: path %q", raw, path)
		}
		if !bytes.Equal(u.lower, bytes.ToLower(u.text)) {
			t.Fatalf("%q: lower %q of %q", raw, u.lower, u.text)
		}
		if connect || len(u.text) > maxURL {
			return
		}
		if err := again.set(u.text, false); err != nil || !bytes.Equal(again.text, u.text) || again.port != u.port {
			t.Fatalf("%q: %q, and again %q %v", raw, u.text, again.text, err)
		}
	})
}
