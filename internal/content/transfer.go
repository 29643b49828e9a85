package content

import (
	"bytes"
	"errors"
	"io"
)

// b64 maps a byte to its value in base64, standard or URL alphabet (RFC 4648
// sections 4 and 5), or to 0xff.
var b64 = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t['-'], t['_'] = 62, 63
	return t
}()

// base64Reader decodes as tolerantly as any receiver might: it skips what is not
// in the alphabet (RFC 2045 section 6.8), starts anew after padding, and knows
// the JSON escapes of "/" and line ends. Receivers that know less read other
// bytes out of the same text: see mode.
type base64Reader struct {
	src     *source
	mode    base64Mode
	acc     uint32
	bits    int
	escaped bool
	padded  bool
	odd     bool // other modes may read it otherwise
}

type base64Mode uint8

const (
	base64All   base64Mode = iota // both alphabets, escapes, parts behind padding
	base64Plain                   // the standard alphabet; all else is skipped
	base64Ends                    // the same up to the first padding
)

func (d *base64Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c, err := d.src.ReadByte()
		if err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				return n, nil
			}
			return n, err
		}
		v, over := d.value(c)
		if over {
			return n, io.EOF
		}
		if v == 0xff {
			continue
		}
		d.acc = d.acc<<6 | uint32(v)
		if d.bits += 6; d.bits >= 8 {
			d.bits -= 8
			p[n] = byte(d.acc >> d.bits)
			n++
		}
	}
	return n, nil
}

// value is that of one character, or 0xff for what has none; over ends the text.
func (d *base64Reader) value(c byte) (v byte, over bool) {
	v = b64[c]
	if d.mode != base64All {
		if c == '-' || c == '_' {
			v = 0xff
		}
		return v, c == '=' && d.mode == base64Ends
	}
	if d.escaped {
		d.escaped = false
		if c != '/' {
			return 0xff, false
		}
	}
	switch {
	case c == '\\':
		d.escaped, d.odd = true, true
	case c == '=':
		d.acc, d.bits, d.padded = 0, 0, true
	case v != 0xff && (d.padded || c == '-' || c == '_'):
		d.odd = true
	}
	return v, false
}

// qpReader decodes quoted-printable (RFC 2045 section 6.7); what does not follow
// the rules passes as it is.
type qpReader struct {
	src     *source
	pending [2]byte
	have    int
}

func (d *qpReader) Read(p []byte) (int, error) {
	for n := range p {
		c, err := d.next()
		if err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				return n, nil
			}
			return n, err
		}
		p[n] = c
	}
	return len(p), nil
}

func (d *qpReader) byte() (byte, error) {
	if d.have > 0 {
		c := d.pending[0]
		d.pending[0] = d.pending[1]
		d.have--
		return c, nil
	}
	return d.src.ReadByte()
}

func (d *qpReader) unread(b ...byte) { d.have = copy(d.pending[:], b) }

func (d *qpReader) next() (byte, error) {
	for {
		c, err := d.byte()
		if err != nil || c != '=' {
			return c, err
		}
		x, err := d.byte()
		if err != nil {
			return '=', ignoreEOF(err)
		}
		if x == '\n' || (x == ' ' || x == '\t') && d.skipPadding() {
			continue
		}
		y, err := d.byte()
		if err != nil {
			d.unread(x)
			return '=', ignoreEOF(err)
		}
		if x == '\r' && y == '\n' {
			continue
		}
		hi, lo := unhex(x), unhex(y)
		if hi < 0 || lo < 0 {
			d.unread(x, y)
			return '=', nil
		}
		return byte(hi<<4 | lo), nil
	}
}

// skipPadding skips white space up to and including a line end, if there is
// nothing else: a soft line break may carry padding (RFC 2045 section 6.7).
func (d *qpReader) skipPadding() bool {
	if d.have > 0 {
		return false
	}
	b := readAt(d.src.c, d.src.pos(), min(d.src.left(), 1024))
	rest := bytes.TrimPrefix(bytes.TrimLeft(b, " \t"), []byte("\r"))
	if len(rest) == 0 || rest[0] != '\n' {
		return false
	}
	d.src.skip(int64(len(b) - len(rest) + 1))
	return true
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// percentReader decodes %XX, and "+" as space where plus is set.
type percentReader struct {
	src  *source
	plus bool
}

func (d *percentReader) Read(p []byte) (int, error) {
	for n := range p {
		c, err := d.src.ReadByte()
		if err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				return n, nil
			}
			return n, err
		}
		if c == '+' && d.plus {
			c = ' '
		}
		if c == '%' {
			if h := readAt(d.src.c, d.src.pos(), 2); len(h) == 2 && d.src.left() >= 2 && unhex(h[0]) >= 0 && unhex(h[1]) >= 0 {
				c = byte(unhex(h[0])<<4 | unhex(h[1]))
				d.src.skip(2)
			}
		}
		p[n] = c
	}
	return len(p), nil
}

// uuReader decodes the lines of one uuencoded file up to "end".
type uuReader struct {
	src  *source
	line []byte
	out  []byte
	over bool
}

func (d *uuReader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.over {
			return 0, io.EOF
		}
		if err := d.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *uuReader) next() error {
	d.line = d.line[:0]
	for {
		c, err := d.src.ReadByte()
		if errors.Is(err, io.EOF) {
			d.over = true
			break
		}
		if err != nil {
			return err
		}
		if c == '\n' {
			break
		}
		if len(d.line) < 128 && c != '\r' {
			d.line = append(d.line, c)
		}
	}
	if string(d.line) == "end" || len(d.line) == 0 && d.over {
		d.over = true
		return nil
	}
	if len(d.line) > 0 {
		d.decode()
	}
	return nil
}

func (d *uuReader) decode() {
	n := int(d.line[0]-' ') & 63
	b := d.line[1:]
	d.out = d.out[:0]
	for len(d.out) < n {
		var q [4]byte
		for i := range q {
			if i < len(b) {
				q[i] = (b[i] - ' ') & 63
			}
		}
		b = b[min(4, len(b)):]
		d.out = append(d.out, q[0]<<2|q[1]>>4, q[1]<<4|q[2]>>2, q[2]<<6|q[3])
	}
	d.out = d.out[:n]
}
