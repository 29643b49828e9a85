package content

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"
)

// The standard security handler (ISO 32000-1, 7.6; ISO 32000-2 for revision 6),
// as far as the empty user password goes: a document that only restricts
// printing opens for everybody, and so it must here.

// pdfKey decrypts the streams of one document.
type pdfKey struct {
	key     []byte
	aes     bool
	perFile bool // the key is used as it is, not one for each object
	plain   bool // streams are not encrypted
}

var pdfPad = []byte("\x28\xbf\x4e\x5e\x4e\x75\x8a\x41\x64\x00\x4e\x56\xff\xfa\x01\x08\x2e\x2e\x00\xb6\xd0\x68\x3e\x80\x2f\x0c\xa9\xfe\x64\x53\x69\x7a")

const pdfLook = 8 << 10 // bytes in which an encryption dictionary ends

// pdfOpen returns the key that the empty password gives, or nil when there is
// none or it does not fit. ref is what stands behind /Encrypt at that offset: a
// dictionary or a reference to one.
func (k *walk) pdfOpen(o *Object, at int64, ref []byte) *pdfKey {
	if ref[0] != '<' {
		f := bytes.Fields(ref)
		if len(f) < 2 {
			return nil
		}
		if at = k.pdfObject(o, string(f[0])+" "+string(f[1])+" obj"); at < 0 {
			return nil
		}
	}
	d := readAt(o.Data, at, pdfLook)
	if ref[0] != '<' {
		d, _, _ = bytes.Cut(d, []byte("endobj"))
	}
	d = pdfNames(d)
	h := pdfHandler{v: pdfInt(d, "/V", 0), r: pdfInt(d, "/R", 0), o: pdfString(d, "/O"), u: pdfString(d, "/U"), ue: pdfString(d, "/UE"), p: pdfInt(d, "/P", 0)}
	h.metadata = !bytes.HasPrefix(pdfValue(d, "/EncryptMetadata"), []byte("false"))
	key := h.method(d)
	if key == nil || !bytes.Contains(d, []byte("/Standard")) {
		return nil
	}
	if at, err := k.find(o.Data, 0, o.Data.Size(), []byte("/ID")); err == nil && at >= 0 {
		h.id = pdfString(append([]byte("/X"), bytes.TrimLeft(readAt(o.Data, at+3, 1024), " \r\n\t[")...), "/X")
	}
	if key.key = h.empty(); key.key == nil {
		return nil
	}
	return key
}

// method reads which cipher the streams are encrypted with; nil when it is not
// known.
func (h *pdfHandler) method(d []byte) *pdfKey {
	key := &pdfKey{}
	switch h.v {
	case 1:
		h.length = 5
	case 2, 3:
		h.length = pdfInt(d, "/Length", 40) / 8
	case 4, 5:
		h.length = 16
		key.perFile = h.v == 5
		key.aes = key.perFile || bytes.Contains(d, []byte("/AESV2"))
		f := pdfValue(d, "/StmF")
		key.plain = f == nil || bytes.HasPrefix(f, []byte("/Identity"))
	}
	if h.length < 5 || h.length > 16 {
		return nil
	}
	return key
}

// pdfObject finds where an object starts.
func (k *walk) pdfObject(o *Object, mark string) int64 {
	for from := int64(0); ; {
		at, err := k.find(o.Data, from, o.Data.Size(), []byte(mark))
		if at < 0 || err != nil {
			return -1
		}
		if p := readAt(o.Data, at-1, 1); at == 0 || len(p) == 1 && (p[0] < '0' || p[0] > '9') {
			return at
		}
		from = at + 1
	}
}

// pdfHandler is the contents of an encryption dictionary.
type pdfHandler struct {
	v, r, p, length int
	o, u, ue, id    []byte
	metadata        bool
}

// empty returns the file's key if the user password is empty.
func (h *pdfHandler) empty() []byte {
	if h.r >= 5 {
		return h.empty5()
	}
	if len(h.o) < 32 || len(h.u) < 16 {
		return nil
	}
	s := append(bytes.Clone(pdfPad), h.o[:32]...)
	s = binary.LittleEndian.AppendUint32(s, uint32(h.p))
	s = append(s, h.id...)
	if h.r >= 4 && !h.metadata {
		s = append(s, 0xff, 0xff, 0xff, 0xff)
	}
	sum := md5.Sum(s)
	if h.r >= 3 {
		for range 50 {
			sum = md5.Sum(sum[:h.length])
		}
	}
	key := bytes.Clone(sum[:h.length])
	if h.r == 2 {
		if len(h.u) < 32 || !bytes.Equal(rc4Of(key, pdfPad), h.u[:32]) {
			return nil
		}
		return key
	}
	x := md5.Sum(append(bytes.Clone(pdfPad), h.id...))
	b := rc4Of(key, x[:])
	for i := 1; i < 20; i++ {
		turned := bytes.Clone(key)
		for j := range turned {
			turned[j] ^= byte(i)
		}
		b = rc4Of(turned, b)
	}
	if !bytes.Equal(b, h.u[:16]) {
		return nil
	}
	return key
}

func rc4Of(key, b []byte) []byte {
	c, err := rc4.NewCipher(key)
	if err != nil {
		return nil
	}
	out := make([]byte, len(b))
	c.XORKeyStream(out, b)
	return out
}

// empty5 is for revisions 5 and 6, with AES-256.
func (h *pdfHandler) empty5() []byte {
	if len(h.u) < 48 || len(h.ue) < 32 || h.r > 6 {
		return nil
	}
	hash := func(salt []byte) []byte {
		s := sha256.Sum256(salt)
		return s[:]
	}
	if h.r == 6 {
		hash = pdfHash
	}
	if !bytes.Equal(hash(h.u[32:40]), h.u[:32]) {
		return nil
	}
	c, err := aes.NewCipher(hash(h.u[40:48]))
	if err != nil {
		return nil
	}
	key := make([]byte, 32)
	cipher.NewCBCDecrypter(c, make([]byte, 16)).CryptBlocks(key, h.ue[:32])
	return key
}

// pdfHash is algorithm 2.B for the empty password.
func pdfHash(salt []byte) []byte {
	s := sha256.Sum256(salt)
	key := s[:]
	for round := 0; ; round++ {
		b := bytes.Repeat(key, 64)
		c, err := aes.NewCipher(key[:16])
		if err != nil {
			return nil
		}
		cipher.NewCBCEncrypter(c, key[16:32]).CryptBlocks(b, b)
		mod := 0
		for _, x := range b[:16] {
			mod += int(x)
		}
		switch mod % 3 {
		case 0:
			s := sha256.Sum256(b)
			key = s[:]
		case 1:
			s := sha512.Sum384(b)
			key = s[:]
		default:
			s := sha512.Sum512(b)
			key = s[:]
		}
		if round >= 63 && int(b[len(b)-1]) <= round-31 {
			return key[:32]
		}
	}
}

// decrypt reads the stream of an object.
func (p *pdfKey) decrypt(r io.Reader, num, gen int) io.Reader {
	if p.plain {
		return r
	}
	key := p.key
	if !p.perFile {
		s := append(bytes.Clone(key), byte(num), byte(num>>8), byte(num>>16), byte(gen), byte(gen>>8))
		if p.aes {
			s = append(s, "sAlT"...)
		}
		sum := md5.Sum(s)
		key = sum[:min(len(key)+5, 16)]
	}
	if !p.aes {
		return &rc4Reader{r: r, key: key}
	}
	return &cbcReader{r: r, key: key}
}

// rc4Reader decrypts what it reads.
type rc4Reader struct {
	r   io.Reader
	key []byte
	c   *rc4.Cipher
}

func (c *rc4Reader) Read(p []byte) (int, error) {
	if c.c == nil {
		var err error
		if c.c, err = rc4.NewCipher(c.key); err != nil {
			return 0, err
		}
	}
	n, err := c.r.Read(p)
	c.c.XORKeyStream(p[:n], p[:n])
	return n, err
}

// cbcReader decrypts blocks and drops the padding of the last one.
type cbcReader struct {
	r    io.Reader
	key  []byte
	mode cipher.BlockMode
	buf  []byte
	out  []byte
	held []byte // the last block so far
	over bool
}

// open reads the initialisation vector, which stands before the first block.
func (c *cbcReader) open() error {
	b, err := aes.NewCipher(c.key)
	if err != nil {
		return err
	}
	iv := make([]byte, 16)
	if _, err := io.ReadFull(c.r, iv); err != nil {
		return err
	}
	c.mode, c.buf = cipher.NewCBCDecrypter(b, iv), make([]byte, 16+4096)
	return nil
}

func (c *cbcReader) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.over {
			return 0, io.EOF
		}
		if c.buf == nil {
			if err := c.open(); err != nil {
				return 0, err
			}
		}
		h := copy(c.buf, c.held)
		n, err := io.ReadFull(c.r, c.buf[h:h+4096])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		n &^= 15
		c.mode.CryptBlocks(c.buf[h:h+n], c.buf[h:h+n])
		all := c.buf[:h+n]
		if err == nil {
			c.held = append(c.held[:0], all[len(all)-16:]...)
			c.out = all[:len(all)-16]
			continue
		}
		c.over = true
		if len(all) > 0 {
			if pad := int(all[len(all)-1]); pad >= 1 && pad <= 16 {
				all = all[:len(all)-pad]
			}
		}
		c.out = all
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// pdfValue returns what follows a key, or nil.
func pdfValue(d []byte, name string) []byte {
	for {
		i := bytes.Index(d, []byte(name))
		if i < 0 {
			return nil
		}
		d = d[i+len(name):]
		if len(d) > 0 && strings.IndexByte(" \r\n\t\x00\f/<([+-0123456789", d[0]) >= 0 {
			return bytes.TrimLeft(d, " \r\n\t\x00\f")
		}
	}
}

func pdfInt(d []byte, name string, otherwise int) int {
	v := pdfValue(d, name)
	n := 0
	for n < len(v) && n < 12 && (v[n] >= '0' && v[n] <= '9' || n == 0 && (v[n] == '-' || v[n] == '+')) {
		n++
	}
	i, err := strconv.ParseInt(string(v[:n]), 10, 64)
	if err != nil {
		return otherwise
	}
	return int(i)
}

// pdfString reads a literal or hexadecimal string (7.3.4).
func pdfString(d []byte, name string) []byte {
	v := pdfValue(d, name)
	if len(v) == 0 || len(v) > pdfLook {
		return nil
	}
	if v[0] == '<' {
		hex, _, _ := bytes.Cut(v[1:], []byte(">"))
		out := make([]byte, len(hex)/2+1)
		n, _ := (&rtfHex{src: &source{buf: hex}}).Read(out) // in memory: only its end ends it
		return out[:n]
	}
	if v[0] != '(' {
		return nil
	}
	return pdfLiteral(v[1:])
}

func pdfLiteral(v []byte) (out []byte) {
	for depth := 0; len(v) > 0; v = v[1:] {
		switch v[0] {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				return out
			}
		case '\\':
			var n int
			if out, n = pdfEscape(out, v[1:]); n > len(v)-1 {
				return out
			}
			v = v[n:]
			continue
		}
		out = append(out, v[0])
	}
	return out
}

// pdfEscape appends what stands behind a backslash and tells how many bytes of v
// that took.
func pdfEscape(out, v []byte) ([]byte, int) {
	if len(v) == 0 {
		return out, 0
	}
	n := 0
	for n < 3 && n < len(v) && v[n] >= '0' && v[n] <= '7' {
		n++
	}
	if n > 0 {
		x, _ := strconv.ParseUint(string(v[:n]), 8, 16) // three octal digits always fit
		return append(out, byte(x)), n
	}
	if v[0] == '\r' || v[0] == '\n' {
		return out, 1
	}
	if i := strings.IndexByte("nrtbf", v[0]); i >= 0 {
		return append(out, "\n\r\t\b\f"[i]), 1
	}
	return append(out, v[0]), 1
}
