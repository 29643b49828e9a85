package content

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"sluice/internal/tx"
)

func randomBytes(seed uint64, n int) []byte {
	r := rand.NewChaCha8(sha256.Sum256([]byte{byte(seed), byte(seed >> 8)}))
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func TestSniff(t *testing.T) {
	tests := []struct{ want, head string }{
		{"empty", ""}, {"pe", "MZ\x90\x00"}, {"elf", "\x7fELF\x02\x01"}, {"zip", "PK\x03\x04\x14"}, {"png", "\x89PNG\r\n\x1a\n"},
		{"html", "\r\n <!DOCTYPE html>"}, {"html", "\xef\xbb\xbf<HTML lang=x>"}, {"html", "<script src=x>"}, {"text", "<b0gus>"},
		{"html", "<?xml version='1.0'?><!DOCTYPE html><html>"}, {"xml", "<?xml version='1.0'?><a/>"}, {"svg", "<svg xmlns='x'>"},
		{"json", `{"a":1}`}, {"json", "[1,2]"}, {"text", "{not json"}, {"text", "hello"}, {"text", "\xff\xfeh\x00i\x00"}, {"text", "日本語の文章です。"},
		{"data", "\x00\x01\x02\x03"}, {"pdf", "%PDF-1.4"}, {"pdf", "garbage %PDF-1.4"}, {"script", "#!/bin/sh\n"}, {"bat", "@ECHO OFF\r\n"},
		{"eml", "Received: from x\r\nSubject: y\r\n"}, {"text", "from: here to eternity"}, {"gzip", "\x1f\x8b\x08\x00"}, {"bzip2", "BZh91AY&SY"},
		{"text", "BZh9 is a name"}, {"mp4", "\x00\x00\x00\x18ftypmp42"}, {"webp", "RIFF\x00\x00\x00\x00WEBPVP8 "}, {"jpeg", "\xff\xd8\xff\xe0"},
		{"class", "\xca\xfe\xba\xbe\x00\x00\x00\x34"}, {"macho", "\xca\xfe\xba\xbe\x00\x00\x00\x02"}, {"rtf", `{\rtf1`}, {"php", "<?php echo 1;"},
		{"wasm", "\x00asm\x01"}, {"rar", "Rar!\x1a\x07\x01\x00"}, {"lzma", "\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00"},
		{"tar", strings.Repeat("a", 257) + "ustar"}, {"mp3", "ID3\x03"}, {"gif", "GIF89a"}, {"ole", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
	}
	known := map[string]bool{}
	for i, ty := range Types() {
		known[ty.ID] = true
		if i > 0 && Types()[i-1].ID >= ty.ID {
			t.Errorf("types are not sorted at %s", ty.ID)
		}
	}
	for _, test := range tests {
		if got := Sniff([]byte(test.head)); got != test.want {
			t.Errorf("%.20q: %s, want %s", test.head, got, test.want)
		}
		if !known[test.want] {
			t.Errorf("%s is not in Types", test.want)
		}
	}
	for _, m := range magics {
		if !known[m.id] {
			t.Errorf("%s is not in Types", m.id)
		}
	}
}

// What Simple calls simple must be what Walk finds: one object without faults.
func TestSimpleAgreesWithWalk(t *testing.T) {
	w := NewWalker(newStore(t, 1<<20), Limits{})
	var bodies [][]byte
	for i := range 2000 {
		bodies = append(bodies, randomBytes(uint64(i), 4+i))
	}
	for _, m := range makers() {
		bodies = append(bodies, m.make(t, eicar()))
	}
	for _, m := range []func(testing.TB, []byte) []byte{makeDeflate, makeBrotli, makeZlib} {
		for i := range 50 {
			bodies = append(bodies, m(t, []byte(strings.Repeat("hello world ", i+2))), m(t, randomBytes(uint64(i), 50*(i+1))))
		}
	}
	bodies = append(bodies, []byte(strings.Repeat("plain text. ", 1000)), []byte("<html><p>hello</p></html>"), nil)
	simple := 0
	for _, b := range bodies {
		m := Message{Body: bytesView(b), FileName: "a.bin"}
		o, ok := w.Simple(m)
		r := walkMessage(t, w, m)
		if !ok {
			continue
		}
		simple++
		if len(r.objects) != 1 || r.err != nil || r.objects[0].Type != o.Type || r.objects[0].Name != o.Name || r.objects[0].Path != o.Path {
			t.Errorf("%.40q...: simple says %+v, walk says %v\n%s", b, o, r.err, r.paths())
		}
	}
	if simple < 1900 {
		t.Errorf("only %d bodies were simple", simple)
	}
}

func TestNotSimple(t *testing.T) {
	w := NewWalker(newStore(t, 1<<20), Limits{})
	text := bytesView([]byte("hello there"))
	for name, m := range map[string]Message{
		"coded":       {Body: text, ContentEncoding: []string{"gzip"}},
		"multipart":   {Body: text, ContentType: "multipart/form-data; boundary=x"},
		"form":        {Body: text, ContentType: "application/x-www-form-urlencoded"},
		"mail":        {Body: text, FileName: "a.EML"},
		"base64":      {Body: bytesView([]byte(base64.StdEncoding.EncodeToString(eicar())))},
		"polyglot":    {Body: bytesView(append([]byte("GIF89a"), makeZip(t, 8, "x", eicar())...))},
		"on disk":     {Body: onDisk(t, []byte("hello there"))},
		"disposition": {Body: text, ContentDisposition: "attachment; filename=x"},
	} {
		if _, ok := w.Simple(m); ok {
			t.Errorf("%s: simple", name)
		}
	}
}

func TestSimpleDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		return // the detector allocates
	}
	w := NewWalker(newStore(t, 1<<20), Limits{})
	random := message(randomBytes(3, 1024))
	page := message([]byte("<html>" + strings.Repeat("words and more words. ", 40)))
	for name, m := range map[string]Message{"random": random, "page": page} {
		most := 0.0
		if name == "random" {
			most = 6 // decoders that are tried make their errors
		}
		if n := testing.AllocsPerRun(1000, func() { w.Simple(m) }); n > most {
			t.Errorf("%s: %v allocations", name, n)
		}
		b, _ := m.Body.Bytes()
		if n := testing.AllocsPerRun(1000, func() { Sniff(b) }); n > 0 {
			t.Errorf("%s: Sniff allocates %v times", name, n)
		}
	}
}

func message(b []byte) Message {
	var c tx.Content = bytesView(b)
	return Message{Body: c, ContentType: "application/octet-stream", FileName: "file.bin"}
}

func BenchmarkSimple(b *testing.B) {
	w := NewWalker(newStore(b, 1<<20), Limits{})
	doc, err := json.Marshal(strings.Split(strings.Repeat("some words in a list ", 3000), " "))
	must(b, err)
	for name, body := range map[string][]byte{
		"text 1 KiB": []byte(strings.Repeat("words and more words. ", 47)), "json 60 KiB": doc[:60<<10], "png 64 KiB": append([]byte("\x89PNG\r\n\x1a\n"), randomBytes(1, 65000)...),
	} {
		b.Run(name, func(b *testing.B) {
			m := message(body)
			b.ReportAllocs()
			for b.Loop() {
				w.Simple(m)
			}
		})
	}
	b.Run("random 1 KiB", func(b *testing.B) {
		var ms []Message
		for i := range 256 {
			ms = append(ms, message(randomBytes(uint64(i), 1024)))
		}
		b.ReportAllocs()
		i, simple := 0, 0
		for b.Loop() {
			if _, ok := w.Simple(ms[i&255]); ok {
				simple++
			}
			i++
		}
		b.ReportMetric(float64(simple)/float64(i), "simple")
	})
}

func BenchmarkSniff(b *testing.B) {
	for name, body := range map[string][]byte{"text": []byte(strings.Repeat("words and more words. ", 100)), "random": randomBytes(1, 2048), "html": []byte("<!doctype html><html>" + strings.Repeat("x", 2000)), "png": []byte("\x89PNG\r\n\x1a\n0000")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Sniff(body)
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	w := NewWalker(newStore(b, 1<<20), Limits{})
	for name, m := range map[string]Message{
		"random 1 KiB": message(randomBytes(1, 1024)), "zip 1 KiB": message(makeZip(b, 8, "a.txt", []byte(strings.Repeat("words ", 500)))),
		"gzip coding 20 KiB": {Body: bytesView(makeGzip(b, []byte(strings.Repeat("words and more. ", 1250)))), ContentEncoding: []string{"gzip"}},
		"html 64 KiB":        message([]byte("<html>" + strings.Repeat("words and more words. ", 3000))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Walk(b.Context(), m, func(*Object) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
