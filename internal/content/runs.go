package content

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"sluice/internal/tx"
)

const (
	minRun    = 64  // base64 characters that are worth decoding
	minLine   = 60  // a line this long may go on in the next line
	surelyRun = 344 // a run of this length is visited whatever comes out
	maxRuns   = 100_000
)

// run is a range of base64 text.
type run struct{ off, n int64 }

// findRuns finds base64 in text: data: URIs, JSON and XML values, mail bodies.
func (k *walk) findRuns(c tx.Content) ([]run, error) {
	var runs []run
	if b, ok := c.Bytes(); ok {
		for i := 0; len(runs) < maxRuns; {
			start, end := nextRun(b, i)
			if start < 0 {
				return runs, nil
			}
			i = end
			if worthDecoding(b[start:end]) {
				runs = append(runs, run{int64(start), int64(end - start)})
			}
		}
		return runs, nil
	}
	return k.findRunsOnDisk(c)
}

func (k *walk) findRunsOnDisk(c tx.Content) ([]run, error) {
	var runs []run
	buf := make([]byte, findChunk)
	for off := int64(0); off < c.Size() && len(runs) < maxRuns; {
		if err := k.alive(); err != nil {
			return nil, err
		}
		n, err := c.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		b, last := buf[:n], off+int64(n) >= c.Size()
		i := 0
		for len(runs) < maxRuns {
			start, end := nextRun(b[:n], i)
			if start < 0 {
				break
			}
			r := run{off + int64(start), int64(end - start)}
			i = end
			if end > n-4 && !last {
				r.n = k.runEnd(c, off+int64(end)) - r.off
			}
			if worthDecoding(b[start:end]) {
				runs = append(runs, r)
			}
			if r.off+r.n > off+int64(n) {
				i = int(r.off + r.n - off)
				break
			}
		}
		if last || n == 0 {
			break
		}
		off += int64(max(i, n-minRun-4))
	}
	return runs, nil
}

// runEnd follows a run that is longer than the piece in memory.
func (k *walk) runEnd(c tx.Content, from int64) int64 {
	s := newSource(k.ctx, c, from, c.Size()-from)
	for {
		x, err := s.ReadByte()
		if err != nil {
			return s.pos()
		}
		if b64[x] == 0xff && x != '\r' && x != '\n' && x != '\\' {
			return s.pos() - 1
		}
	}
}

// nextRun returns the first run of at least minRun base64 characters in b[from:],
// line ends within it allowed, or -1. It looks at one byte of 64 where there is
// none.
func nextRun(b []byte, from int) (start, end int) {
	for i := from; i+minLine <= len(b); {
		j := i + minLine - 1
		for j >= i && (b64[b[j]] != 0xff || b[j] == '\\' && j+1 < len(b) && b[j+1] == '/') {
			j--
		}
		if j >= i {
			i = j + 1
			continue
		}
		start, end = i, lineEnd(b, i)
		for {
			next := afterBreak(b, end)
			if next < 0 {
				break
			}
			e := lineEnd(b, next)
			if e == next {
				break
			}
			long := e-next >= minLine
			end = e
			if !long {
				break
			}
		}
		if end-start >= minRun {
			return start, end
		}
		i = max(end, i+1)
	}
	return -1, -1
}

// lineEnd is the end of the base64 characters from i on; "\/" is one of them.
func lineEnd(b []byte, i int) int {
	for i < len(b) {
		if b64[b[i]] != 0xff {
			i++
			continue
		}
		if b[i] == '\\' && i+1 < len(b) && b[i+1] == '/' {
			i += 2
			continue
		}
		break
	}
	return i
}

// afterBreak returns where the next line starts when b[i:] is a line end, plain
// or escaped, and else -1.
func afterBreak(b []byte, i int) int {
	for _, br := range [...]string{"\r\n", "\n", "\\r\\n", "\\n"} {
		if i+len(br) < len(b) && string(b[i:i+len(br)]) == br {
			return i + len(br)
		}
	}
	return -1
}

// worthDecoding drops short runs that decode to nothing known: hashes, tokens,
// identifiers, paths.
func worthDecoding(b []byte) bool {
	if len(b) >= surelyRun {
		return true
	}
	var out [surelyRun]byte
	d := base64Reader{src: &source{buf: b}}
	n, _ := d.Read(out[:]) // the bytes are in memory: only their end ends it
	return Sniff(out[:n]) != "data" || mayBe("zlib", out[:n], int64(n))
}

func (k *walk) expandRuns(o *Object, runs []run) error {
	if len(runs) == maxRuns {
		k.fault(o.Path, limitf("more than %d pieces of base64", maxRuns))
	}
	for _, r := range runs {
		src := newSource(k.ctx, o.Data, r.off, r.n)
		loose := !wholeRun(readAt(o.Data, r.off+r.n, 4))
		if loose {
			k.loose++
		}
		err := k.member(o, child{name: "base64 data", src: &base64Reader{src: src}})
		if loose {
			k.loose--
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wholeRun tells by what follows it whether a run is a value on its own and not
// a piece of one, in which a container would only look damaged.
func wholeRun(next []byte) bool {
	next = bytes.TrimLeft(next, "=")
	return len(next) == 0 || strings.IndexByte("\"'<>)&;, \t\r\n", next[0]) >= 0
}

// probeUU plans for uuencoded files in text.
func (k *walk) probeUU(o *Object) expander {
	from, err := k.nextUU(o.Data, 0)
	if err != nil || from < 0 {
		return nil
	}
	return func() error {
		for from >= 0 {
			line := readAt(o.Data, from, 1024)
			i := bytes.IndexByte(line, '\n')
			name := bytes.TrimSpace(line[min(len("begin 644 "), i):i])
			src := newSource(k.ctx, o.Data, from+int64(i)+1, o.Data.Size())
			if err := k.member(o, child{name: string(name), src: &uuReader{src: src}}); err != nil {
				return err
			}
			if from, err = k.nextUU(o.Data, max(src.pos(), from+1)); err != nil {
				return err
			}
		}
		return nil
	}
}

// nextUU finds a line "begin 644 name".
func (k *walk) nextUU(c tx.Content, from int64) (int64, error) {
	for {
		at, err := k.find(c, from, c.Size(), []byte("begin "))
		if at < 0 || err != nil {
			return -1, err
		}
		from = at + 1
		l := readAt(c, at, 1024)
		nl := bytes.IndexByte(l, '\n')
		if nl < 10 || l[9] != ' ' || unhex(l[6]) < 0 || unhex(l[7]) < 0 || unhex(l[8]) < 0 {
			continue
		}
		if at == 0 {
			return at, nil
		}
		if p := readAt(c, at-1, 1); len(p) == 1 && p[0] == '\n' {
			return at, nil
		}
	}
}
