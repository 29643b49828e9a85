package content

import (
	"errors"
	"fmt"
	"io"
	"iter"
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
	whole, err := k.decoded(&o, codings, m.Body)
	if err != nil {
		return err
	}
	if k.gzip.many {
		// Browsers differ in whether they stop behind the first member. That it
		// is only a piece for the others is no damage.
		k.gzip.first = true
		k.loose++
		first := o
		first.Path = "message (first gzip member)"
		_, err := k.decoded(&first, codings, m.Body)
		if k.loose--; err != nil {
			return err
		}
	}
	if whole {
		return nil
	}
	raw := Object{Name: o.Name, Path: "message (not decoded)", DeclaredMIME: o.DeclaredMIME, contentType: o.contentType, Data: m.Body}
	return k.object(&raw)
}

// gzipMembers is how the members of a gzip coding are read.
type gzipMembers struct {
	first bool // the first alone
	many  bool // there were several
}

// decoded undoes the codings and visits what came out and what stood behind it. It
// tells whether the body follows its codings.
func (k *walk) decoded(o *Object, codings []string, data tx.Content) (whole bool, err error) {
	body, rest, whole, err := k.undo(codings, data)
	if err != nil {
		return false, err
	}
	if body != nil {
		defer closeBody(body)
		o.Data = body
		if err := k.object(o); err != nil {
			return false, err
		}
	}
	if rest != nil {
		if err := k.member(o, child{name: "trailing data", data: rest}); err != nil {
			return false, err
		}
	}
	return whole, nil
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
	if s.gzip != nil {
		s.gzip.first = k.gzip.first
		defer func() { k.gzip.many = k.gzip.many || s.gzip.many }()
	}
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
// it has no such form. Of a list, which senders must not but do write, it is the
// last, as for browsers, unless another one says that there is something inside.
func mediaType(v string) string {
	if strings.IndexByte(v, ',') < 0 {
		return oneMediaType(v)
	}
	last := ""
	for item := range listItems(v) {
		t := oneMediaType(item)
		if isMultipart(t) || isMailType(t) || t == "application/x-www-form-urlencoded" {
			return t
		}
		if t != "" {
			last = t
		}
	}
	return last
}

// listItems yields what stands between commas, but for those in quotes.
func listItems(v string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(v); i++ {
			switch {
			case v[i] == '\\' && quoted:
				i++
			case v[i] == '"':
				quoted = !quoted
			case v[i] == ',' && !quoted:
				if !yield(v[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(v[start:])
	}
}

func oneMediaType(v string) string {
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
