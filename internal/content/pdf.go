package content

import (
	"bytes"
	"encoding/ascii85"
	"errors"
	"io"
	"strings"
)

const (
	maxPDFStreams  = 20_000
	maxPDFTrailers = 64
	pdfDictLook    = 4 << 10 // bytes before "stream" in which its dictionary stands
)

// probePDF notices encryption and plans a visit of the streams. Nothing of the
// document's structure is trusted: streams are found by their keywords.
func (k *walk) probePDF(o *Object) expander {
	key, locked, err := k.pdfEncrypted(o)
	if err != nil {
		return func() error { return err }
	}
	o.Encrypted = locked
	return func() error { return k.expandPDF(o, key) }
}

// pdfEncrypted looks for a trailer that names an encryption dictionary (ISO
// 32000-1, 7.6.1). key is what the empty password gives.
func (k *walk) pdfEncrypted(o *Object) (key *pdfKey, locked bool, err error) {
	for from, n := int64(0), 0; n < maxPDFTrailers; n++ {
		at, err := k.find(o.Data, from, o.Data.Size(), []byte("/Encrypt"))
		if at < 0 || err != nil {
			return key, false, err
		}
		from = at + 8
		next := bytes.TrimLeft(readAt(o.Data, from, 64), " \r\n\t\x00\f")
		if len(next) == 0 || (next[0] < '0' || next[0] > '9') && !bytes.HasPrefix(next, []byte("<<")) {
			continue
		}
		if key = k.pdfOpen(o, from, next); key == nil {
			return nil, true, nil
		}
	}
	return key, false, nil
}

func (k *walk) expandPDF(o *Object, key *pdfKey) error {
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
		if err := k.pdfStream(o, key, at, start, end); err != nil {
			return err
		}
		from = end
	}
}

// pdfStream visits a stream that is an attached file, a script, or a pack of
// objects, and any other that decodes to something that is no part of a page.
// In an encrypted document it is tried as it is, too: not all streams are.
func (k *walk) pdfStream(o *Object, key *pdfKey, at, start, end int64) error {
	dict := readAt(o.Data, max(at-pdfDictLook, 0), min(at, pdfDictLook))
	num, gen := 0, 0
	if i := bytes.LastIndex(dict, []byte(" obj")); i >= 0 {
		num, gen = pdfNumber(dict[:i])
		dict = dict[i:]
	}
	dict = pdfNames(dict)
	if bytes.Contains(dict, []byte("/Image")) || bytes.Contains(dict, []byte("/FontFile")) || bytes.Contains(dict, []byte("/XRef")) {
		return nil
	}
	wanted := bytes.Contains(dict, []byte("/EmbeddedFile")) || bytes.Contains(dict, []byte("/ObjStm"))
	src := newSource(k.ctx, o.Data, start, end-start)
	p := pdfPart{dict, src, end - start, wanted, wanted && key == nil && !o.Encrypted}
	if err := k.pdfDecoded(o, p); err != nil || key == nil {
		return err
	}
	if n := int64(pdfInt(dict, "/Length", 0)); n > 0 && n <= end-start && n >= end-start-2 {
		end = start + n // blocks of a cipher end exactly, and a line end follows
	}
	p.src, p.loud = key.decrypt(newSource(k.ctx, o.Data, start, end-start), num, gen), wanted
	return k.pdfDecoded(o, p)
}

// pdfNumber reads the numbers before "obj".
func pdfNumber(b []byte) (num, gen int) {
	f := bytes.Fields(b[max(len(b)-32, 0):])
	if len(f) < 2 {
		return 0, 0
	}
	return pdfInt(append([]byte("/N "), f[len(f)-2]...), "/N", 0), pdfInt(append([]byte("/N "), f[len(f)-1]...), "/N", 0)
}

// pdfPart is one way to read a stream.
type pdfPart struct {
	dict   []byte
	src    io.Reader
	packed int64
	wanted bool // an attachment or the like
	loud   bool // it is a fault when it cannot be read whole
}

// pdfDecoded visits what comes out of the filters of a stream.
func (k *walk) pdfDecoded(o *Object, p pdfPart) error {
	r, done, bad := k.pdfFilters(p.dict, p.src)
	if bad != nil {
		if p.loud {
			k.fault(o.Path, bad)
		}
		return nil
	}
	defer done()
	buf := make([]byte, sniffLen)
	n, end := io.ReadFull(readerFunc(func(b []byte) (int, error) { return k.read(r, b) }), buf)
	if n == 0 {
		if p.loud && !errors.Is(end, io.EOF) {
			k.fault(o.Path, end)
		}
		return nil
	}
	if t := Sniff(buf[:n]); !p.loud && (t == "data" || t == "text") {
		return nil
	}
	whole := io.MultiReader(bytes.NewReader(buf[:n]), readerFunc(func(b []byte) (int, error) {
		if end != nil && !errors.Is(end, io.ErrUnexpectedEOF) {
			return 0, end
		}
		return r.Read(b)
	}))
	bad, err := k.child(o, child{name: "stream", src: whole, packed: p.packed + 64})
	if err == nil && (isLimit(bad) || bad != nil && p.loud) {
		k.fault(o.Path, bad)
	}
	return err
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

// pdfFilters opens the filters of a stream dictionary (ISO 32000-1, 7.4). done
// is nil with an error.
func (k *walk) pdfFilters(dict []byte, r io.Reader) (out io.Reader, done func(), err error) {
	var dones []func()
	done = func() {
		for _, f := range dones {
			f()
		}
	}
	for i, name := range pdfFilterNames(dict) {
		if i > 8 {
			err = limitf("more than 8 filters on a PDF stream")
		}
		switch {
		case err != nil:
		case name == "FlateDecode" || name == "Fl":
			var f func()
			if r, f, err = k.w.pools.openZlib(r); err == nil {
				dones = append(dones, f)
			}
		case name == "ASCIIHexDecode" || name == "AHx":
			r = &rtfHex{src: sourceOf(k, r)}
		case name == "ASCII85Decode" || name == "A85":
			r = ascii85.NewDecoder(&untilTilde{r: r})
		default:
			err = errUnsupported("PDF filter " + cleanName(name))
		}
		if err != nil {
			done()
			return nil, nil, err
		}
	}
	return r, done, nil
}

// pdfFilterNames reads one name or an array of names.
func pdfFilterNames(dict []byte) []string {
	list := pdfValue(dict, "/Filter")
	if len(list) > 0 && list[0] == '[' {
		list, _, _ = bytes.Cut(list[1:], []byte("]"))
	} else if len(list) > 1 {
		if j := bytes.IndexAny(list[1:], "/>\r\n \t"); j >= 0 {
			list = list[:j+1]
		}
	}
	return strings.FieldsFunc(string(list), func(c rune) bool { return strings.ContainsRune("/ \r\n\t", c) })
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
