package icap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
)

// answer is one ICAP answer as a client reads it, with a reader that was
// written for these tests and shares nothing with the server.
type answer struct {
	status   int
	header   textproto.MIMEHeader
	reqHdr   string
	resHdr   string
	body     []byte
	hasBody  bool
	original int64 // use-original-body, -1 when absent
}

func readAnswer(r *bufio.Reader) (*answer, error) {
	tp := textproto.NewReader(r)
	line, err := tp.ReadLine()
	if err != nil {
		return nil, err
	}
	a := &answer{original: -1}
	if _, err := fmt.Sscanf(line, "ICAP/1.0 %d ", &a.status); err != nil {
		return nil, fmt.Errorf("status line %q: %w", line, err)
	}
	if a.header, err = tp.ReadMIMEHeader(); err != nil {
		return nil, err
	}
	if a.status == 100 {
		return a, nil
	}
	return a, a.readEncapsulated(r)
}

func (a *answer) readEncapsulated(r *bufio.Reader) error {
	names, offsets := []string{}, []int{}
	for item := range strings.SplitSeq(a.header.Get("Encapsulated"), ", ") {
		name, at, ok := strings.Cut(item, "=")
		n, err := strconv.Atoi(at)
		if !ok || err != nil {
			return fmt.Errorf("bad Encapsulated %q", a.header.Get("Encapsulated"))
		}
		names, offsets = append(names, name), append(offsets, n)
	}
	for i, name := range names[:len(names)-1] {
		block := make([]byte, offsets[i+1]-offsets[i])
		if _, err := io.ReadFull(r, block); err != nil {
			return err
		}
		if !bytes.HasSuffix(block, []byte("\r\n\r\n")) {
			return fmt.Errorf("%s does not end where Encapsulated says: %q", name, block)
		}
		switch name {
		case "req-hdr":
			a.reqHdr = string(block)
		case "res-hdr":
			a.resHdr = string(block)
		}
	}
	if names[len(names)-1] == "null-body" {
		return nil
	}
	a.hasBody = true
	return a.readChunks(r)
}

func (a *answer) readChunks(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return noEOF(err)
		}
		size, ext, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ";")
		n, err := strconv.ParseUint(size, 16, 62)
		if err != nil {
			return err
		}
		if v, ok := strings.CutPrefix(strings.TrimSpace(ext), "use-original-body="); ok {
			if a.original, err = strconv.ParseInt(v, 10, 64); err != nil {
				return err
			}
		}
		data := make([]byte, n+2)
		if _, err := io.ReadFull(r, data); err != nil {
			return noEOF(err)
		}
		if !bytes.HasSuffix(data, []byte("\r\n")) {
			return fmt.Errorf("chunk of %d does not end with CRLF", n)
		}
		if n == 0 {
			return nil
		}
		a.body = append(a.body, data[:n]...)
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// chunked codes body in chunks of size bytes; last is the last chunk's line.
func chunked(body string, size int, last string) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + last + "\r\n\r\n"
}

// respmod is a RESPMOD request up to its body. extra is more ICAP header lines.
func respmodHead(path, extra, bodySection string) string {
	req := "GET http://origin.test" + path + " HTTP/1.1\r\nHost: origin.test\r\n\r\n"
	res := "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nX-Odd:   spaced\r\n\r\n"
	return respmodWith(req, res, extra, bodySection)
}

func respmodWith(req, res, extra, bodySection string) string {
	return fmt.Sprintf("RESPMOD icap://gw.test/respmod ICAP/1.0\r\nHost: gw.test\r\n%sEncapsulated: req-hdr=0, res-hdr=%d, %s=%d\r\n\r\n%s%s",
		extra, len(req), bodySection, len(req)+len(res), req, res)
}

func reqmodHead(path, extra, bodySection string) string {
	method := "POST"
	if bodySection == "null-body" {
		method = "GET"
	}
	return reqmodWith(method+" http://origin.test"+path+" HTTP/1.1\r\nHost: origin.test\r\nRange: bytes=0-9\r\n\r\n", extra, bodySection)
}

func reqmodWith(req, extra, bodySection string) string {
	return fmt.Sprintf("REQMOD icap://gw.test/reqmod ICAP/1.0\r\nHost: gw.test\r\n%sEncapsulated: req-hdr=0, %s=%d\r\n\r\n%s", extra, bodySection, len(req), req)
}
