package content

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestMultipart(t *testing.T) {
	e := string(eicar())
	b64 := base64.StdEncoding.EncodeToString(eicar())
	form := "multipart/form-data; boundary=xyz"
	part := func(header, body string) string { return "--xyz\r\n" + header + "\r\n\r\n" + body + "\r\n" }
	file := `Content-Disposition: form-data; name="f"; filename="evil.com"` + "\r\nContent-Type: application/octet-stream"
	tests := []struct {
		name, contentType, body string
		want, member            string // name of an object that must be there
	}{
		{"form upload", form, part(file, e) + "--xyz--\r\n", e, "evil.com"},
		{"form field", form, part(`Content-Disposition: form-data; name="note"`, e) + "--xyz--", e, "note"},
		{"quoted boundary", `multipart/form-data; boundary="xyz"`, part(file, e) + "--xyz--\r\n", e, "evil.com"},
		{"boundary with upper-case name", `Multipart/Form-Data; BOUNDARY=xyz`, part(file, e) + "--xyz--\r\n", e, "evil.com"},
		{"line feeds only", form, strings.ReplaceAll(part(file, e)+"--xyz--\r\n", "\r\n", "\n"), e, "evil.com"},
		{"no end", form, part(file, e), e + "\r\n", "evil.com"},
		{"two boundaries, first counts", "multipart/form-data; boundary=xyz; boundary=abc", part(file, e) + "--xyz--\r\n", e, ""},
		{"two boundaries, last counts", "multipart/form-data; boundary=abc; boundary=xyz", part(file, e) + "--xyz--\r\n", e, ""},
		{"no boundary", "multipart/form-data", part(file, e) + "--xyz--\r\n", e, ""},
		{"wrong boundary", "multipart/form-data; boundary=other", part(file, e) + "--xyz--\r\n", e, ""},
		{"white space behind the boundary", form, "--xyz \t\r\n" + file + "\r\n\r\n" + e + "\r\n--xyz--\r\n", e, ""},
		{"longer boundary inside", form, "--xyz\r\n" + file + "\r\n\r\nhello\r\n--xyzz\r\n\r\n" + e + "\r\n--xyz--\r\n", e, ""},
		{"after the end", form, part(file, "hello") + "--xyz--\r\n" + part(file, e) + "--xyz--\r\n", e, ""},
		{"base64 part", form, part(file+"\r\nContent-Transfer-Encoding: base64", b64) + "--xyz--\r\n", e, "evil.com"},
		{"base64 part, folded and upper case", form, part(file+"\r\nContent-Transfer-Encoding:\r\n BASE64", b64) + "--xyz--\r\n", e, ""},
		{"two transfer encodings", form, part(file+"\r\nContent-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64", b64) + "--xyz--\r\n", e, ""},
		{"quoted-printable", "multipart/mixed; boundary=xyz", part(file+"\r\nContent-Transfer-Encoding: quoted-printable", quoted(e)) + "--xyz--\r\n", e, ""},
		{"uuencoded", "multipart/mixed; boundary=xyz", part(file+"\r\nContent-Transfer-Encoding: x-uuencode", uuencode("evil.com", eicar())) + "--xyz--\r\n", e, ""},
		{"uuencoded in text", "multipart/mixed; boundary=xyz", part("Content-Type: text/plain", "look:\r\n"+uuencode("evil.com", eicar())) + "--xyz--\r\n", e, "evil.com"},
		{"nested", "multipart/mixed; boundary=out", "--out\r\nContent-Type: multipart/related; boundary=xyz\r\n\r\n" + part(file, e) + "--xyz--\r\n--out--\r\n", e, "evil.com"},
		{"mail in a part", "multipart/mixed; boundary=xyz", part("Content-Type: message/rfc822", string(makeMail(t, eicar()))) + "--xyz--\r\n", e, "a.bin"},
		{"filename*", form, part(`Content-Disposition: form-data; name=f; filename*=UTF-8''ev%C3%ADl.com`, e) + "--xyz--", e, "evíl.com"},
		{"RFC 2047 name", form, part(`Content-Disposition: form-data; name=f; filename="=?utf-8?B?ZXbDrWwuY29t?="`, e) + "--xyz--", e, "evíl.com"},
		{"sloppy disposition", form, part(`Content-Disposition: form-data; name=f; filename=my evil.com; x`, e) + "--xyz--", e, ""},
		{"no header", form, "--xyz\r\n\r\n" + e + "\r\n--xyz--", e, "part 1"},
		{"zip in the preamble", form, string(makeZip(t, 8, "evil.com", eicar())) + "\r\n" + part(file, "hello") + "--xyz--", e, "evil.com"},
		{"zip in the epilogue", form, part(file, "hello") + "--xyz--\r\n" + string(makeZip(t, 8, "evil.com", eicar())), e, "evil.com"},
		{"base64 with garbage", "multipart/mixed; boundary=xyz", part("Content-Transfer-Encoding: base64", strings.Join(strings.Split(b64, ""), "!\r\n")) + "--xyz--", e, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, m := range []Message{{Body: bytesView([]byte(test.body))}, {Body: onDisk(t, []byte(test.body))}} {
				m.ContentType = test.contentType
				r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), m)
				if !r.has([]byte(test.want)) || r.err != nil {
					t.Errorf("%d: %v\n%s", i, r.err, r.paths())
				}
				if test.member != "" && r.find(test.member) == nil {
					t.Errorf("%d: no object is called %q\n%s", i, test.member, r.paths())
				}
			}
		})
	}
}

func quoted(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "=%02X", s[i])
		if i%20 == 19 {
			b.WriteString("=\r\n")
		}
	}
	return b.String()
}

func uuencode(name string, b []byte) string {
	var s strings.Builder
	fmt.Fprintf(&s, "begin 644 %s\r\n", name)
	enc := func(c byte) byte {
		if c == 0 {
			return '`'
		}
		return c + ' '
	}
	for len(b) > 0 {
		n := min(len(b), 45)
		line := append(append([]byte{}, b[:n]...), 0, 0)
		s.WriteByte(enc(byte(n)))
		for i := 0; i < n; i += 3 {
			s.Write([]byte{enc(line[i] >> 2), enc(line[i]&3<<4 | line[i+1]>>4), enc(line[i+1]&15<<2 | line[i+2]>>6), enc(line[i+2] & 63)})
		}
		s.WriteString("\r\n")
		b = b[n:]
	}
	return s.String() + "`\r\nend\r\n"
}

func TestMultipartWithoutPartsIsDamaged(t *testing.T) {
	r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), Message{ContentType: "multipart/mixed; boundary=x", Body: bytesView([]byte("no part here"))})
	wantKind(t, r.err, ErrDamaged)
}

func TestForms(t *testing.T) {
	e := string(eicar())
	b64 := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb, 0xef, 0xbe}, 30))
	b64raw := bytes.Repeat([]byte{0xfb, 0xef, 0xbe}, 30)
	tests := []struct {
		name, body string
		want       []byte
	}{
		{"escaped", "a=1&note=" + url.QueryEscape(e) + "&b=2", []byte(e)},
		{"only value", "note=" + url.QueryEscape(e), []byte(e)},
		{"no name", url.QueryEscape(e), []byte(e)},
		{"base64", "f=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(e))), []byte(e)},
		{"url-safe base64", "f=" + base64.RawURLEncoding.EncodeToString([]byte(e)), []byte(e)},
		{"zip in base64", "f=" + url.QueryEscape(base64.StdEncoding.EncodeToString(makeZip(t, 8, "x", []byte(e)))), []byte(e)},
		{"base64 with bare plus signs", "f=" + strings.Repeat(b64, 4), bytes.Repeat(b64raw, 4)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, m := range []Message{{Body: bytesView([]byte(test.body))}, {Body: onDisk(t, []byte(test.body))}} {
				m.ContentType = "application/x-www-form-urlencoded; charset=utf-8"
				r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), m)
				if !r.has(test.want) || r.err != nil {
					t.Errorf("%v\n%s", r.err, r.paths())
				}
			}
		})
	}
}

func TestBase64InText(t *testing.T) {
	e := eicar()
	long := append(bytes.Repeat([]byte("padding "), 10_000), e...)
	std := base64.StdEncoding.EncodeToString
	tests := []struct {
		name, text string
		want       []byte
	}{
		{"JSON", `{"a":"` + std(e) + `"}`, e},
		{"JSON with escaped slashes", `{"a":"` + strings.ReplaceAll(std(bytes.Repeat([]byte{0xff, 0xd8, 0xff}, 40)), "/", `\/`) + `"}`, bytes.Repeat([]byte{0xff, 0xd8, 0xff}, 40)},
		{"JSON with escaped line ends", `{"a":"` + strings.ReplaceAll(wrap76(std(long)), "\r\n", `\n`) + `"}`, long},
		{"XML", "<?xml version='1.0'?><a>" + std(e) + "</a>", e},
		{"XML with lines", "<?xml version='1.0'?><a>\n" + wrap76(std(long)) + "\n</a>", long},
		{"data URI", `<html><img src="data:image/png;base64,` + std(e) + `">`, e},
		{"SVG", `<svg><image href="data:;base64,` + std(e) + `"/></svg>`, e},
		{"url alphabet", "token " + base64.RawURLEncoding.EncodeToString(e), e},
		{"among words", strings.Repeat("some words here and there, ", 20_000) + std(e) + strings.Repeat(" more words", 1000), e},
		{"after a chunk of the search", strings.Repeat("x ", findChunk/2-20) + std(long), long},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, m := range []Message{{Body: bytesView([]byte(test.text))}, {Body: onDisk(t, []byte(test.text))}} {
				r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), m)
				if !r.has(test.want) || r.err != nil {
					t.Errorf("%d: %v\n%s", i, r.err, r.paths())
				}
			}
		})
	}
}

func TestHashesAreNotVisited(t *testing.T) {
	text := `{"integrity":"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="}`
	r := walkBytes(t, []byte(text))
	if len(r.objects) != 1 {
		t.Error(r.paths())
	}
}

func TestMailFile(t *testing.T) {
	m := makeMail(t, eicar())
	r := walkBytes(t, append([]byte("From someone Mon Jan  1 00:00:00 2024\r\n"), m...))
	if !r.has(eicar()) || r.err != nil {
		t.Errorf("mbox: %v\n%s", r.err, r.paths())
	}
	r = walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), Message{FileName: "x.eml", Body: bytesView(append([]byte("Odd: 1\r\n"), m...))})
	if !r.has(eicar()) || errors.Is(r.err, ErrDamaged) {
		t.Errorf("by name: %v\n%s", r.err, r.paths())
	}
}
