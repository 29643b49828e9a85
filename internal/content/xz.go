package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads xz streams (The .xz File Format 1.1.0). It is not the
// library's because that takes a dictionary as large as a header asks for and
// knows no filters but LZMA2.
type xzReader struct {
	k       *walk
	src     *source
	release func()

	opened  bool
	check   byte
	block   io.Reader
	start   int64 // where the block's header starts
	sum     hash.Hash
	wantOut int64 // -1 when the header does not say
	out     int64
}

var (
	errXZ      = errors.New("xz: damaged data")
	crc64Table = crc64.MakeTable(crc64.ECMA)
)

func (x *xzReader) close() {
	if x.release != nil {
		x.release()
		x.release = nil
	}
}

func (x *xzReader) Read(p []byte) (int, error) {
	for {
		if x.block != nil {
			n, err := x.block.Read(p)
			x.sum.Write(p[:n])
			x.out += int64(n)
			if errors.Is(err, io.EOF) {
				err = x.endBlock()
			}
			if n > 0 || err != nil {
				return n, noEOF(err)
			}
			continue
		}
		if !x.opened {
			if err := x.openStream(); err != nil {
				return 0, err
			}
		}
		if err := x.nextBlock(); err != nil {
			return 0, err
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (x *xzReader) openStream() error {
	var h [12]byte
	if _, err := io.ReadFull(x.src, h[:]); err != nil {
		return noEOF(err)
	}
	if string(h[:6]) != "\xfd7zXZ\x00" || h[6] != 0 || h[7]&0xf0 != 0 || crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]) {
		return errXZ
	}
	x.check, x.opened = h[7], true
	return nil
}

// nextBlock opens the next block; at the index it passes on to the next stream
// and returns io.EOF when there is none.
func (x *xzReader) nextBlock() error {
	x.start = x.src.pos()
	first, err := x.src.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	if first == 0 {
		return x.endStream()
	}
	h := make([]byte, (int(first)+1)*4)
	h[0] = first
	if _, err := io.ReadFull(x.src, h[1:]); err != nil {
		return noEOF(err)
	}
	body := h[:len(h)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(h[len(h)-4:]) {
		return errXZ
	}
	return x.openBlock(body[1:])
}

func (x *xzReader) openBlock(h []byte) error {
	flags := h[0]
	h = h[1:]
	x.wantOut = -1
	if flags&0x3c != 0 {
		return errXZ
	}
	var v uint64
	var ok bool
	if flags&0x40 != 0 {
		if _, h, ok = xzInt(h); !ok {
			return errXZ
		}
	}
	if flags&0x80 != 0 {
		if v, h, ok = xzInt(h); !ok {
			return errXZ
		}
		x.wantOut = int64(v)
	}
	filters := int(flags&3) + 1
	type filter struct {
		id    uint64
		props []byte
	}
	var list []filter
	for range filters {
		id, rest, ok := xzInt(h)
		if !ok {
			return errXZ
		}
		n, rest, ok := xzInt(rest)
		if !ok || n > uint64(len(rest)) {
			return errXZ
		}
		list = append(list, filter{id, rest[:n]})
		h = rest[n:]
	}
	last := list[len(list)-1]
	if last.id != 0x21 || len(last.props) != 1 {
		return errXZ
	}
	r, release, err := x.k.openLZMA2(last.props[0], x.wantOut, x.src)
	if err != nil {
		return err
	}
	x.close()
	x.release = release
	for i := len(list) - 2; i >= 0; i-- {
		if r, err = xzFilter(list[i].id, list[i].props, r); err != nil {
			return err
		}
	}
	x.block, x.out = r, 0
	x.newSum()
	return nil
}

func xzFilter(id uint64, props []byte, r io.Reader) (io.Reader, error) {
	if id == 3 && len(props) == 1 {
		return &deltaReader{r: r, dist: int(props[0]) + 1}, nil
	}
	if len(props) != 0 && !bytes.Equal(props, make([]byte, 4)) {
		return nil, errUnsupported("xz: a filter with a start offset")
	}
	switch id {
	case 4:
		return newFilter(r, x86Filter()), nil
	case 5:
		return newFilter(r, wordFilter(ppcFilter)), nil
	case 7:
		return newFilter(r, wordFilter(armFilter)), nil
	case 10:
		return newFilter(r, wordFilter(arm64Filter)), nil
	}
	return nil, errUnsupported("xz: a filter")
}

func (x *xzReader) newSum() {
	switch x.check {
	case 1:
		x.sum = crc32.NewIEEE()
	case 4:
		x.sum = crc64.New(crc64Table)
	default:
		x.sum = sha256.New()
	}
}

// checkSizes are bytes by check id (section 2.1.1.2).
var checkSizes = [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

func (x *xzReader) endBlock() error {
	x.close()
	x.block = nil
	if x.wantOut >= 0 && x.out != x.wantOut {
		return errXZ
	}
	for (x.src.pos()-x.start)%4 != 0 {
		if c, err := x.src.ReadByte(); err != nil || c != 0 {
			return errXZ
		}
	}
	var want [64]byte
	n := checkSizes[x.check]
	if _, err := io.ReadFull(x.src, want[:n]); err != nil {
		return noEOF(err)
	}
	have := x.sum.Sum(nil)
	switch x.check {
	case 1:
		if binary.BigEndian.Uint32(have) != binary.LittleEndian.Uint32(want[:]) {
			return errXZ
		}
	case 4:
		if binary.BigEndian.Uint64(have) != binary.LittleEndian.Uint64(want[:]) {
			return errXZ
		}
	case 10:
		if !bytes.Equal(have, want[:32]) {
			return errXZ
		}
	}
	return nil
}

// endStream skips index and footer. The index only repeats what was read.
func (x *xzReader) endStream() error {
	n, err := x.vli()
	if err != nil || n > 1<<30 {
		return errXZ
	}
	for range 2 * n {
		if _, err := x.vli(); err != nil {
			return err
		}
	}
	for (x.src.pos()-x.start)%4 != 0 {
		if _, err := x.src.ReadByte(); err != nil {
			return noEOF(err)
		}
	}
	var foot [16]byte
	if _, err := io.ReadFull(x.src, foot[:]); err != nil {
		return noEOF(err)
	}
	if string(foot[14:]) != "YZ" {
		return errXZ
	}
	x.opened = false
	for {
		next := readAt(x.src.c, x.src.pos(), 4)
		if int64(len(next)) > x.src.left() || len(next) < 4 {
			return io.EOF
		}
		switch {
		case bytes.Equal(next, make([]byte, 4)):
			x.src.skip(4)
		case string(next) == "\xfd7zX":
			return x.openStream()
		default:
			return io.EOF
		}
	}
}

func (x *xzReader) vli() (uint64, error) {
	var v uint64
	for shift := uint(0); shift < 63; shift += 7 {
		c, err := x.src.ReadByte()
		if err != nil {
			return 0, noEOF(err)
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, nil
		}
	}
	return 0, errXZ
}

func xzInt(b []byte) (v uint64, rest []byte, ok bool) {
	for i := 0; i < len(b) && i < 9; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, b[i+1:], true
		}
	}
	return 0, nil, false
}

// openLZMA2 opens LZMA2 with the dictionary that props names. size, when it is
// not negative, is all that will come out.
func (k *walk) openLZMA2(props byte, size int64, src io.Reader) (io.Reader, func(), error) {
	dict, err := lzma.DecodeDictCap(props)
	if err != nil {
		return nil, nil, err
	}
	if size >= 0 {
		dict = min(dict, size)
	}
	dict = max(dict, lzma.MinDictCap)
	release, err := k.window(dict)
	if err != nil {
		return nil, nil, err
	}
	r, err := lzma.Reader2Config{DictCap: int(dict)}.NewReader2(src)
	if err != nil {
		release()
		return nil, nil, err
	}
	return r, release, nil
}
