package content

import (
	"errors"
	"io"
)

// inflate64 decodes Deflate64 (ZIP method 9): deflate with a window of 64 KiB,
// two more distance codes and a length code of 16 extra bits.
type inflate64 struct {
	src    *source
	acc    uint64
	have   uint
	win    [1 << 16]byte
	w      int // written bytes, also the position in win
	r      int // bytes of w that were read out
	last   bool
	inside int // 0 between blocks, 1 stored, 2 coded
	stored int
	lit    huffman
	dist   huffman
	length int // of a copy that is under way
	back   int
	err    error
}

var errInflate64 = errors.New("deflate64: damaged data")

func newInflate64(src *source) *inflate64 { return &inflate64{src: src} }

func (f *inflate64) Read(p []byte) (int, error) {
	for f.r == f.w && f.err == nil {
		f.err = f.run()
	}
	n := 0
	for n < len(p) && f.r < f.w {
		p[n] = f.win[f.r&0xffff]
		f.r++
		n++
	}
	if n == 0 {
		return 0, f.err
	}
	return n, nil
}

// bits takes n bits, least significant first.
func (f *inflate64) bits(n uint) (int, error) {
	for f.have < n {
		c, err := f.src.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		f.acc |= uint64(c) << f.have
		f.have += 8
	}
	v := int(f.acc & (1<<n - 1))
	f.acc >>= n
	f.have -= n
	return v, nil
}

// run decodes up to half a window.
func (f *inflate64) run() error {
	for f.w-f.r < 1<<15 {
		var err error
		switch {
		case f.length > 0:
			f.win[f.w&0xffff] = f.win[(f.w-f.back)&0xffff]
			f.w++
			f.length--
		case f.inside == 0 && f.last:
			return io.EOF
		case f.inside == 0:
			err = f.block()
		case f.inside == 1:
			err = f.storedByte()
		default:
			err = f.symbol()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *inflate64) block() error {
	h, err := f.bits(3)
	if err != nil {
		return err
	}
	f.last = h&1 == 1
	switch h >> 1 {
	case 0:
		if _, err := f.bits(f.have & 7); err != nil {
			return err
		}
		v, err := f.bits(32)
		if err != nil {
			return err
		}
		if v&0xffff != ^v>>16&0xffff {
			return errInflate64
		}
		f.stored, f.inside = v&0xffff, 1
		return nil
	case 1:
		f.inside = 2
		return f.fixed()
	case 2:
		f.inside = 2
		return f.dynamic()
	}
	return errInflate64
}

// fixed makes the codes of RFC 1951 section 3.2.6.
func (f *inflate64) fixed() error {
	var l [288]byte
	for i := range l {
		l[i] = 8
		switch {
		case i >= 144 && i < 256:
			l[i] = 9
		case i >= 256 && i < 280:
			l[i] = 7
		}
	}
	var d [32]byte
	for i := range d {
		d[i] = 5
	}
	if !f.lit.build(l[:]) || !f.dist.build(d[:]) {
		return errInflate64
	}
	return nil
}

func (f *inflate64) storedByte() error {
	if f.stored == 0 {
		f.inside = 0
		return nil
	}
	c, err := f.bits(8)
	f.win[f.w&0xffff] = byte(c)
	if err == nil {
		f.w++
		f.stored--
	}
	return err
}

func (f *inflate64) dynamic() error {
	v, err := f.bits(14)
	if err != nil {
		return err
	}
	nlit, ndist, ncode := v&31+257, v>>5&31+1, v>>10&15+4
	var code [19]byte
	for i := range ncode {
		c, err := f.bits(3)
		if err != nil {
			return err
		}
		code[[...]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[i]] = byte(c)
	}
	var h huffman
	if !h.build(code[:]) {
		return errInflate64
	}
	var lens [288 + 32 + 138]byte
	for n := 0; n < nlit+ndist; {
		s, err := h.decode(f.bits)
		if err != nil {
			return err
		}
		if s < 16 {
			lens[n] = byte(s)
			n++
			continue
		}
		extra := [...]uint{2, 3, 7}[s-16]
		base := [...]int{3, 3, 11}[s-16]
		r, err := f.bits(extra)
		if err != nil {
			return err
		}
		val := byte(0)
		if s == 16 {
			if n == 0 {
				return errInflate64
			}
			val = lens[n-1]
		}
		for range base + r {
			lens[n] = val
			n++
		}
	}
	if !f.lit.build(lens[:nlit]) || !f.dist.build(lens[nlit:nlit+ndist]) {
		return errInflate64
	}
	return nil
}

func (f *inflate64) symbol() error {
	s, err := f.lit.decode(f.bits)
	if err != nil {
		return err
	}
	switch {
	case s < 256:
		f.win[f.w&0xffff] = byte(s)
		f.w++
		return nil
	case s == 256:
		f.inside = 0
		return nil
	case s > 285:
		return errInflate64
	}
	s -= 257
	extra, base := uint(0), s+3
	switch {
	case s == 28:
		extra, base = 16, 3
	case s >= 8:
		extra = uint(s-4) / 4
		base = (4+s&3)<<extra + 3
	}
	n, err := f.bits(extra)
	if err != nil {
		return err
	}
	d, err := f.dist.decode(f.bits)
	if err != nil {
		return err
	}
	extra, back := uint(0), d+1
	if d >= 4 {
		extra = uint(d-2) / 2
		back = (2+d&1)<<extra + 1
	}
	m, err := f.bits(extra)
	if err != nil {
		return err
	}
	f.length, f.back = base+n, back+m
	if f.back > f.w {
		return errInflate64
	}
	return nil
}

// huffman is a canonical code of at most 15 bits (RFC 1951 section 3.2.2).
type huffman struct {
	count   [16]int
	symbols [512]uint16
}

// build returns false for lengths that no code has.
func (h *huffman) build(lens []byte) bool {
	h.count = [16]int{}
	for _, l := range lens {
		h.count[l]++
	}
	h.count[0] = 0
	left := 1
	var offs [17]int
	for i := 1; i < 16; i++ {
		left = left<<1 - h.count[i]
		if left < 0 {
			return false
		}
		offs[i+1] = offs[i] + h.count[i]
	}
	for s, l := range lens {
		if l > 0 {
			h.symbols[offs[l]] = uint16(s)
			offs[l]++
		}
	}
	return true
}

func (h *huffman) decode(bits func(uint) (int, error)) (int, error) {
	code, first, index := 0, 0, 0
	for l := 1; l < 16; l++ {
		b, err := bits(1)
		if err != nil {
			return 0, err
		}
		code |= b
		if n := h.count[l]; code-n < first {
			return int(h.symbols[index+code-first]), nil
		}
		index += h.count[l]
		first = (first + h.count[l]) << 1
		code <<= 1
	}
	return 0, errInflate64
}
