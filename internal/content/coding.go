package content

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

const maxCodings = 5

// parseCodings flattens the Content-Encoding lines to type ids in the order in
// which the codings were applied (RFC 9110 section 8.4). Empty list items and
// identity are dropped.
func parseCodings(lines []string) ([]string, error) {
	var all []string
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			item = strings.ToLower(strings.Trim(item, " \t"))
			switch item {
			case "", "identity":
				continue
			case "gzip", "x-gzip":
				item = "gzip"
			case "deflate", "br", "zstd":
			default:
				return nil, fmt.Errorf("content coding %q is not known", clip(cleanName(item), 64))
			}
			if len(all) == maxCodings {
				return nil, fmt.Errorf("more than %d content codings", maxCodings)
			}
			all = append(all, item)
		}
	}
	return all, nil
}

// message undoes the codings and visits what comes out. When a coding cannot be
// undone whole, the bytes as they came are visited too.
func (k *walk) message(m Message) error {
	if m.Partial {
		k.loose++
	}
	o := Object{Name: messageName(m), Path: "message", DeclaredMIME: mediaType(m.ContentType), contentType: m.ContentType}
	codings, err := parseCodings(m.ContentEncoding)
	if err != nil {
		k.faults.add(ErrEncoding, o.Path, err.Error())
	}
	o.Data = m.Body
	if len(codings) == 0 || m.Body.Size() == 0 {
		return k.object(&o)
	}
	body, rest, whole, err := k.undo(codings, m.Body)
	if err != nil {
		return err
	}
	if body != nil {
		defer closeBody(body)
		o.Data = body
		if err := k.object(&o); err != nil {
			return err
		}
	}
	if rest != nil {
		if err := k.member(&o, child{name: "trailing data", data: rest}); err != nil {
			return err
		}
	}
	if whole {
		return nil
	}
	raw := Object{Name: o.Name, Path: "message (not decoded)", DeclaredMIME: o.DeclaredMIME, Data: m.Body}
	return k.object(&raw)
}

// undo undoes the codings, last first. It returns what came out (nil when
// nothing did), what stood behind the end of the outermost coding, and whether
// the body follows its codings.
func (k *walk) undo(codings []string, c tx.Content) (out *spool.Body, rest tx.Content, whole bool, err error) {
	for i := len(codings) - 1; i >= 0; i-- {
		body, tail, bad, err := k.undoOne(codings[i], c)
		if out != nil {
			closeBody(out)
		}
		if out = body; err != nil {
			return nil, nil, false, err
		}
		switch {
		case i == len(codings)-1:
			rest = tail
		case tail != nil && bad == nil:
			bad = fmt.Errorf("%s: data behind the end", codings[i])
		}
		if bad != nil {
			k.codingFault(codings[i], bad)
			if body.Size() == 0 {
				return nil, rest, false, body.Close()
			}
			// A bomb is what it says it is: nothing else is in the raw bytes.
			return body, rest, isLimit(bad), nil
		}
		if c = body; body.Size() == 0 {
			break
		}
	}
	return out, rest, true, nil
}

func (k *walk) codingFault(coding string, bad error) {
	if isLimit(bad) {
		k.fault("message", bad)
		return
	}
	if k.loose > 0 {
		return // a range of a coded body is never whole
	}
	if errors.Is(bad, io.EOF) || errors.Is(bad, io.ErrUnexpectedEOF) {
		k.faults.add(ErrEncoding, "message", coding+": the body ends too early")
		return
	}
	k.faults.add(ErrEncoding, "message", coding+": "+bad.Error())
}

// undoOne undoes one coding. "deflate" is zlib by the book and raw deflate in
// some servers (RFC 9110 section 8.4.1.2): both are tried.
func (k *walk) undoOne(coding string, c tx.Content) (body *spool.Body, tail tx.Content, bad, err error) {
	if coding != "deflate" {
		return k.undoAs(coding, c)
	}
	body, tail, bad, err = k.undoAs("zlib", c)
	if bad == nil || err != nil {
		return body, tail, bad, err
	}
	raw, rawTail, rawBad, err := k.undoAs("deflate", c)
	if err != nil {
		_ = body.Close()
		return nil, nil, nil, err
	}
	if rawBad == nil || raw.Size() > body.Size() {
		_ = body.Close()
		return raw, rawTail, rawBad, nil
	}
	_ = raw.Close()
	return body, tail, bad, nil
}

func (k *walk) undoAs(kind string, c tx.Content) (body *spool.Body, tail tx.Content, bad, err error) {
	src := newSource(k.ctx, c, 0, c.Size())
	s, bad := k.openStream(kind, src)
	if bad != nil {
		return k.w.store.New(0), nil, bad, nil
	}
	defer s.done()
	body, bad, err = k.spool(&child{src: s.r, consumed: func() int64 { return src.pos() + 64 }})
	if err != nil {
		return nil, nil, nil, err
	}
	if bad == nil && src.left() > 0 && !k.blank(c, src.pos(), src.left()) {
		tail = newView(c, src.pos(), src.left())
	}
	return body, tail, bad, nil
}

// mediaType is the lower-case type/subtype of a Content-Type value; empty when
// it has no such form.
func mediaType(v string) string {
	t, _, _ := strings.Cut(v, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	if strings.Count(t, "/") != 1 || len(t) > 127 {
		return ""
	}
	return cleanName(t)
}

// messageName prefers the name of Content-Disposition (RFC 6266) to that of
// the URL.
func messageName(m Message) string {
	if m.ContentDisposition != "" {
		if n := dispositionName(m.ContentDisposition); n != "" {
			return cleanName(n)
		}
	}
	return cleanName(m.FileName)
}

// dispositionName finds filename or filename* in a field value, however sloppy
// it is written.
func dispositionName(v string) string {
	if _, p, err := mime.ParseMediaType(v); err == nil {
		if n := p["filename"]; n != "" {
			return decodeWords(n)
		}
		if n := p["name"]; n != "" {
			return decodeWords(n)
		}
	}
	for _, key := range [...]string{"filename", "name"} {
		if n := looseParam(v, key); n != "" {
			return decodeWords(n)
		}
	}
	return ""
}

// looseParam finds key=value anywhere behind a semicolon or white space.
func looseParam(v, key string) string {
	l := strings.ToLower(v)
	for i := 0; ; {
		j := strings.Index(l[i:], key)
		if j < 0 {
			return ""
		}
		start := i + j
		i = start + len(key)
		rest := strings.TrimLeft(v[min(i, len(v)):], "* \t")
		if !strings.HasPrefix(rest, "=") || start > 0 && !strings.ContainsRune("; \t\r\n", rune(l[start-1])) {
			continue
		}
		rest = strings.TrimLeft(rest[1:], " \t")
		if q, ok := strings.CutPrefix(rest, `"`); ok {
			n, _, _ := strings.Cut(q, `"`)
			return n
		}
		if n := strings.IndexAny(rest, "; \t\r\n"); n >= 0 {
			rest = rest[:n]
		}
		return rest
	}
}

// decodeWords undoes RFC 2047 words, which some senders put into file names.
func decodeWords(s string) string {
	d := mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}
	if t, err := d.DecodeHeader(s); err == nil {
		return t
	}
	return s
}
