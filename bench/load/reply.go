package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxHead bounds a head, encapsulated heads and a chunk line, in bytes.
const maxHead = 64 << 10

// progress is what a piece of an answer brought.
type progress uint8

const (
	more   progress = iota // the answer goes on
	goOn                   // "100 Continue": send the rest of the body
	answer                 // the answer is whole
)

type phase uint8

const (
	inHead phase = iota
	inEncapsulated
	inChunkLine
	inData
	inTrailer
)

// reply reads answers piece by piece, as they come from the socket.
type reply struct {
	http    bool
	phase   phase
	buf     []byte // what came of a line or head that is not whole yet
	left    int64  // of the encapsulated heads, or of a chunk with its line end
	hasBody bool

	status int   // of ICAP, or of HTTP in http mode
	inner  int   // status of the HTTP response within the ICAP answer; 0 when none
	body   int64 // bytes of body received
}

// reset prepares for the next answer.
func (r *reply) reset() {
	r.phase, r.left, r.hasBody = inHead, 0, false
	r.status, r.inner, r.body = 0, 0, 0
	r.buf = r.buf[:0]
}

// feed takes in b up to the end of an answer or of a "100 Continue", and returns
// what is left of b.
func (r *reply) feed(b []byte) (rest []byte, p progress, err error) {
	for len(b) > 0 && p == more && err == nil {
		switch r.phase {
		case inEncapsulated, inData:
			b, p = r.skip(b)
		default:
			b, p, err = r.text(b)
		}
	}
	return b, p, err
}

// skip takes in bytes that are only counted.
func (r *reply) skip(b []byte) ([]byte, progress) {
	n := min(int64(len(b)), r.left)
	if r.phase == inEncapsulated {
		r.buf = append(r.buf, b[:n]...)
	}
	b = b[n:]
	if r.left -= n; r.left > 0 {
		return b, more
	}
	if r.phase == inEncapsulated {
		r.encapsulated()
	}
	if r.http || !r.hasBody {
		return b, answer
	}
	r.phase = inChunkLine
	return b, more
}

// text takes in a head or a line.
func (r *reply) text(b []byte) (rest []byte, p progress, err error) {
	mark := "\r\n"
	if r.phase == inHead {
		mark = "\r\n\r\n"
	}
	text, rest, err := r.until(b, mark)
	if text == nil || err != nil {
		return nil, more, err
	}
	if r.phase == inHead {
		p, err = r.head(text)
	} else {
		p, err = r.line(text)
	}
	r.buf = r.buf[:0]
	return rest, p, err
}

// until returns what comes before and after mark; nil when mark has not come.
func (r *reply) until(b []byte, mark string) (before, after []byte, err error) {
	if len(r.buf) == 0 {
		if i := bytes.Index(b, []byte(mark)); i >= 0 {
			return b[:i+2], b[i+len(mark):], nil // with one line end, so that every line has one
		}
	}
	had := len(r.buf)
	if had+len(b) > maxHead && !bytes.Contains(b[:min(len(b), maxHead)], []byte(mark)) {
		return nil, nil, fmt.Errorf("no line end within %d bytes", maxHead)
	}
	r.buf = append(r.buf, b...)
	i := bytes.Index(r.buf, []byte(mark))
	if i < 0 {
		return nil, nil, nil
	}
	return r.buf[:i+2], b[i+len(mark)-had:], nil
}

// head reads a status line and the fields that matter.
func (r *reply) head(h []byte) (progress, error) {
	if len(h) < 14 {
		return more, fmt.Errorf("bad status line %q", h)
	}
	status, err := strconv.Atoi(string(h[9:12]))
	if err != nil {
		return more, fmt.Errorf("bad status line %q", h[:14])
	}
	r.status = status
	if r.http {
		return r.httpHead(h)
	}
	if status == 100 {
		return goOn, nil
	}
	list := field(h, "Encapsulated")
	if status == 204 || list == nil {
		return answer, nil
	}
	i := bytes.LastIndexByte(list, '=')
	if i < 0 {
		return more, fmt.Errorf("bad Encapsulated %q", list)
	}
	if r.left, err = strconv.ParseInt(string(list[i+1:]), 10, 64); err != nil || r.left > maxHead {
		return more, fmt.Errorf("bad Encapsulated %q", list)
	}
	r.hasBody = !bytes.HasSuffix(list[:i], []byte("null-body"))
	if r.left == 0 {
		return answer, nil
	}
	r.phase = inEncapsulated
	return more, nil
}

func (r *reply) httpHead(h []byte) (progress, error) {
	length := field(h, "Content-Length")
	n, err := strconv.ParseInt(string(length), 10, 64)
	if err != nil {
		return more, errors.New("the HTTP response has no Content-Length")
	}
	if n == 0 {
		return answer, nil
	}
	r.left, r.body, r.phase = n, n, inData
	return more, nil
}

func (r *reply) encapsulated() {
	if len(r.buf) > 12 && bytes.HasPrefix(r.buf, []byte("HTTP/1.")) {
		r.inner, _ = strconv.Atoi(string(r.buf[9:12]))
	}
	r.buf = r.buf[:0]
}

// line reads a chunk line or a trailer line.
func (r *reply) line(l []byte) (progress, error) {
	if r.phase == inTrailer {
		if len(l) == 2 {
			return answer, nil
		}
		return more, nil
	}
	text := bytes.TrimRight(l, "\r\n")
	if i := bytes.IndexByte(text, ';'); i >= 0 {
		text = bytes.TrimSpace(text[:i])
	}
	n, err := strconv.ParseInt(string(text), 16, 64)
	if err != nil {
		return more, fmt.Errorf("bad chunk line %q", l)
	}
	if n == 0 {
		r.phase = inTrailer
		return more, nil
	}
	r.body += n
	r.left, r.phase = n+2, inData
	return more, nil
}

// field finds a field's value in a head.
func field(h []byte, name string) []byte {
	for len(h) > 0 {
		i := bytes.Index(h, []byte("\r\n"))
		if i < 0 {
			return nil
		}
		line := h[:i]
		h = h[i+2:]
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}
