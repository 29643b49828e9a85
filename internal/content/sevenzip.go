package content

import (
	"bufio"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/stangelandcl/ppmd"

	"sluice/internal/tx"
)

var errSevenLocked = errors.New("7z: encrypted")

const (
	sevenStart = 32       // length of the signature header
	skipLimit  = 64 << 20 // bytes decoded to get past a member that failed
)

// probeSevenZip reads the headers; where they are encrypted nothing else can
// be seen.
func (k *walk) probeSevenZip(o *Object) expander {
	a, err := k.readSeven(o.Data)
	if errors.Is(err, errSevenLocked) {
		o.Encrypted = true
		return nil
	}
	if err != nil {
		return func() error { return err }
	}
	return func() error { return k.expandSeven(o, o.Data, a) }
}

// sevenHeaderOK tells whether a signature header with a right checksum is there.
func sevenHeaderOK(h []byte) bool {
	return len(h) == sevenStart && string(h[:6]) == sevenSig && crc32.ChecksumIEEE(h[12:32]) == binary.LittleEndian.Uint32(h[8:])
}

func (k *walk) readSeven(c tx.Content) (*sevenArchive, error) {
	h := readAt(c, 0, sevenStart)
	if !sevenHeaderOK(h) {
		return nil, errors.New("7z: wrong start header")
	}
	off, size := binary.LittleEndian.Uint64(h[12:]), binary.LittleEndian.Uint64(h[20:])
	if size > sevenHeaderMax {
		return nil, limitf("7z: a header of %d bytes", size)
	}
	if off > uint64(c.Size()) {
		return nil, errors.New("7z: cut off")
	}
	b := readAt(c, sevenStart+int64(off), int64(size))
	if uint64(len(b)) < size || crc32.ChecksumIEEE(b) != binary.LittleEndian.Uint32(h[28:]) {
		return nil, errors.New("7z: cut off or damaged")
	}
	if size == 0 {
		return &sevenArchive{}, nil
	}
	for range 4 { // a header may be packed, and its header again
		if b[0] == 1 {
			break
		}
		if b[0] != 0x17 {
			return nil, errSeven
		}
		var err error
		if b, err = k.unpackSevenHeader(c, b[1:]); err != nil {
			return nil, err
		}
	}
	a := &sevenArchive{}
	r := sevenReader{b: b[1:]}
	if r.header(a); r.failed {
		return nil, errSeven
	}
	return a, nil
}

func (k *walk) unpackSevenHeader(c tx.Content, b []byte) ([]byte, error) {
	a := &sevenArchive{}
	r := sevenReader{b: b}
	if r.streams(a); r.failed || len(a.folders) != 1 {
		return nil, errSeven
	}
	size := a.folders[0].size()
	if size > sevenHeaderMax {
		return nil, limitf("7z: a header of %d bytes", size)
	}
	d, err := k.openFolder(c, a, &a.folders[0])
	if err != nil {
		return nil, err
	}
	defer d.close()
	// The buffer grows with what comes out, not with what is promised.
	out, err := io.ReadAll(io.LimitReader(readerFunc(func(p []byte) (int, error) { return k.read(d.r, p) }), size))
	if err != nil || len(out) == 0 {
		return nil, errSeven
	}
	return out, nil
}

func (k *walk) expandSeven(o *Object, c tx.Content, a *sevenArchive) error {
	for i := range a.folders {
		f := &a.folders[i]
		err := k.sevenFolder(o, c, a, f)
		switch {
		case errors.Is(err, errSevenLocked):
			if err := k.sevenLocked(o, c, a, f); err != nil {
				return err
			}
		case err != nil && isStop(err):
			return err
		case err != nil:
			k.fault(o.Path, err)
		}
	}
	return nil
}

// sevenLocked visits the members of an encrypted folder.
func (k *walk) sevenLocked(o *Object, c tx.Content, a *sevenArchive, f *sevenFolder) error {
	from, n := a.packRange(f, 0)
	for _, m := range f.members {
		if _, err := k.child(o, child{name: m.name, encrypted: true, data: newView(c, from, n)}); err != nil {
			return err
		}
	}
	return nil
}

// packRange is where the i-th packed stream of a folder lies.
func (a *sevenArchive) packRange(f *sevenFolder, i int) (from, n int64) {
	from = sevenStart + a.packPos
	for j := range min(f.firstPack+i, len(a.packSizes)) {
		from += a.packSizes[j]
	}
	if f.firstPack+i < len(a.packSizes) {
		n = a.packSizes[f.firstPack+i]
	}
	return from, n
}

func (k *walk) sevenFolder(o *Object, c tx.Content, a *sevenArchive, f *sevenFolder) error {
	d, err := k.openFolder(c, a, f)
	if err != nil {
		return err
	}
	defer d.close()
	for i := range f.members {
		m := &f.members[i]
		// What was read counts from the start of the folder: a file that is in
		// it twice takes next to nothing the second time, and is no bomb.
		sum := &crcReader{r: io.LimitReader(d.r, m.size)}
		bad, err := k.child(o, child{name: m.name, src: sum, consumed: func() int64 { return d.pos() + 64 }})
		if err != nil {
			return err
		}
		if bad == nil && sum.n < m.size {
			bad = io.ErrUnexpectedEOF
		}
		if bad == nil && m.hasCRC && sum.crc != m.crc {
			bad = errors.New("7z: wrong checksum")
		}
		if bad == nil {
			continue
		}
		k.fault(joinPath(o.Path, cleanName(m.name)), bad)
		if rest := m.size - sum.n; rest > 0 && i < len(f.members)-1 {
			if err := k.skipOver(sum, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// skipOver decodes what is left of a member to get at the next one.
func (k *walk) skipOver(r io.Reader, n int64) error {
	if n > skipLimit {
		return limitf("the members after it were not reached")
	}
	_, err := io.CopyN(io.Discard, readerFunc(func(p []byte) (int, error) { return k.read(r, p) }), n)
	if cerr := k.alive(); cerr != nil {
		return cerr
	}
	return err
}

// folderDecoder is the open chain of a folder's coders.
type folderDecoder struct {
	k       *walk
	c       tx.Content
	a       *sevenArchive
	f       *sevenFolder
	r       io.Reader
	sources []*source
	starts  []int64
	dones   []func()
}

func (d *folderDecoder) close() {
	for _, f := range d.dones {
		f()
	}
}

// pos counts packed bytes read.
func (d *folderDecoder) pos() (n int64) {
	for i, s := range d.sources {
		n += s.pos() - d.starts[i]
	}
	return n
}

func (k *walk) openFolder(c tx.Content, a *sevenArchive, f *sevenFolder) (*folderDecoder, error) {
	for _, co := range f.coders {
		if len(co.method) >= 2 && co.method[:2] == "\x06\xf1" {
			return nil, errSevenLocked
		}
	}
	d := &folderDecoder{k: k, c: c, a: a, f: f}
	r, err := d.out(f.main(), 0)
	if err != nil {
		d.close()
		return nil, err
	}
	d.r = r
	return d, nil
}

// out opens the coder that makes an out-stream; every coder has just one.
func (d *folderDecoder) out(o, depth int) (io.Reader, error) {
	if o < 0 || o >= len(d.f.coders) || depth > sevenMaxCoders {
		return nil, errSeven
	}
	c := &d.f.coders[o]
	first := 0
	for i := range o {
		first += d.f.coders[i].in
	}
	var ins []io.Reader
	for i := range c.in {
		r, err := d.in(first+i, depth)
		if err != nil {
			return nil, err
		}
		ins = append(ins, r)
	}
	if len(ins) == 0 {
		return nil, errSeven
	}
	r, done, err := d.k.openSevenCoder(c, d.f.sizes[o], ins)
	if err != nil {
		return nil, err
	}
	if done != nil {
		d.dones = append(d.dones, done)
	}
	return r, nil
}

func (d *folderDecoder) in(i, depth int) (io.Reader, error) {
	if o := d.f.bound(i); o >= 0 {
		return d.out(o, depth+1)
	}
	for n, p := range d.f.packed {
		if p == i {
			from, size := d.a.packRange(d.f, n)
			if from > d.c.Size() || size > d.c.Size()-from {
				return nil, errors.New("7z: cut off")
			}
			s := newSource(d.k.ctx, d.c, from, size)
			d.sources, d.starts = append(d.sources, s), append(d.starts, from)
			return s, nil
		}
	}
	return nil, errSeven
}

func (k *walk) openSevenCoder(c *sevenCoder, size int64, in []io.Reader) (r io.Reader, done func(), err error) {
	if r, err := sevenFilter(c, size, in); r != nil || err != nil {
		return r, nil, err
	}
	switch {
	case c.method == "\x03\x01\x01" && len(c.props) == 5:
		return k.openRawLZMA(c.props, size, in[0])
	case c.method == "\x21" && len(c.props) == 1:
		return k.openLZMA2(c.props[0], size, in[0])
	case c.method == "\x03\x04\x01" && len(c.props) == 5:
		return k.openPPMd(c.props, size, in[0])
	}
	if s, ok := in[0].(*source); ok {
		switch c.method {
		case "\x04\x01\x08":
			r, done = k.w.pools.openFlate(s, nil)
			return r, done, nil
		case "\x04\x01\x09":
			return newInflate64(s), nil, nil
		case "\x04\x02\x02":
			return &bzip2Reader{bzip2.NewReader(s)}, nil, nil
		case "\x04\xf7\x11\x01":
			st, err := k.openStream("zstd", s)
			return st.r, st.done, err
		}
	}
	return nil, nil, errUnsupported(fmt.Sprintf("7z method %x", c.method))
}

// sevenFilter opens what is no compression; r is nil when it is one.
func sevenFilter(c *sevenCoder, size int64, in []io.Reader) (r io.Reader, err error) {
	switch c.method {
	case "\x00":
		return in[0], nil
	case "\x03":
		if len(c.props) != 1 {
			return nil, errSeven
		}
		return &deltaReader{r: in[0], dist: int(c.props[0]) + 1}, nil
	case "\x03\x03\x01\x1b":
		if len(in) != 4 {
			return nil, errSeven
		}
		return &bcj2Reader{main: byteReader(in[0]), call: byteReader(in[1]), jump: byteReader(in[2]), rc: byteReader(in[3]), left: size}, nil
	case "\x03\x03\x01\x03":
		return newFilter(in[0], x86Filter()), nil
	case "\x03\x03\x02\x05":
		return newFilter(in[0], wordFilter(ppcFilter)), nil
	case "\x03\x03\x05\x01":
		return newFilter(in[0], wordFilter(armFilter)), nil
	case "\x0a":
		return newFilter(in[0], wordFilter(arm64Filter)), nil
	}
	return nil, nil
}

func (k *walk) openPPMd(props []byte, size int64, in io.Reader) (io.Reader, func(), error) {
	if props[0] < 2 || props[0] > 64 {
		return nil, nil, errSeven
	}
	mem := int64(binary.LittleEndian.Uint32(props[1:]))
	if mem < 1<<11 {
		return nil, nil, errSeven
	}
	release, err := k.window(mem)
	if err != nil {
		return nil, nil, err
	}
	r, err := ppmd.NewH7zReader(in, int(props[0]), int(mem), int(size))
	if err != nil {
		release()
		return nil, nil, err
	}
	return &r, release, nil
}

func byteReader(r io.Reader) io.ByteReader {
	if b, ok := r.(io.ByteReader); ok {
		return b
	}
	return bufio.NewReaderSize(r, 4<<10)
}
