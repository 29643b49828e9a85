package traffic_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"sluice/internal/settings"
	"sluice/internal/tx"
)

// shortLines is base64 that nothing but its declaration gives away.
func shortLines(s string) string {
	var b strings.Builder
	for i, c := range base64.StdEncoding.EncodeToString([]byte(s)) {
		if i > 0 && i%20 == 0 {
			b.WriteString("\r\n")
		}
		b.WriteRune(c)
	}
	return b.String()
}

// TestMeaningIsReadAsReceiversDo: several header lines, unasked ranges and
// transfer codings do not hide what a receiver would find in the body.
func TestMeaningIsReadAsReceiversDo(t *testing.T) {
	mixed := "--x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + shortLines(eicar) + "\r\n--x--\r\n"
	cut := zipped("a.txt", "hello")
	cut = cut[:len(cut)-30]
	open := options{open: []tx.Reason{tx.Partial}}
	for _, c := range []struct {
		name   string
		o      options
		m      message
		action tx.Action
		reason tx.Reason
	}{
		{"the last Content-Type has parts", options{}, message{response: true, lines: []string{"Content-Type", "text/plain", "Content-Type", "multipart/mixed; boundary=x"}, body: mixed}, tx.Block, tx.Malware},
		{"the first Content-Type has parts", options{}, message{response: true, lines: []string{"Content-Type", "multipart/mixed; boundary=x", "Content-Type", "text/plain"}, body: mixed}, tx.Block, tx.Malware},
		{"transfer coding", options{}, message{response: true, lines: []string{"Transfer-Encoding", "gzip, chunked"}, body: gz(eicar)}, tx.Block, tx.Malware},
		{"transfer coding around content coding", options{}, message{response: true, lines: []string{"Transfer-Encoding", "gzip", "Content-Encoding", "gzip"}, body: gz(gz(eicar))}, tx.Block, tx.Malware},
		{"unknown transfer coding", options{}, message{response: true, lines: []string{"Transfer-Encoding", "lzss, chunked"}, body: "x"}, tx.Block, tx.BadEncoding},
		{"chunked alone", options{}, message{response: true, lines: []string{"Transfer-Encoding", "Chunked"}, body: "x"}, tx.Forward, tx.NoReason},
		{"damaged archive in a range that was asked for", open, message{response: true, status: 206, asked: map[string]string{"Range": "bytes=0-99"}, body: cut}, tx.Forward, tx.Partial},
		{"damaged archive in a range that nobody asked for", open, message{response: true, status: 206, body: cut}, tx.Block, tx.BadContent},
		{"half a coding in a range that nobody asked for", open, message{response: true, status: 206, lines: []string{"Content-Encoding", "gzip"}, body: gz("hello")[:12]}, tx.Block, tx.BadEncoding},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.m.url = "http://a.test/"
			w := build(t, c.o)
			if v, e := w.judge(c.m); v.Action != c.action || v.Reason != c.reason || e.ScanStatus == "clean" && c.reason != tx.NoReason {
				t.Errorf("verdict: %+v, scan status %q", v, e.ScanStatus)
			}
		})
	}
}

// TestFileNamesAreReadAsBrowsersSaveThem: a percent-coded name in the URL is the
// name that is saved.
func TestFileNamesAreReadAsBrowsersSaveThem(t *testing.T) {
	const noExe = `rules: {access: [{name: no exe, action: block, match: {all: [{file_name: "*.exe"}]}}]}`
	if _, err := settings.Parse([]byte(noExe)); err != nil {
		t.Fatal(err)
	}
	for url, blocked := range map[string]bool{
		"http://a.test/x.exe":                 true,
		"http://a.test/x%2Eexe":               true,
		"http://a.test/x.ex%65?a=/b.txt":      true,
		"http://a.test/dir%2Fx.EXE":           true,
		"http://a.test/x.exe%20":              true,
		"http://a.test/x.exe.":                true,
		"http://a.test/x.exe/":                false,
		"http://a.test/x%2zexe":               false,
		"http://a.test/x.exe.txt":             false,
		"http://a.test/?x.exe":                false,
		"http://a.test/caf%C3%A9%20menu.html": false,
	} {
		w := build(t, options{rules: noExe})
		v, e := w.judge(message{url: url, response: true, body: "hello"})
		if len(e.Objects) != 1 || string(e.FileName) != e.Objects[0].Name {
			t.Errorf("%s: the event names the file %q", url, e.FileName)
		}
		if (v.Action == tx.Block) != blocked {
			t.Errorf("%s: %v; object %+v", url, v.Action, e.Objects)
		}
	}
}

// TestReportsAgeToo: what an engine found is asked again after a while, even
// where it tells of no change, as a clamd with local databases does.
func TestReportsAgeToo(t *testing.T) {
	w := build(t, options{reports: 100, age: time.Millisecond})
	m := message{url: "http://a.test/x", response: true, body: "hello"}
	for end := time.Now().Add(10 * time.Second); w.engine.scans < 2; {
		if w.judge(m); time.Now().After(end) {
			t.Fatal("the first verdict lasts for ever")
		}
	}
}
