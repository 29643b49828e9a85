package content

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/ulikunitz/xz/lzma"
)

func isZipType(id string) bool {
	switch id {
	case "zip", "docx", "xlsx", "pptx", "odf", "epub", "jar", "apk":
		return true
	}
	return false
}

// probeZip reads the directory, refines the type and plans the members.
func (k *walk) probeZip(o *Object) expander {
	d, err := k.readZipDir(o.Data)
	if err != nil {
		return func() error { return err }
	}
	k.refineZip(o, d)
	return func() error { return k.expandZip(o, d) }
}

// probeAppendedZip plans for a ZIP that something else stands before; a lone
// end record is chance.
func (k *walk) probeAppendedZip(o *Object) expander {
	d, err := k.readZipDir(o.Data)
	if err != nil || d.central == 0 || len(d.entries) == 0 {
		return nil
	}
	if o.Type == "data" {
		o.Type = "zip"
	}
	return func() error { return k.expandZip(o, d) }
}

func (k *walk) refineZip(o *Object, d *zipDir) {
	o.Encrypted = d.locked
	types := [...]struct{ prefix, id string }{
		{"word/", "docx"}, {"xl/", "xlsx"}, {"ppt/", "pptx"}, {"AndroidManifest.xml", "apk"},
		{"META-INF/MANIFEST.MF", "jar"}, {"META-INF/container.xml", "epub"}, {"META-INF/manifest.xml", "odf"},
	}
	best := len(types)
	opc, sheets, basic := false, false, false
	for i := range d.entries {
		name := strings.ReplaceAll(d.entries[i].name, `\`, "/")
		l := strings.ToLower(name)
		opc = opc || l == "[content_types].xml"
		sheets = sheets || strings.Contains(l, "macrosheets/")
		basic = basic || strings.HasPrefix(l, "basic/") && !strings.HasSuffix(l, "script-lc.xml")
		o.Macros = o.Macros || strings.HasSuffix(l, "vbaproject.bin")
		for j := range best {
			if hasPrefixFold([]byte(name), strings.ToLower(types[j].prefix)) {
				best = j
				break
			}
		}
	}
	if best < len(types) {
		o.Type = types[best].id
	}
	o.Macros = o.Macros || opc && sheets || basic && o.Type == "odf"
}

func (k *walk) expandZip(o *Object, d *zipDir) error {
	if d.over {
		return k.stopLimit("more than %d members in a zip", k.lim.Members)
	}
	for i := range d.entries {
		e := &d.entries[i]
		if strings.HasSuffix(e.name, "/") && e.csize == 0 {
			continue
		}
		bad, err := k.zipMember(o, e)
		if err != nil {
			return err
		}
		if bad != nil && (!e.hidden || isLimit(bad)) {
			k.fault(joinPath(o.Path, cleanName(e.name)), bad)
		}
	}
	return d.damage
}

// zipMember visits one view of one member. An encrypted flag may lie, so that
// the data is tried as it is, too.
func (k *walk) zipMember(o *Object, e *zipEntry) (bad, err error) {
	n := o.Data.Size() - e.data
	if e.csize >= 0 {
		if e.csize > n {
			bad = fmt.Errorf("zip: the member is cut off")
		}
		n = min(n, e.csize)
	}
	if e.encrypted() {
		return nil, k.lockedMember(o, e, n)
	}
	if e.method == 0 {
		if e.csize < 0 {
			n = k.storedEnd(o, e, n)
		}
		v := newView(o.Data, e.data, n)
		if bad == nil && !e.hidden && e.csize >= 0 {
			bad = k.storedDamage(v, e)
		}
		_, err := k.child(o, child{name: e.name, data: v})
		return bad, err
	}
	failed, err := k.unpackMember(o, e, n)
	if failed != nil && bad == nil {
		bad = failed
	}
	return bad, err
}

// unpackMember visits what the member unpacks to, and when that fails its packed
// bytes as well, in case the method lies.
func (k *walk) unpackMember(o *Object, e *zipEntry, n int64) (bad, err error) {
	src := newSource(k.ctx, o.Data, e.data, n)
	r, done, bad := k.openZip(e, src)
	if bad == nil {
		sum := &crcReader{r: r}
		bad, err = k.child(o, child{name: e.name, src: sum, consumed: func() int64 { return src.pos() - e.data + 64 }})
		done()
		if bad == nil && err == nil {
			bad = e.check(sum)
			if src.left() > 0 && e.csize >= 0 && !k.blank(o.Data, src.pos(), src.left()) {
				err = k.member(o, child{name: e.name + " (rest)", data: newView(o.Data, src.pos(), src.left())})
			}
		}
	}
	if bad != nil && err == nil && !isLimit(bad) && !e.hidden {
		_, err = k.child(o, child{name: e.name + " (packed)", data: newView(o.Data, e.data, n)})
	}
	return bad, err
}

// check compares what came out with what the directory promises. What no
// directory names promises nothing.
func (e *zipEntry) check(sum *crcReader) error {
	switch {
	case e.hidden || e.usize < 0:
		return nil
	case sum.n != e.usize:
		return fmt.Errorf("zip: %d bytes came out, not %d", sum.n, e.usize)
	case sum.crc != e.crc:
		return errors.New("zip: wrong checksum")
	}
	return nil
}

// lockedMember visits an encrypted member.
func (k *walk) lockedMember(o *Object, e *zipEntry, n int64) error {
	v := newView(o.Data, e.data, n)
	if _, err := k.child(o, child{name: e.name, data: v, encrypted: true}); err != nil {
		return err
	}
	if e.method == 99 || e.flags&(1<<6) != 0 {
		return nil
	}
	open := *e
	open.hidden = true // a failure is what is to be expected
	switch {
	case e.method == 0 && k.storedDamage(v, e) == nil:
		_, err := k.child(o, child{name: e.name, data: v})
		return err
	case e.method != 0 && k.opens(o, &open, n):
		_, err := k.unpackMember(o, &open, n)
		return err
	}
	return nil
}

// opens tells whether a member that says it is encrypted unpacks as it is. Only
// the first bytes of a large one are tried: its checksum is not known then.
func (k *walk) opens(o *Object, e *zipEntry, n int64) bool {
	r, done, err := k.openZip(e, newSource(k.ctx, o.Data, e.data, n))
	if err != nil {
		return false
	}
	defer done()
	sum := &crcReader{r: r}
	_, err = io.CopyN(io.Discard, readerFunc(func(p []byte) (int, error) { return k.read(sum, p) }), ratioFloor)
	return err == nil || errors.Is(err, io.EOF) && sum.crc == e.crc && sum.n == e.usize
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// storedDamage checks length and checksum of a stored member.
func (k *walk) storedDamage(v *view, e *zipEntry) error {
	if e.usize != v.Size() {
		return fmt.Errorf("zip: %d bytes are stored, not %d", v.Size(), e.usize)
	}
	sum := &crcReader{r: newSource(k.ctx, v, 0, v.Size())}
	if _, err := io.Copy(io.Discard, sum); err != nil {
		return err
	}
	if sum.crc != e.crc {
		return errors.New("zip: wrong checksum")
	}
	return nil
}

// storedEnd finds the end of a stored member of unknown size: its data
// descriptor or the next record.
func (k *walk) storedEnd(o *Object, e *zipEntry, n int64) int64 {
	for from := e.data; ; {
		at, err := k.find(o.Data, from, e.data+n, []byte("PK"))
		if err != nil || at < 0 {
			return n
		}
		switch s := readAt(o.Data, at, 4); string(s) {
		case "PK\x07\x08", "PK\x03\x04", "PK\x01\x02", "PK\x05\x06":
			return at - e.data
		}
		from = at + 1
	}
}

// openZip opens the decoder of a compression method (APPNOTE 4.4.5).
func (k *walk) openZip(e *zipEntry, src *source) (r io.Reader, done func(), err error) {
	var kind string
	switch e.method {
	case 8:
		kind = "deflate"
	case 9:
		return newInflate64(src), func() {}, nil
	case 12:
		kind = "bzip2"
	case 14:
		return k.openZipLZMA(e, src)
	case 20, 93:
		kind = "zstd"
	case 95:
		kind = "xz"
	default:
		return nil, nil, errUnsupported(fmt.Sprintf("zip method %d", e.method))
	}
	s, err := k.openStream(kind, src)
	return s.r, s.done, err
}

// openZipLZMA makes the header of the stand-alone format from the one in ZIP
// (APPNOTE 5.8.8).
func (k *walk) openZipLZMA(e *zipEntry, src *source) (io.Reader, func(), error) {
	var h [9]byte
	if _, err := io.ReadFull(src, h[:]); err != nil {
		return nil, nil, err
	}
	if binary.LittleEndian.Uint16(h[2:]) != 5 {
		return nil, nil, errors.New("zip: wrong LZMA properties")
	}
	size := e.usize
	if e.flags&2 != 0 {
		size = -1 // an end mark follows
	}
	return k.openRawLZMA(h[4:9], size, src)
}

// openRawLZMA reads LZMA without its own header. size is -1 when an end mark
// follows.
func (k *walk) openRawLZMA(props []byte, size int64, src io.Reader) (io.Reader, func(), error) {
	dict := max(int64(binary.LittleEndian.Uint32(props[1:])), lzma.MinDictCap)
	if size >= 0 {
		dict = max(min(dict, size), lzma.MinDictCap)
	}
	release, err := k.window(dict)
	if err != nil {
		return nil, nil, err
	}
	h := append([]byte(nil), props[0])
	h = binary.LittleEndian.AppendUint32(h, uint32(dict))
	h = binary.LittleEndian.AppendUint64(h, uint64(size))
	r, err := lzma.ReaderConfig{DictCap: 1 << 30}.NewReader(&prefixed{bytes.NewReader(h), src})
	if err != nil {
		release()
		return nil, nil, err
	}
	return r, release, nil
}

// prefixed reads head, then src; byte by byte too, so that nothing reads ahead.
type prefixed struct {
	head *bytes.Reader
	src  io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if p.head.Len() > 0 {
		return p.head.Read(b)
	}
	return p.src.Read(b)
}

func (p *prefixed) ReadByte() (byte, error) {
	if p.head.Len() > 0 {
		return p.head.ReadByte()
	}
	if r, ok := p.src.(io.ByteReader); ok {
		return r.ReadByte()
	}
	var b [1]byte
	_, err := io.ReadFull(p.src, b[:])
	return b[0], err
}

// crcReader counts and sums what passes.
type crcReader struct {
	r   io.Reader
	n   int64
	crc uint32
}

func (c *crcReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	return n, err
}
