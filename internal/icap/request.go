package icap

import (
	"bytes"
	"time"

	"sluice/internal/tx"
)

type method uint8

const (
	reqmod method = iota
	respmod
	options
	numMethods
)

var methodNames = [numMethods]string{"REQMOD", "RESPMOD", "OPTIONS"}

// request is the ICAP head.
type request struct {
	method   method
	service  method // the method that the named service is for
	fields   tx.Header
	enc      encapsulated
	preview  int // bytes; -1 when none was announced
	allow204 bool
	allow206 bool
	closes   bool

	hosts, encs, previews int // how often they came
}

// headEnd is the end of an ICAP head.
var headEnd = []byte("\r\n\r\n")

// readHeads takes in the ICAP head and the encapsulated ones and parses them.
func (x *exchange) readHeads() error {
	until := x.begun.Add(x.cfg.Timeouts.Header)
	n, err := x.findHeadEnd(until)
	if err != nil {
		return err
	}
	if r := x.icap.parse(x.in.bytes()[:n], x.cfg); r != nil {
		return r
	}
	total := n + x.icap.enc.headLen()
	// A preview has to lie behind the heads in one piece, with its framing.
	room := total
	if x.icap.enc.hasBody() {
		room += max(x.icap.preview, 0) + x.cfg.MaxChunkLine + x.cfg.MaxTrailerBytes
	}
	if x.in.reserve(max(room, x.in.len())) {
		if r := x.icap.parse(x.in.bytes()[:n], x.cfg); r != nil {
			return r
		}
	}
	for x.in.len() < total {
		if err := x.fill(x.c.srv.ctx, until); err != nil {
			return err
		}
	}
	block := x.in.bytes()[n:total]
	x.in.r += total
	return x.parseEncapsulated(block)
}

// findHeadEnd returns the length of the ICAP head, waiting for it.
func (x *exchange) findHeadEnd(until time.Time) (int, error) {
	for seen := 0; ; {
		b := x.in.bytes()
		limit := min(len(b), x.cfg.MaxHeaderBytes)
		if i := bytes.Index(b[seen:limit], headEnd); i >= 0 {
			return seen + i + len(headEnd), nil
		}
		if len(b) >= x.cfg.MaxHeaderBytes {
			return 0, refuse(tooLarge, "ICAP header is larger than %d bytes", x.cfg.MaxHeaderBytes)
		}
		if r := checkPartialHead(b, seen); r != nil {
			return 0, r
		}
		seen = max(0, len(b)-len(headEnd)+1)
		x.in.reserve(len(b) + 4<<10)
		if err := x.fill(x.c.srv.ctx, until); err != nil {
			return 0, err
		}
	}
}

// checkPartialHead refuses at once what can't become a head any more, instead
// of waiting for its end: a line that does not end with CRLF, or a first byte
// that begins no method (a TLS handshake, say).
func checkPartialHead(b []byte, from int) *refusal {
	if !tokenTable[b[0]] {
		return refuse(badRequestLine, "request does not begin with a method")
	}
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return nil
		}
		if at := from + i; at == 0 || b[at-1] != '\r' {
			return refuse(badHeader, "ICAP header line does not end with CRLF")
		}
		from += i + 1
	}
}

// parse reads an ICAP head (RFC 3507 section 4.3).
func (q *request) parse(head []byte, cfg *Config) *refusal {
	*q = request{fields: q.fields[:0], preview: -1}
	line, rest, ok := cutLine(head)
	if !ok {
		return refuse(badRequestLine, "request line does not end with CRLF")
	}
	var r *refusal
	if q.fields, r = parseFields(rest, q.fields, cfg.MaxHeaderFields); r != nil {
		return r
	}
	if r := q.parseLine(line, cfg); r != nil {
		return r
	}
	for i := range q.fields {
		if r := q.parseField(&q.fields[i], cfg); r != nil {
			return r
		}
	}
	return q.check()
}

func (q *request) parseLine(line []byte, cfg *Config) *refusal {
	name, rest, ok1 := bytes.Cut(line, []byte{' '})
	uri, version, ok2 := bytes.Cut(rest, []byte{' '})
	if !ok1 || !ok2 || !isToken(name) || !isTarget(uri) {
		return refuse(badRequestLine, "request line is not METHOD uri ICAP/1.0")
	}
	if !isVersion(version, "ICAP/") {
		return refuse(badRequestLine, "request line does not end with ICAP/1.0")
	}
	if string(version) != "ICAP/1.0" {
		return refuse(wrongVersion, "only ICAP/1.0 is spoken here")
	}
	path, ok := uriPath(uri)
	if !ok {
		return refuse(badRequestLine, "request URI is not icap://host/service")
	}
	q.method = numMethods
	for m := range numMethods {
		if string(name) == methodNames[m] {
			q.method = m
		}
	}
	if q.method == numMethods {
		return refuse(unknownMethod, "the methods are REQMOD, RESPMOD and OPTIONS")
	}
	return q.findService(path, cfg)
}

// findService tells which service the path names, and whether it takes the method.
func (q *request) findService(path []byte, cfg *Config) *refusal {
	switch string(path) {
	case cfg.ReqmodPath:
		q.service = reqmod
	case cfg.RespmodPath:
		q.service = respmod
	default:
		return refuse(unknownService, "the services are %s and %s", cfg.ReqmodPath, cfg.RespmodPath)
	}
	if q.method != options && q.method != q.service {
		return refuse(wrongMethod, "this service is for %s", methodNames[q.service])
	}
	return nil
}

// uriPath returns the path of icap://host[:port]/path[?query] (RFC 3507 section
// 4.2). icaps is what clients write for ICAP over TLS.
func uriPath(uri []byte) (path []byte, ok bool) {
	scheme, rest, ok := bytes.Cut(uri, []byte("://"))
	if !ok || !tx.EqualFold(scheme, "icap") && !tx.EqualFold(scheme, "icaps") {
		return nil, false
	}
	slash := bytes.IndexByte(rest, '/')
	if slash < 1 || !isHost(rest[:slash]) || bytes.IndexByte(rest, '#') >= 0 {
		return nil, false
	}
	path, _, _ = bytes.Cut(rest[slash:], []byte{'?'})
	return path, true
}

func (q *request) parseField(f *tx.Field, cfg *Config) *refusal {
	switch len(f.Name) {
	case len("Host"):
		if tx.EqualFold(f.Name, "Host") {
			q.hosts++
		}
	case len("Allow"):
		if tx.EqualFold(f.Name, "Allow") {
			q.allow204 = q.allow204 || listHas(f.Value, "204")
			q.allow206 = q.allow206 || listHas(f.Value, "206")
		}
	case len("Preview"):
		if tx.EqualFold(f.Name, "Preview") {
			q.previews++
			n, ok := decimal(f.Value, MaxPreview)
			if !ok {
				return refuse(badPreview, "Preview is not a number up to %d", MaxPreview)
			}
			q.preview = int(n)
		}
	case len("Connection"):
		if tx.EqualFold(f.Name, "Connection") {
			q.closes = q.closes || listHas(f.Value, "close")
		}
	case len("Encapsulated"):
		if tx.EqualFold(f.Name, "Encapsulated") {
			q.encs++
			var r *refusal
			q.enc, r = parseEncapsulated(f.Value, cfg.MaxHeaderBytes)
			return r
		}
	}
	return nil
}

// check looks at what the fields say together.
func (q *request) check() *refusal {
	switch {
	case q.hosts != 1:
		return refuse(badHeader, "want one Host field, have %d", q.hosts)
	case q.previews > 1:
		return refuse(badPreview, "Preview stands more than once")
	case q.encs > 1:
		return refuse(badEncapsulated, "Encapsulated stands more than once")
	case q.encs == 0 && q.method != options:
		return refuse(badEncapsulated, "Encapsulated is missing")
	case q.encs == 0:
		q.enc.body = nullBody
	case !q.enc.fits(q.method):
		return refuse(badEncapsulated, "Encapsulated names parts that %s has not", methodNames[q.method])
	}
	if q.method == options && q.preview >= 0 {
		return refuse(badPreview, "OPTIONS has no preview")
	}
	return nil
}

// listHas tells whether a comma-separated list holds item.
func listHas(list []byte, item string) bool {
	for more := true; more; {
		var one []byte
		one, list, more = bytes.Cut(list, []byte{','})
		if tx.EqualFold(trimOWS(one), item) {
			return true
		}
	}
	return false
}

// parseEncapsulated reads the HTTP heads.
func (x *exchange) parseEncapsulated(block []byte) error {
	x.req.clear()
	x.res.clear()
	e := &x.icap.enc
	if e.reqLen > 0 {
		if r := x.req.parse(block[:e.reqLen], x.cfg.MaxHeaderFields); r != nil {
			return r
		}
	}
	if e.resLen > 0 {
		if r := x.res.parse(block[e.reqLen:], x.cfg.MaxHeaderFields); r != nil {
			return r
		}
	}
	return nil
}

func (h *head) clear() { h.raw, h.start, h.fields = nil, nil, h.fields[:0] }

// describe fills the transaction.
func (x *exchange) describe() error {
	if x.icap.method == options {
		return nil
	}
	x.t = tx.Transaction{ID: tx.NewID(x.begun), Start: x.begun, Entrance: "icap", HasBody: x.icap.enc.hasBody(), Length: -1}
	x.t.Client.Peer = x.c.peer
	if r := x.identify(); r != nil {
		return r
	}
	if r := x.describeRequest(); r != nil {
		return r
	}
	if x.icap.method == reqmod {
		return nil
	}
	x.t.Direction = tx.DirResponse
	// A response without a head can only be one of HTTP/0.9, which is 200.
	x.t.Response.Status = 200
	if x.res.raw == nil {
		return nil
	}
	var r *refusal
	if x.t.Response.Status, r = x.res.statusLine(); r != nil {
		return r
	}
	x.t.Response.Header = x.res.fields
	if x.t.Length, r = declaredLength(x.res.fields); r != nil {
		return r
	}
	return nil
}

func (x *exchange) describeRequest() (r *refusal) {
	if x.req.raw == nil {
		return nil
	}
	method, target, r := x.req.requestLine()
	if r != nil {
		return r
	}
	length, r := declaredLength(x.req.fields)
	if r != nil {
		return r
	}
	if x.icap.method == reqmod {
		x.t.Length = length
	}
	x.t.Request.Method, x.t.Request.Header = method, x.req.fields
	x.t.Request.URL, x.url, r = absoluteURL(method, target, x.req.fields, x.url)
	return r
}
