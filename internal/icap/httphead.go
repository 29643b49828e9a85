package icap

import (
	"bytes"
	"encoding/binary"

	"sluice/internal/tx"
)

// head is one encapsulated HTTP head. Its slices point into the input buffer.
type head struct {
	raw    []byte // as it came, with the empty line at its end
	start  []byte // request or status line without CRLF
	fields tx.Header
}

// tokenTable marks the characters of a token (RFC 9110 section 5.6.2).
var tokenTable = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenTable[c] {
			return false
		}
	}
	return len(b) > 0
}

// isTarget tells whether b can be a request target: something, and no white
// space or control characters. Bytes above ASCII pass, since browsers send them.
func isTarget(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// cleanValue tells whether b holds no control character but tabs (RFC 9110
// section 5.5). Eight bytes are looked at together.
func cleanValue(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		v := binary.LittleEndian.Uint64(b)
		low := (v - 0x20*ones) & ^v & highs
		del := v ^ 0x7f*ones
		del = (del - ones) & ^del & highs
		if low|del != 0 && !cleanBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return cleanBytes(b)
}

func cleanBytes(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// cutLine takes the first line off b. The line must end with CRLF and hold no
// other CR or LF.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, b, false
	}
	line = b[:i-1]
	return line, b[i+1:], bytes.IndexByte(line, '\r') < 0
}

// parseFields appends the field lines of block to h. The block must end with
// its empty line. Old line folding, white space before the colon and control
// characters are refused (RFC 9112 section 5).
func parseFields(block []byte, h tx.Header, limit int) (tx.Header, *refusal) {
	for {
		line, rest, ok := cutLine(block)
		if !ok {
			return h, refuse(badHeader, "header line %d does not end with CRLF", len(h)+1)
		}
		if len(line) == 0 {
			if len(rest) != 0 {
				return h, refuse(badHeader, "header has an empty line before its end")
			}
			return h, nil
		}
		if len(h) == limit {
			return h, refuse(tooLarge, "header has more than %d fields", limit)
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 1 || !isToken(line[:colon]) {
			return h, refuse(badHeader, "header line %d has no proper name", len(h)+1)
		}
		value := trimOWS(line[colon+1:])
		if !cleanValue(value) {
			return h, refuse(badHeader, "header line %d holds control characters", len(h)+1)
		}
		h = append(h, tx.Field{Name: line[:colon:colon], Value: value})
		block = rest
	}
}

// parse reads one encapsulated head that fills block exactly.
func (h *head) parse(block []byte, limit int) *refusal {
	line, rest, ok := cutLine(block)
	if !ok {
		return refuse(badHTTP, "encapsulated header has no start line that ends with CRLF")
	}
	h.raw, h.start = block, line
	var r *refusal
	if h.fields, r = parseFields(rest, h.fields[:0], limit); r != nil {
		if r.kind == badHeader {
			r.kind = badHTTP
		}
		return r
	}
	return nil
}

// requestLine takes the start line apart (RFC 9112 section 3).
func (h *head) requestLine() (method, target []byte, r *refusal) {
	method, rest, ok1 := bytes.Cut(h.start, []byte{' '})
	target, version, ok2 := bytes.Cut(rest, []byte{' '})
	if !ok1 || !ok2 || !isToken(method) || !isTarget(target) || !isHTTPVersion(version) {
		return nil, nil, refuse(badHTTP, "encapsulated request line is not METHOD target HTTP/x.y")
	}
	return method, target, nil
}

// statusLine takes the start line apart (RFC 9112 section 4). The phrase may be
// missing together with the space before it, as some origins do.
func (h *head) statusLine() (status int, r *refusal) {
	version, rest, _ := bytes.Cut(h.start, []byte{' '})
	code, text, _ := bytes.Cut(rest, []byte{' '})
	n, ok := decimal(code, 999)
	if !isHTTPVersion(version) || len(code) != 3 || !ok || n < 100 || !cleanValue(text) {
		return 0, refuse(badHTTP, "encapsulated status line is not HTTP/x.y NNN phrase")
	}
	return int(n), nil
}

func isHTTPVersion(b []byte) bool { return isVersion(b, "HTTP/") }

// isVersion tells whether b is protocol, which ends with a slash, and digit.digit.
func isVersion(b []byte, protocol string) bool {
	return len(b) == 8 && string(b[:5]) == protocol && isDigit(b[5]) && b[6] == '.' && isDigit(b[7])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// decimal reads an unsigned number of digits alone, up to limit.
func decimal(b []byte, limit int64) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) || n > (limit-int64(c-'0'))/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// declaredLength reads Content-Length; -1 when there is none or another framing
// overrides it. Two values that differ could be read either way: refused.
func declaredLength(fields tx.Header) (int64, *refusal) {
	length := int64(-1)
	for i := range fields {
		if !tx.EqualFold(fields[i].Name, "Content-Length") {
			continue
		}
		n, ok := decimal(fields[i].Value, 1<<62)
		if !ok || length >= 0 && n != length {
			return 0, refuse(badHTTP, "encapsulated Content-Length is no single number")
		}
		length = n
	}
	if length >= 0 && fields.Has("Transfer-Encoding") {
		return -1, nil
	}
	return length, nil
}

// absoluteURL makes the URL that tx.Request wants out of a request target. buf
// is where a composed URL is put; it is returned grown.
func absoluteURL(method, target []byte, fields tx.Header, buf []byte) (url, grown []byte, r *refusal) {
	if string(method) == "CONNECT" {
		if i := bytes.LastIndexByte(target, ':'); i < 1 || i == len(target)-1 || !isHost(target) {
			return nil, buf, refuse(badHTTP, "CONNECT target is not host:port")
		}
		return target, buf, nil
	}
	host, many := []byte(nil), false
	for v := range fields.Values("Host") {
		many = many || host != nil
		host = v
	}
	if many {
		return nil, buf, refuse(badHTTP, "encapsulated request has two Host fields")
	}
	if target[0] != '/' && string(target) != "*" {
		if !isAbsolute(target) {
			return nil, buf, refuse(badHTTP, "encapsulated request target is neither a path nor an absolute URL")
		}
		return target, buf, nil
	}
	if !isHost(host) {
		return nil, buf, refuse(badHTTP, "encapsulated request has a path but no proper Host")
	}
	buf = append(append(buf[:0], "http://"...), host...)
	if target[0] == '/' {
		buf = append(buf, target...)
	}
	return buf, buf, nil
}

// isHost tells whether b can be a host with or without port: no character that
// would begin another part of a URL.
func isHost(b []byte) bool {
	return isTarget(b) && bytes.IndexByte(b, '/') < 0 && !bytes.ContainsAny(b, `?#@\<>"`)
}

// isAbsolute tells whether b is scheme://something (RFC 3986 section 4.3).
func isAbsolute(b []byte) bool {
	i := bytes.Index(b, []byte("://"))
	if i < 1 || i > 32 || len(b) == i+3 {
		return false
	}
	for _, c := range b[:i] {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '+' && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return b[i+3] != '/' && b[i+3] != '?' && b[i+3] != '#'
}
