package content

import (
	"bytes"
	"errors"
	"io"
)

const maxRTFObjects = 1000

// expandRTF visits the objects in a rich text document: hexadecimal digits
// behind \objdata, and pictures, in which files are hidden as well.
func (k *walk) expandRTF(o *Object) error {
	n := 0
	for _, mark := range [...]string{`\objdata`, `\datafield`, `\datastore`, `\objupdate`} {
		for from := int64(0); ; {
			at, err := k.find(o.Data, from, o.Data.Size(), []byte(mark))
			if err != nil {
				return err
			}
			if at < 0 {
				break
			}
			from = at + int64(len(mark))
			if n++; n > maxRTFObjects {
				return limitf("more than %d objects in a rich text document", maxRTFObjects)
			}
			if err := k.rtfObject(o, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// rtfObject visits the decoded digits, and from the first known mark on: the
// object stands behind an OLE 1.0 header ([MS-OLEDS] 2.2.4) of varying length.
func (k *walk) rtfObject(o *Object, from int64) error {
	r := &rtfHex{src: newSource(k.ctx, o.Data, from, o.Data.Size()-from)}
	body, bad, err := k.spool(&child{src: r})
	if err != nil {
		return err
	}
	defer closeBody(body)
	if bad != nil {
		k.fault(o.Path, bad)
	}
	if body.Size() < 8 {
		return nil
	}
	if err := k.member(o, child{name: "object", data: body}); err != nil {
		return err
	}
	head := readAt(body, 0, 4<<10)
	at := -1
	for _, m := range [...]string{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "PK\x03\x04", "MZ", "{\\rt"} {
		if i := bytes.Index(head, []byte(m)); i > 0 && (at < 0 || i < at) {
			at = i
		}
	}
	if at > 0 {
		return k.member(o, child{name: "object content", data: newView(body, int64(at), body.Size())})
	}
	return k.rtfPackage(o, body, head)
}

// rtfPackage visits what a "Package" object holds.
func (k *walk) rtfPackage(o *Object, body io.ReaderAt, head []byte) error {
	i := bytes.Index(head, []byte("Package\x00"))
	c, ok := body.(interface {
		Size() int64
	})
	if i < 0 || !ok || len(head) < i+20 {
		return nil
	}
	p := head[i+8:]
	if len(p) < 14 {
		return nil
	}
	p = p[14:] // two empty names' lengths of four bytes, the size, and the type
	label, p, ok1 := bytes.Cut(p, []byte{0})
	_, p, ok2 := bytes.Cut(p, []byte{0})
	if !ok1 || !ok2 || len(p) < 8 {
		return nil
	}
	n := int(p[4]) | int(p[5])<<8
	if n > len(p)-12 {
		return nil
	}
	at := int64(len(head) - len(p) + 8 + n + 4)
	return k.member(o, child{name: string(label), src: io.NewSectionReader(body, at, c.Size()-at)})
}

// rtfHex decodes digits and skips what readers skip between them: white space,
// groups and control words. A brace below the level of the start ends it.
type rtfHex struct {
	src   *source
	level int
	high  int // the first digit of a pair, plus one
}

func (d *rtfHex) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c, err := d.src.ReadByte()
		if err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				return n, nil
			}
			return n, err
		}
		switch {
		case c == '{':
			d.level++
		case c == '}':
			if d.level--; d.level < 0 {
				d.src.skip(d.src.left())
				return n, io.EOF
			}
		case c == '\\':
			if err := d.control(); err != nil && !errors.Is(err, io.EOF) {
				return n, err
			}
		case unhex(c) >= 0:
			if d.high == 0 {
				d.high = unhex(c) + 1
				continue
			}
			p[n] = byte((d.high-1)<<4 | unhex(c))
			d.high = 0
			n++
		}
	}
	return n, nil
}

// control skips a control word with its parameter, or \'xx.
func (d *rtfHex) control() error {
	c, err := d.src.ReadByte()
	if err != nil {
		return err
	}
	if c == '\'' {
		d.src.skip(2)
		return nil
	}
	word := []byte{c}
	for len(d.src.buf) > 0 || d.src.left() > 0 {
		b := readAt(d.src.c, d.src.pos(), 1)
		if len(b) == 0 {
			return io.EOF
		}
		if lc := b[0] | 0x20; (lc < 'a' || lc > 'z') && (b[0] < '0' || b[0] > '9') && b[0] != '-' || len(word) > 32 {
			if b[0] == ' ' {
				d.src.skip(1)
			}
			return nil
		}
		word = append(word, b[0])
		d.src.skip(1)
	}
	return nil
}
