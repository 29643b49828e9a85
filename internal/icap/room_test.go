package icap

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

// TestFullDiskCanStillBePassed has a spool that runs full at some point of the
// body; a judge that passes the message all the same gets it delivered whole.
func TestFullDiskCanStillBePassed(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 20_000)
	for _, disk := range []int64{0, 10_000, 100_000, 300_000} {
		for _, inMemory := range []int64{1, 5000, 70_000} {
			n := start(t, nil)
			store, err := spool.Open(spool.Config{Dir: t.TempDir(), MemoryPerBody: inMemory, Memory: 100_000, Disk: disk})
			if err != nil {
				t.Fatal(err)
			}
			n.store = store
			c := n.dial(t)
			r := bufio.NewReader(c)
			for _, preview := range []string{"", "Preview: 100\r\n"} {
				request := respmodHead("/all/block?onerror=forward", preview, "res-body")
				if preview == "" {
					writePieces(c, request+chunked(body, 7000, "0"), 0)
				} else {
					a := ask(t, c, r, request+chunked(body[:100], 7000, "0"))
					if a.status == 204 && disk == 0 && inMemory == 1 {
						continue // no room for the preview: the client keeps what it has
					}
					want(t, a, "100")
					writePieces(c, chunked(body[100:], 7000, "0"), 0)
				}
				if a := get(t, r); a.status != 200 || string(a.body) != body {
					t.Errorf("disk %d, memory %d: answer %d with %d bytes", disk, inMemory, a.status, len(a.body))
				}
				ask(t, c, r, probe)
				if err := n.stub.last().err; !errors.Is(err, tx.ErrNoRoom) {
					t.Errorf("disk %d, memory %d: All returned %v", disk, inMemory, err)
				}
			}
			if mem, onDisk := store.Usage(); mem != 0 || onDisk != 0 {
				t.Errorf("spool holds %d, %d", mem, onDisk)
			}
		}
	}
}

// TestNoAnswerRightBehind100: when the preview alone settles that the body cannot
// be taken, the answer comes instead of the 100. Squid would not read an answer
// that came in one piece with the 100, and wait for ever.
func TestNoAnswerRightBehind100(t *testing.T) {
	const blockedAnswer = "200 HTTP/1.1 403 Forbidden {<html>blocked by a rule</html>\n}"
	preview := chunked(strings.Repeat("x", 100), 7000, "0")
	n := start(t, nil)
	store, err := spool.Open(spool.Config{Dir: t.TempDir(), MemoryPerBody: 1, Memory: 1, Disk: 0})
	if err != nil {
		t.Fatal(err)
	}
	n.store = store
	c := n.dial(t)
	r := bufio.NewReader(c)
	want(t, ask(t, c, r, respmodHead("/all/block?onerror=block", "Preview: 100\r\n", "res-body")+preview), blockedAnswer)
	n = start(t, nil)
	c = n.dial(t)
	r = bufio.NewReader(c)
	want(t, ask(t, c, r, respmodHead("/all/block?limit=50&onerror=block", "Preview: 100\r\n", "res-body")+preview), blockedAnswer)
}

// TestLargeBodyStreams passes bodies that exceed every buffer, byte for byte.
func TestLargeBodyStreams(t *testing.T) {
	const size = 64 << 20
	for _, path := range []string{"/forward", "/all/forward", "/all/x?limit=1000000&onerror=forward"} {
		n := start(t, nil)
		n.stub.keep = false
		c := n.dial(t)
		block := strings.Repeat("0123456789abcdef", 4096)
		go func() {
			writePieces(c, respmodHead(path, "", "res-body"), 0)
			for range size / len(block) {
				writePieces(c, chunked(block, len(block), "")[:len(block)+9], 0)
			}
			writePieces(c, "0\r\n\r\n", 0)
		}()
		if got := countBody(t, bufio.NewReaderSize(c, 1<<20), block); got != size {
			t.Errorf("%s: %d bytes came back", path, got)
		}
	}
}

// countBody reads an answer and counts its body, which repeats pattern.
func countBody(t *testing.T, r *bufio.Reader, pattern string) (n int) {
	t.Helper()
	for ends := 0; ends < 2; { // the ICAP head, then the HTTP head
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			ends++
		}
	}
	var d chunkReader
	d.reset(1024, 1024)
	for !d.done() {
		if _, err := r.Peek(1); err != nil {
			t.Fatal(err)
		}
		b, _ := r.Peek(r.Buffered())
		data, used, refused := d.next(b)
		if refused != nil {
			t.Fatal(refused)
		}
		for p := data; len(p) > 0; {
			at := n % len(pattern)
			m := min(len(p), len(pattern)-at)
			if string(p[:m]) != pattern[at:at+m] {
				t.Fatalf("bytes differ near %d", n)
			}
			p, n = p[m:], n+m
		}
		if used == 0 {
			if _, err := r.Peek(len(b) + 1); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.CopyN(io.Discard, r, int64(used)); err != nil {
			t.Fatal(err)
		}
	}
	return n
}
