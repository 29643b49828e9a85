package content

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// lines breaks s every n characters.
func lines(s string, n int) string {
	var b strings.Builder
	for i := 0; i < len(s); i += n {
		b.WriteString(s[i:min(len(s), i+n)] + "\r\n")
	}
	return b.String()
}

// TestTricksOfMail are bodies that one decoder reads as another than the next:
// what any receiver would get is visited, or the message is not called whole.
func TestTricksOfMail(t *testing.T) {
	e := string(eicar())
	b64 := base64.StdEncoding.EncodeToString(eicar())
	with := func(junk string) string {
		var b strings.Builder
		for i, c := range b64 {
			b.WriteRune(c)
			if i%7 == 2 {
				b.WriteString(junk)
			}
		}
		return lines(b.String(), 20)
	}
	const mixed = "multipart/mixed; boundary=x"
	part := func(header, body string) string { return "--x\r\n" + header + "\r\n\r\n" + body + "\r\n--x--\r\n" }
	mail := func(header, body string) string {
		return "From: a\r\nTo: b\r\nMIME-Version: 1.0\r\n" + header + "\r\n\r\n" + body
	}
	const cte = "Content-Transfer-Encoding: base64"
	tests := []struct {
		name, contentType, file, body string
		refused                       error // also well: an error of this kind
	}{
		{"hyphens as junk", mixed, "", part(cte, with("-")), nil},
		{"low lines as junk", mixed, "", part(cte, with("_")), nil},
		{"backslashes as junk", mixed, "", part(cte, with(`\`)), nil},
		{"padding as junk", mixed, "", part(cte, with("=")), nil},
		{"url-safe alphabet", mixed, "", part(cte, lines(base64.URLEncoding.EncodeToString(eicar()), 20)), nil},
		{"header beyond the bound", mixed, "", part("X: "+strings.Repeat("x", maxPartHeader)+"\r\n"+cte, lines(b64, 20)), ErrLimit},
		{"mail header beyond the bound", "", "", mail("X: "+strings.Repeat("x", maxPartHeader)+"\r\n"+cte, lines(b64, 20)), ErrLimit},
		{"soft line break with padding", mixed, "", part("Content-Transfer-Encoding: quoted-printable", e[:20]+"= \t\r\n"+e[20:]), nil},
		{"soft line break with padding, LF", mixed, "", part("Content-Transfer-Encoding: quoted-printable", e[:20]+"=  \n"+e[20:]), nil},
		{"transfer encoding that a browser ignores", "multipart/mixed; boundary=x", "", part(cte, e), nil},
		{"mail with a control character, by type", "message/rfc822", "", mail("Subject: \x01\r\n"+cte, lines(b64, 20)), nil},
		{"mail with a control character, by name", "", "a.eml", mail("Subject: \x01\r\n"+cte, lines(b64, 20)), nil},
		{"form first, then the same as mail", mixed, "", "--x\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n" + mail(cte, lines(b64, 20)) +
			"\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n" + mail(cte, lines(b64, 20)) + "\r\n--x--\r\n", nil},
		{"second mail of a box", "application/mbox", "a.mbox", "From a Mon\r\n" + mail("", "hello") + "\r\n\r\nFrom b Mon\r\n" + mail(cte, lines(b64, 20)), nil},
		{"body without a blank line before it", mixed, "", part("Content-Type: text/plain\r\n"+cte+"\r\n"+lines(b64, 20)+"\r\nx", "y"), nil},
		{"mail without a blank line before the body", "", "a.eml", "From: a\r\nMIME-Version: 1.0\r\n" + cte + "\r\n" + lines(b64, 20), nil},
		{"type list, last has parts", "text/plain, " + mixed, "", part(cte, lines(b64, 20)), nil},
		{"type list, first has parts", mixed + ", text/plain", "", part(cte, lines(b64, 20)), nil},
		{"type with a comma in quotes", `text/plain; a=",", ` + mixed, "", part(cte, lines(b64, 20)), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, m := range []Message{{Body: bytesView([]byte(test.body))}, {Body: onDisk(t, []byte(test.body))}} {
				m.ContentType, m.FileName = test.contentType, test.file
				if _, ok := NewWalker(newStore(t, 1<<20), Limits{}).Simple(m); ok {
					t.Errorf("%d: called simple", i)
				}
				r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), m)
				found := r.has(eicar())
				for _, o := range r.objects { // line ends at the end may be part of it
					found = found || strings.TrimRight(string(o.data), "\r\n") == e
				}
				if !found && (test.refused == nil || !errors.Is(r.err, test.refused)) {
					t.Errorf("%d: %v\n%s", i, r.err, r.paths())
				}
			}
		})
	}
}

// TestDamageIsNotExcusedByAnExcusedTwin: a broken archive inside a piece of text
// is no fault, but the same bytes as an attachment are.
func TestDamageIsNotExcusedByAnExcusedTwin(t *testing.T) {
	z := makeZip(t, 8, "a.txt", []byte(strings.Repeat("hello ", 100)))
	z = z[:len(z)-40]
	b64 := strings.TrimRight(base64.StdEncoding.EncodeToString(z), "=")
	body := "--x\r\nContent-Type: text/plain\r\n\r\nlook " + b64 + "?!\r\n" +
		"--x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(z) + "\r\n--x--\r\n"
	r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), Message{ContentType: "multipart/mixed; boundary=x", Body: bytesView([]byte(body))})
	wantKind(t, r.err, ErrDamaged)
}

// TestRawBytesKeepTheirMeaning: a coding that was declared and not done does not
// hide the parts.
func TestRawBytesKeepTheirMeaning(t *testing.T) {
	b64 := lines(base64.StdEncoding.EncodeToString(eicar()), 20)
	body := "preamble\r\n--x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64 + "\r\n--x--\r\n"
	r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), Message{
		ContentType: "multipart/mixed; boundary=x", ContentEncoding: []string{"gzip"}, Body: bytesView([]byte(body)),
	})
	wantKind(t, r.err, ErrEncoding)
	if !r.has(eicar()) {
		t.Error(r.paths())
	}
}

func TestNamesThatBrowsersRead(t *testing.T) {
	for v, want := range map[string]string{
		`attachment; filename=a.txt; filename*=UTF-8''evil.exe`:                  "evil.exe",
		`attachment; filename=a.txt; filename*=ISO-8859-1'en'evil%2Eexe`:         "evil.exe",
		`attachment; filename=a.txt; filename*=windows-1252''%E9vil.exe`:         "évil.exe",
		`attachment; x="; filename=a.txt"; y=1; y=2; filename=evil.exe`:          "evil.exe",
		`attachment; filename="a.txt`:                                            "a.txt",
		`attachment; filename="evil.exe"; filename="a.txt"`:                      "evil.exe",
		`attachment;filename = evil.exe ; x`:                                     "evil.exe",
		`attachment; filename="ev\"il.exe"; y; z=`:                               `ev"il.exe`,
		`attachment; filename*=evil.exe`:                                         "evil.exe",
		`inline; filename*=UTF-8''a%zz.exe; filename="=?utf-8?B?ZXZpbC5leGU=?="`: "evil.exe",
	} {
		if got := messageName(Message{ContentDisposition: v}); got != want {
			t.Errorf("%s: %q, want %q", v, got, want)
		}
	}
}

// TestArchivesBehindAPicture: WinRAR and 7-Zip open what begins with something
// else.
func TestArchivesBehindAPicture(t *testing.T) {
	for _, front := range []string{"\x89PNG\r\n\x1a\n" + strings.Repeat("p", 500), "GIF89a" + strings.Repeat("g", 99), "hello world\r\n", "\x00\x01\x02\x03junk", "%PDF-1.4\n%%EOF\n"} {
		for name, b := range map[string][]byte{
			"7z": packWith(t, "x.7z", map[string][]byte{"evil.com": eicar()}, "7z", "a", "-bd", "x.7z", "evil.com"),
		} {
			body := append([]byte(front), b...)
			m := Message{Body: bytesView(body)}
			if _, ok := NewWalker(newStore(t, 1<<20), Limits{}).Simple(m); ok {
				t.Errorf("%s behind %.8q: called simple", name, front)
			}
			if r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), m); !r.has(eicar()) {
				t.Errorf("%s behind %.8q: %v\n%s", name, front, r.err, r.paths())
			}
		}
	}
}

// TestSparseFilesAreNotCalledWhole: what tar puts together out of pieces and
// holes was not seen by any engine.
func TestSparseFilesAreNotCalledWhole(t *testing.T) {
	wantKind(t, walkBytes(t, sparseTar(t)).err, ErrDamaged)
	holes := append(append(make([]byte, 1<<20), eicar()...), make([]byte, 1<<20)...)
	for _, format := range []string{"gnu", "posix"} {
		b := packWith(t, "x.tar", map[string][]byte{"a": holes}, "sh", "-c", "cp --sparse=always a b && tar --format="+format+" -Scf x.tar b")
		wantKind(t, walkBytes(t, b).err, ErrDamaged)
		b = packWith(t, "x.tar", map[string][]byte{"a": eicar()}, "tar", "--format="+format, "-Scf", "x.tar", "a")
		if r := walkBytes(t, b); r.err != nil || !r.has(eicar()) {
			t.Errorf("%s without holes: %v\n%s", format, r.err, r.paths())
		}
	}
}

// TestGzipMembersAreReadBothWays: some browsers stop at the end of the first
// member, others join all of them (RFC 1952 section 2.2).
func TestGzipMembersAreReadBothWays(t *testing.T) {
	e, junk := eicar(), []byte(strings.Repeat("junk ", 100))
	two := append(makeGzip(t, e), makeGzip(t, junk)...)
	halves := append(makeGzip(t, e[:30]), makeGzip(t, e[30:])...)
	for name, m := range map[string]Message{
		"first":        {ContentEncoding: []string{"gzip"}, Body: bytesView(two)},
		"first inside": {ContentEncoding: []string{"gzip, gzip"}, Body: bytesView(makeGzip(t, two))},
		"first of two": {ContentEncoding: []string{"gzip, gzip"}, Body: bytesView(append(makeGzip(t, makeGzip(t, e)), makeGzip(t, junk)...))},
		"second":       {ContentEncoding: []string{"gzip"}, Body: bytesView(append(makeGzip(t, junk), makeGzip(t, e)...))},
		"joined":       {ContentEncoding: []string{"gzip"}, Body: bytesView(halves)},
	} {
		if r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), m); !r.has(e) {
			t.Errorf("%s: %v\n%s", name, r.err, r.paths())
		}
	}
}
