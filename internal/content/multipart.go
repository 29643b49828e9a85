package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"

	"sluice/internal/tx"
)

const (
	maxPartHeader = 64 << 10
	maxBoundary   = 256 // RFC 2046 section 5.1.1 allows 70
	maxBoundaries = 4   // readings of one Content-Type that are tried
)

// span is a range of a content.
type span struct{ from, to int64 }

// expandMultipart cuts o at every boundary that some receiver might see in its
// Content-Type, strictly and loosely, and visits all parts (RFC 2046 section
// 5.1).
func (k *walk) expandMultipart(o *Object) error {
	if o.Data.Size() == 0 {
		return nil
	}
	found := false
	var before [][]span
	for _, boundary := range k.boundaries(o) {
		strict, loose, err := k.cut(o.Data, boundary)
		if err != nil {
			return err
		}
		for _, spans := range [...][]span{strict, loose} {
			if len(spans) == 0 || slices.ContainsFunc(before, func(s []span) bool { return slices.Equal(s, spans) }) {
				continue
			}
			found = true
			before = append(before, spans)
			if err := k.parts(o, spans); err != nil {
				return err
			}
		}
	}
	if !found {
		return errors.New("a multipart message without a single part")
	}
	return nil
}

// boundaries lists the readings of the boundary parameter, and the first line
// of the body if it looks like a delimiter.
func (k *walk) boundaries(o *Object) []string {
	var all []string
	add := func(s string) {
		if s != "" && len(s) <= maxBoundary && len(all) < maxBoundaries && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	if _, p, err := mime.ParseMediaType(o.contentType); err == nil {
		add(p["boundary"])
	}
	rest := o.contentType
	for range maxBoundaries {
		i := indexFold([]byte(rest), "boundary")
		if i < 0 {
			break
		}
		add(looseParam(" "+rest[i:], "boundary"))
		rest = rest[i+len("boundary"):]
	}
	head := readAt(o.Data, 0, 4<<10)
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		line = bytes.TrimRight(line, "\r \t")
		if len(line) == 0 {
			continue
		}
		if b, ok := bytes.CutPrefix(line, []byte("--")); ok {
			add(string(b))
		}
		break
	}
	return all
}

// cut returns the parts between delimiter lines: strict takes only lines that
// hold nothing but the delimiter, loose takes every line that starts with it.
func (k *walk) cut(c tx.Content, boundary string) (strict, loose []span, err error) {
	pattern := []byte("--" + boundary)
	s, l := cutter{total: c.Size()}, cutter{total: c.Size()}
	for from := int64(0); ; {
		at, err := k.find(c, from, c.Size(), pattern)
		if err != nil {
			return nil, nil, err
		}
		if at < 0 {
			return s.finish(), l.finish(), nil
		}
		from = at + int64(len(pattern))
		start, ok := lineStart(c, at)
		if !ok {
			continue
		}
		if len(s.spans)+len(l.spans) > 2*k.lim.Members {
			return nil, nil, k.stopLimit("more than %d parts", k.lim.Members)
		}
		tail, next := restOfLine(c, from)
		if tail == "" || tail == "--" {
			s.delimiter(start, next)
		}
		l.delimiter(start, next)
	}
}

// lineStart tells whether a line starts at that offset, and where the line end
// before it starts.
func lineStart(c tx.Content, at int64) (int64, bool) {
	if at == 0 {
		return 0, true
	}
	p := readAt(c, max(at-2, 0), min(at, 2))
	switch {
	case len(p) == 2 && p[0] == '\r' && p[1] == '\n':
		return at - 2, true
	case len(p) > 0 && (p[len(p)-1] == '\n' || p[len(p)-1] == '\r'):
		return at - 1, true
	}
	return 0, false
}

// restOfLine returns what stands up to the line end, and where the next line
// starts.
func restOfLine(c tx.Content, from int64) (tail string, next int64) {
	line := readAt(c, from, 1024)
	i := bytes.IndexAny(line, "\r\n")
	if i < 0 {
		i = len(line)
	}
	next = from + int64(i)
	if i < len(line) {
		next++
		if line[i] == '\r' && i+1 < len(line) && line[i+1] == '\n' {
			next++
		}
	}
	return strings.Trim(string(line[:i]), " \t"), next
}

// cutter gathers the spans between delimiters; the first is the preamble.
type cutter struct {
	spans []span
	total int64
	pos   int64
	any   bool
}

func (c *cutter) delimiter(start, next int64) {
	c.spans = append(c.spans, span{c.pos, max(start, c.pos)})
	c.pos = next
	c.any = true
}

func (c *cutter) finish() []span {
	if !c.any {
		return nil
	}
	return append(c.spans, span{c.pos, c.total})
}

func (k *walk) parts(o *Object, spans []span) error {
	for i, s := range spans {
		if s.to <= s.from || (i == 0 || i == len(spans)-1) && k.blank(o.Data, s.from, s.to-s.from) {
			continue
		}
		name := fmt.Sprintf("part %d", i)
		if i == 0 {
			name = "preamble"
		}
		if err := k.part(o, s, name, o.Depth == 0 || o.DeclaredMIME == "multipart/form-data"); err != nil {
			return err
		}
	}
	return nil
}

// part visits one part, or one mail: header, blank line, body. both says that
// receivers may ignore a transfer encoding there, as those of HTTP do (RFC 7578
// section 4.7), so that both readings are visited.
func (k *walk) part(o *Object, s span, name string, both bool) error {
	h, body, early := k.partHeader(o, s)
	if err := k.partBody(o, span{s.from + int64(body), s.to}, h, name, both); err != nil || len(early.h.encodings) == 0 {
		return err
	}
	return k.partBody(o, span{s.from + int64(early.at), s.to}, early.h, name, false)
}

func (k *walk) partBody(o *Object, s span, h partHeader, name string, both bool) error {
	from, n := s.from, s.to-s.from
	if file := h.name(); file != "" {
		name = file
	}
	encodings := h.transferEncodings()
	if len(encodings) == 0 || both {
		if err := k.member(o, child{name: name, contentType: h.contentType(), data: newView(o.Data, from, n)}); err != nil {
			return err
		}
	}
	for _, e := range encodings {
		src := newSource(k.ctx, o.Data, from, n)
		var r io.Reader
		switch e {
		case "base64":
			if err := k.base64Part(o, child{name: name, contentType: h.contentType()}, from, n); err != nil {
				return err
			}
			continue
		case "quoted-printable":
			r = &qpReader{src: src}
		case "uu":
			start, err := k.nextUU(o.Data, from)
			if err != nil {
				return err
			}
			if start < 0 || start > s.to {
				start = from
			}
			line := readAt(o.Data, start, 1024)
			skip := bytes.IndexByte(line, '\n') + 1
			r = &uuReader{src: newSource(k.ctx, o.Data, start+int64(skip), s.to-start-int64(skip))}
		}
		if err := k.member(o, child{name: name, contentType: h.contentType(), src: r}); err != nil {
			return err
		}
	}
	return nil
}

// partHeader reads the header of a part. One that goes on beyond the bound could
// say anything about the body: that is a fault.
func (k *walk) partHeader(o *Object, s span) (h partHeader, body int, early earlyEnd) {
	b := readAt(o.Data, s.from, min(s.to-s.from, maxPartHeader))
	h, body, early = parsePart(b)
	if body == 0 && int64(len(b)) < s.to-s.from && onlyFields(b) {
		k.fault(o.Path, limitf("the header of a part is longer than %d bytes", maxPartHeader))
	}
	return h, body, early
}

// onlyFields tells whether all lines of b look like those of a header; the last
// one may be cut off.
func onlyFields(b []byte) bool {
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		b = rest
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
			continue
		}
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok && (whole || len(name) > maxName) || bytes.ContainsAny(bytes.TrimSpace(name), " \t\x00") {
			return false
		}
	}
	return true
}

// base64Part visits what base64 text in a part decodes to, in every reading
// where receivers differ.
func (k *walk) base64Part(o *Object, c child, from, n int64) error {
	r := &base64Reader{src: newSource(k.ctx, o.Data, from, n)}
	c.src = r
	if err := k.member(o, c); err != nil || !r.odd {
		return err
	}
	for _, mode := range [...]base64Mode{base64Plain, base64Ends} {
		c.src = &base64Reader{src: newSource(k.ctx, o.Data, from, n), mode: mode}
		if err := k.member(o, c); err != nil {
			return err
		}
	}
	return nil
}

// partHeader is the field lines of a part that matter here, unfolded. All lines
// of one name are kept: receivers differ in which one counts.
type partHeader struct{ types, dispositions, encodings, others []string }

// earlyEnd is where a header ends for receivers to whom the first line that is
// no field begins the body; without fields when there is no such line.
type earlyEnd struct {
	h  partHeader
	at int
}

// parsePart reads the header at the beginning of b and returns where the body
// starts. Without an empty line everything is body.
func parsePart(b []byte) (h partHeader, body int, early earlyEnd) {
	var field []byte
	flush := func() {
		name, value, ok := bytes.Cut(field, []byte(":"))
		if ok {
			v := string(bytes.TrimSpace(value))
			switch strings.ToLower(string(bytes.TrimSpace(name))) {
			case "content-type":
				h.types = append(h.types, v)
			case "content-disposition":
				h.dispositions = append(h.dispositions, v)
			case "content-transfer-encoding":
				h.encodings = append(h.encodings, v)
			case "content-location", "content-id":
				h.others = append(h.others, v)
			}
		}
		field = nil
	}
	for i := 0; i < len(b); {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			break
		}
		line := bytes.TrimSuffix(b[i:i+j], []byte("\r"))
		i += j + 1
		if len(line) == 0 {
			flush()
			return h, i, early
		}
		if line[0] == ' ' || line[0] == '\t' {
			field = append(append(slices.Clip(field), ' '), bytes.TrimSpace(line)...)
			continue
		}
		flush()
		if field = line; early.at == 0 && bytes.IndexByte(line, ':') < 0 {
			early = earlyEnd{h, i - len(line) - 1}
			if i >= 2 && b[i-2] == '\r' {
				early.at--
			}
		}
	}
	return partHeader{}, 0, early
}

func (h *partHeader) name() string {
	for _, d := range h.dispositions {
		if n := dispositionName(d); n != "" {
			return n
		}
	}
	for _, t := range h.types {
		if n := looseParam(t, "name"); n != "" {
			return decodeWords(n)
		}
	}
	if len(h.others) > 0 {
		return h.others[0]
	}
	return ""
}

// contentType prefers a line that has parts inside.
func (h *partHeader) contentType() string {
	for _, t := range h.types {
		if m := mediaType(t); isMultipart(m) || m == "message/rfc822" {
			return t
		}
	}
	if len(h.types) > 0 {
		return h.types[0]
	}
	return ""
}

// transferEncodings lists those to undo; every line counts.
func (h *partHeader) transferEncodings() []string {
	var all []string
	for _, e := range h.encodings {
		e = strings.ToLower(strings.Trim(e, " \t\"';"))
		switch {
		case strings.HasPrefix(e, "base64"):
			e = "base64"
		case strings.HasPrefix(e, "quoted"):
			e = "quoted-printable"
		case strings.HasPrefix(e, "uu"), strings.HasPrefix(e, "x-uu"):
			e = "uu"
		default:
			continue
		}
		if !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	return all
}

// expandMail visits the body of a mail message (RFC 5322), which may be
// multipart. In a mailbox (RFC 4155) it visits each message.
func (k *walk) expandMail(o *Object) error {
	size := o.Data.Size()
	head := readAt(o.Data, 0, 1024)
	if !bytes.HasPrefix(head, []byte("From ")) {
		return k.mail(o, span{0, size})
	}
	for from := int64(0); from < size; {
		_, start := restOfLine(o.Data, from)
		end, err := k.find(o.Data, start, size, []byte("\nFrom "))
		if err != nil {
			return err
		}
		if end < 0 {
			end = size
		}
		if err := k.mail(o, span{start, end}); err != nil {
			return err
		}
		from = end + 1
	}
	return nil
}

func (k *walk) mail(o *Object, s span) error {
	if _, body, early := k.partHeader(o, s); body == 0 && len(early.h.encodings) == 0 {
		return nil // a header alone, or text that only looks like mail
	}
	return k.part(o, s, "body", false)
}
