package icap

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestClientReconstructsTheMessage is the law of the entrance: whatever the
// body, its chunking, the preview and what the client allows, a client ends up
// with the message it sent, unless the verdict says otherwise.
func TestClientReconstructsTheMessage(t *testing.T) {
	n := start(t, nil)
	c := n.dial(t)
	r := bufio.NewReaderSize(c, 64<<10)
	alphabet := strings.Repeat("0123456789abcdef\r\n\x00\xff", 20_000)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 3000), rapid.SampledFrom([]int{1023, 1024, 1025, 4096, 16384, 65535, 65536, 65537, 300_000})).Draw(rt, "size")
		from := rapid.IntRange(0, 50).Draw(rt, "from")
		body := alphabet[from : from+size]
		chunk := rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(100, 100_000)).Draw(rt, "chunk")
		if size > 5000 {
			chunk = max(chunk, 300)
		}
		preview := rapid.OneOf(rapid.Just(-1), rapid.IntRange(0, 30), rapid.SampledFrom([]int{size, size + 1, max(0, size-1), 1024, 65536})).Draw(rt, "preview")
		preview = min(preview, MaxPreview)
		allow := rapid.SampledFrom([]string{"", "Allow: 204\r\n", "Allow: 206\r\n", "Allow: 204, 206\r\n"}).Draw(rt, "allow")
		look := rapid.SampledFrom([]string{"", "/prefix", "/all"}).Draw(rt, "look")
		act := rapid.SampledFrom([]string{"forward", "forward", "strip", "replace", "block"}).Draw(rt, "act")
		piece := rapid.OneOf(rapid.Just(0), rapid.IntRange(1000, 30_000)).Draw(rt, "piece")

		path := fmt.Sprintf("%s/%s?field=X-Odd&with=other&limit=%d&onerror=%s", look, act, rapid.IntRange(1, 400_000).Draw(rt, "limit"), act)
		extra := allow
		head, rest := body, ""
		last := "0"
		if preview >= 0 {
			extra += fmt.Sprintf("Preview: %d\r\n", preview)
			head, rest = body[:min(preview, size)], body[min(preview, size):]
			if rest == "" && (size < preview || rapid.Bool().Draw(rt, "ieof")) {
				last = "0; ieof"
			}
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			writePieces(c, respmodHead(path, extra, "res-body")+chunked(head, chunk, last), piece)
		}()
		a, err := readAnswer(r)
		<-sent
		if err == nil && a.status == 100 {
			if preview < 0 || last != "0" {
				rt.Fatal("100 Continue where none is due")
			}
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				writePieces(c, chunked(rest, chunk, "0"), piece)
			}()
			preview = -1 // the promise of the preview is over
			a, err = readAnswer(r)
			<-sent
		}
		if err != nil {
			rt.Fatal(err)
		}
		checkMessage(rt, a, act, body, promise{allow, preview >= 0, last != "0"})
	})
}

// promise is what the client said it understands.
type promise struct {
	allow     string
	inPreview bool // it waits behind its preview
	ieof      bool // or has said that the preview is all
}

// checkMessage checks what the client has in the end.
func checkMessage(rt *rapid.T, a *answer, act, body string, may promise) {
	_, res, _ := strings.Cut(respmodWith("", "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nX-Odd:   spaced\r\n\r\n", "", ""), "\r\n\r\n")
	got := string(a.body)
	switch a.status {
	case 204:
		if !may.inPreview && !strings.Contains(may.allow, "204") {
			rt.Fatal("204 was not allowed")
		}
		a.resHdr, got = res, body
	case 206:
		if !strings.Contains(may.allow, "206") || (!may.inPreview || may.ieof) && !strings.Contains(may.allow, "204") {
			rt.Fatal("206 was not allowed")
		}
		got += body[a.original:]
	}
	switch act {
	case "forward":
		if a.resHdr != res || got != body {
			rt.Fatalf("%d: message changed: %q and %d bytes", a.status, a.resHdr, len(got))
		}
	case "strip":
		if strings.Contains(a.resHdr, "X-Odd") || !strings.Contains(a.resHdr, "Content-Type") || got != body {
			rt.Fatalf("%d: %q and %d bytes", a.status, a.resHdr, len(got))
		}
	case "replace":
		if got != "other" || !strings.Contains(a.resHdr, "Content-Length: 5\r\n") {
			rt.Fatalf("%d: %q %q", a.status, a.resHdr, got)
		}
	case "block":
		if got != page || !strings.HasPrefix(a.resHdr, "HTTP/1.1 403 ") {
			rt.Fatalf("%d: %q %q", a.status, a.resHdr, got)
		}
	}
}
