package content

import (
	"bytes"
	"encoding/ascii85"
	"io"
	"strings"
)

const (
	maxPDFStreams = 20_000
	pdfDictLook   = 4 << 10 // bytes before "stream" in which its dictionary stands
)

// probePDF notices encryption and plans a visit of the streams. Nothing of the
// document's structure is trusted: streams are found by their keywords.
func (k *walk) probePDF(o *Object) expander {
	locked, err := k.pdfEncrypted(o)
	if err != nil {
		return func() error { return err }
	}
	o.Encrypted = locked
	return func() error { return k.expandPDF(o) }
}

// pdfEncrypted tells whether a trailer names an encryption dictionary (ISO
// 32000-1, 7.6.1) that the empty password does not open.
func (k *walk) pdfEncrypted(o *Object) (bool, error) {
	for from := int64(0); ; {
		at, err := k.find(o.Data, from, o.Data.Size(), []byte("/Encrypt"))
		if at < 0 || err != nil {
			return false, err
		}
		from = at + 8
		next := bytes.TrimLeft(readAt(o.Data, from, 32), " \r\n\t\x00\f")
		if len(next) > 0 && (next[0] >= '0' && next[0] <= '9' || bytes.HasPrefix(next, []byte("<<"))) {
			return !k.pdfOpens(o, next), nil
		}
	}
}

func (k *walk) expandPDF(o *Object) error {
	n := 0
	for from := int64(0); ; {
		at, err := k.find(o.Data, from, o.Data.Size(), []byte("stream"))
		if err != nil {
			return err
		}
		if at < 0 {
			return nil
		}
		from = at + 6
		eol := readAt(o.Data, from, 2)
		if len(eol) < 2 || eol[0] != '\n' && eol[0] != '\r' {
			continue
		}
		if before := readAt(o.Data, max(at-3, 0), min(at, 3)); string(before) == "end" {
			continue
		}
		if n++; n > maxPDFStreams {
			return limitf("more than %d streams in a PDF", maxPDFStreams)
		}
		start := from + 1
		if eol[0] == '\r' && eol[1] == '\n' {
			start++
		}
		end, err := k.find(o.Data, start, o.Data.Size(), []byte("endstream"))
		if err != nil {
			return err
		}
		if end < 0 {
			end = o.Data.Size()
		}
		if err := k.pdfStream(o, at, start, end); err != nil {
			return err
		}
		from = end
	}
}

// pdfStream visits a stream that is an attached file, a script, or a pack of
// objects, and any other that decodes to something that is no part of a page.
func (k *walk) pdfStream(o *Object, at, start, end int64) error {
	dict := readAt(o.Data, max(at-pdfDictLook, 0), min(at, pdfDictLook))
	if i := bytes.LastIndex(dict, []byte(" obj")); i >= 0 {
		dict = dict[i:]
	}
	dict = pdfNames(dict)
	if bytes.Contains(dict, []byte("/Image")) || bytes.Contains(dict, []byte("/FontFile")) || bytes.Contains(dict, []byte("/XRef")) {
		return nil
	}
	wanted := bytes.Contains(dict, []byte("/EmbeddedFile")) || bytes.Contains(dict, []byte("/ObjStm"))
	r, done, err := k.pdfFilters(o, dict, start, end)
	if err != nil {
		if wanted {
			k.fault(o.Path, err)
		}
		return nil
	}
	defer done()
	buf := make([]byte, 1024)
	n, rerr := io.ReadFull(readerFunc(func(p []byte) (int, error) { return k.read(r, p) }), buf)
	if n == 0 {
		return nil
	}
	if t := Sniff(buf[:n]); !wanted && (t == "data" || t == "text") {
		return nil
	}
	var src io.Reader = bytes.NewReader(buf[:n])
	if rerr == nil {
		src = io.MultiReader(src, r)
	}
	bad, err := k.child(o, child{name: "stream", src: src, packed: end - start + 64})
	if err != nil {
		return err
	}
	if _, ok := bad.(*limitError); ok || bad != nil && wanted {
		k.fault(o.Path, bad)
	}
	return nil
}

// pdfNames undoes #xx in names, which readers accept for any character.
func pdfNames(b []byte) []byte {
	if bytes.IndexByte(b, '#') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '#' && i+2 < len(b) && unhex(b[i+1]) >= 0 && unhex(b[i+2]) >= 0 {
			out = append(out, byte(unhex(b[i+1])<<4|unhex(b[i+2])))
			i += 2
			continue
		}
		out = append(out, b[i])
	}
	return out
}

// pdfFilters opens the filters of a stream dictionary (ISO 32000-1, 7.4).
func (k *walk) pdfFilters(o *Object, dict []byte, start, end int64) (io.Reader, func(), error) {
	var r io.Reader = newSource(k.ctx, o.Data, start, end-start)
	var dones []func()
	done := func() {
		for _, f := range dones {
			f()
		}
	}
	i := bytes.Index(dict, []byte("/Filter"))
	if i < 0 {
		return r, done, nil
	}
	list := bytes.TrimLeft(dict[i+7:], " \r\n\t")
	if len(list) > 0 && list[0] == '[' {
		list, _, _ = bytes.Cut(list[1:], []byte("]"))
	} else if len(list) > 1 {
		if j := bytes.IndexAny(list[1:], "/>\r\n \t"); j >= 0 {
			list = list[:j+1]
		}
	}
	for i, name := range strings.FieldsFunc(string(list), func(c rune) bool { return c == '/' || c == ' ' || c == '\r' || c == '\n' || c == '\t' }) {
		if i > 8 {
			return nil, done, limitf("more than 8 filters on a PDF stream")
		}
		switch name {
		case "FlateDecode", "Fl":
			z, f, err := k.w.pools.openZlib(r)
			if err != nil {
				done()
				return nil, nil, err
			}
			r, dones = z, append(dones, f)
		case "ASCIIHexDecode", "AHx":
			r = &rtfHex{src: sourceOf(k, r)}
		case "ASCII85Decode", "A85":
			r = ascii85.NewDecoder(&untilTilde{r: r})
		default:
			done()
			return nil, nil, errUnsupported("PDF filter " + cleanName(name))
		}
	}
	return r, done, nil
}

// sourceOf makes a source of a reader's bytes; hexadecimal text is never behind
// another filter in honest files, so its length is bounded to 64 MiB.
func sourceOf(k *walk, r io.Reader) *source {
	if s, ok := r.(*source); ok {
		return s
	}
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		b = nil
	}
	v := bytesView(b)
	return newSource(k.ctx, v, 0, v.Size())
}

// untilTilde ends at the "~>" of ASCII85 text and drops a "<~" before it.
type untilTilde struct {
	r    io.Reader
	over bool
}

func (u *untilTilde) Read(p []byte) (int, error) {
	if u.over {
		return 0, io.EOF
	}
	n, err := u.r.Read(p)
	if i := bytes.IndexByte(p[:n], '~'); i > 1 || i >= 0 && (i != 1 || p[0] != '<') {
		u.over = true
		return i, io.EOF
	}
	return n, err
}
