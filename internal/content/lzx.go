package content

import (
	"encoding/binary"
	"errors"
)

// lzxDecoder decodes LZX as cabinets use it ([MS-PATCH] section 2).
type lzxDecoder struct {
	win      []byte
	pos      int // in win
	total    int // bytes out so far
	slots    int // position slots
	r        [3]int
	main     lzxTree
	length   lzxTree
	aligned  lzxTree
	mainLens [256 + 8*50]byte
	lenLens  [249]byte
	kind     int // of the current block; 0 before the first
	left     int // bytes of the current block to come
	padded   bool
	behind   bool // the end of the input was passed
	started  bool
	e8size   int // size of the file for the call translation; 0 for none
	in       []byte
	acc      uint32
	have     uint
	frame    []byte
}

var errLZX = errors.New("lzx: damaged data")

func newLZX(bits uint) *lzxDecoder {
	slots := [...]int{30, 32, 34, 36, 38, 42, 50}[bits-15]
	return &lzxDecoder{win: make([]byte, 1<<bits), slots: slots, r: [3]int{1, 1, 1}}
}

// fill makes at least n (17 at most) bits ready; behind the end there are zeros,
// as many as a decoder may peek.
func (d *lzxDecoder) fill(n uint) error {
	for d.have < n {
		var w uint32
		switch {
		case len(d.in) >= 2:
			w = uint32(binary.LittleEndian.Uint16(d.in))
			d.in = d.in[2:]
		case len(d.in) == 1:
			w = uint32(d.in[0])
			d.in = nil
		case d.have > 0 || n <= 16:
			if d.behind { // already once behind the end
				return errLZX
			}
			d.behind = true
		default:
			return errLZX
		}
		d.acc |= w << (16 - d.have)
		d.have += 16
	}
	return nil
}

func (d *lzxDecoder) bits(n uint) (int, error) {
	if n > 16 {
		hi, err := d.bits(n - 16)
		if err != nil {
			return 0, err
		}
		lo, err := d.bits(16)
		return hi<<16 | lo, err
	}
	if n == 0 {
		return 0, nil
	}
	if err := d.fill(n); err != nil {
		return 0, err
	}
	v := d.acc >> (32 - n)
	d.acc <<= n
	d.have -= n
	return int(v), nil
}

// block decodes one data block of want bytes, which is one LZX frame.
func (d *lzxDecoder) block(b []byte, want int) ([]byte, error) {
	if d.left == 0 {
		d.padded = false // the padding was the last byte of the block before
	}
	d.in, d.acc, d.have, d.behind = b, 0, 0, false
	if !d.started {
		d.started = true
		on, err := d.bits(1)
		if err != nil {
			return nil, err
		}
		if on == 1 {
			if d.e8size, err = d.bits(32); err != nil {
				return nil, err
			}
		}
	}
	start := d.total
	for d.total-start < want {
		if d.left == 0 {
			if err := d.header(); err != nil {
				return nil, err
			}
		}
		n := min(d.left, want-(d.total-start))
		if err := d.run(n, want-(d.total-start)); err != nil {
			return nil, err
		}
	}
	if d.total-start != want {
		return nil, errLZX
	}
	d.frame = d.frame[:0]
	for i := range want {
		d.frame = append(d.frame, d.win[(d.pos-want+i)&(len(d.win)-1)])
	}
	d.calls(start)
	return d.frame, nil
}

func (d *lzxDecoder) header() error {
	if d.padded { // an uncompressed block of odd length ended
		d.padded = false
		d.in = d.in[min(1, len(d.in)):]
	}
	kind, err := d.bits(3)
	if err != nil {
		return err
	}
	size, err := d.bits(24)
	if err != nil {
		return err
	}
	if size == 0 {
		return errLZX
	}
	d.kind, d.left = kind, size
	switch kind {
	case 1, 2:
		return d.trees(kind == 2)
	case 3:
		return d.raw()
	}
	return errLZX
}

func (d *lzxDecoder) trees(aligned bool) error {
	if aligned {
		var lens [8]byte
		for i := range lens {
			v, err := d.bits(3)
			if err != nil {
				return err
			}
			lens[i] = byte(v)
		}
		if !d.aligned.build(lens[:]) {
			return errLZX
		}
	}
	if err := d.lengths(d.mainLens[:256]); err != nil {
		return err
	}
	main := d.mainLens[:256+8*d.slots]
	if err := d.lengths(main[256:]); err != nil {
		return err
	}
	if !d.main.build(main) {
		return errLZX
	}
	if err := d.lengths(d.lenLens[:249]); err != nil {
		return err
	}
	if !d.length.build(d.lenLens[:249]) {
		return errLZX
	}
	return nil
}

// lengths reads code lengths as differences to those before.
func (d *lzxDecoder) lengths(lens []byte) error {
	var pre [20]byte
	for i := range pre {
		v, err := d.bits(4)
		if err != nil {
			return err
		}
		pre[i] = byte(v)
	}
	var t lzxTree
	if !t.build(pre[:]) {
		return errLZX
	}
	for i := 0; i < len(lens); {
		run, val, err := d.lengthRun(&t, lens[i])
		if err != nil {
			return err
		}
		if run > len(lens)-i {
			return errLZX
		}
		for range run {
			lens[i] = val
			i++
		}
	}
	return nil
}

// lengthRun reads how many codes get which length; old is the length before of
// the first of them.
func (d *lzxDecoder) lengthRun(t *lzxTree, old byte) (run int, val byte, err error) {
	s, err := t.decode(d)
	if err != nil {
		return 0, 0, err
	}
	switch s {
	case 17, 18:
		n, err := d.bits(uint(s - 13))
		if s == 17 {
			return n + 4, 0, err
		}
		return n + 20, 0, err
	case 19:
		n, err := d.bits(1)
		if err != nil {
			return 0, 0, err
		}
		run = n + 4
		if s, err = t.decode(d); err != nil {
			return 0, 0, err
		}
		if s > 16 {
			return 0, 0, errLZX
		}
	default:
		run = 1
	}
	return run, (old + 17 - byte(s)) % 17, nil
}

// lzxTree is a canonical Huffman code of at most 16 bits, most significant bit
// first.
type lzxTree struct {
	count   [17]int
	symbols [656]uint16
	empty   bool
}

func (t *lzxTree) build(lens []byte) bool {
	t.count = [17]int{}
	for _, l := range lens {
		if l > 16 {
			return false
		}
		t.count[l]++
	}
	t.empty = t.count[0] == len(lens)
	t.count[0] = 0
	left := 1
	var offs [18]int
	for i := 1; i <= 16; i++ {
		left = left<<1 - t.count[i]
		if left < 0 {
			return false
		}
		offs[i+1] = offs[i] + t.count[i]
	}
	for s, l := range lens {
		if l > 0 {
			t.symbols[offs[l]] = uint16(s)
			offs[l]++
		}
	}
	return true
}

func (t *lzxTree) decode(d *lzxDecoder) (int, error) {
	if t.empty {
		return 0, errLZX
	}
	code, first, index := 0, 0, 0
	for l := 1; l <= 16; l++ {
		b, err := d.bits(1)
		if err != nil {
			return 0, err
		}
		code |= b
		n := t.count[l]
		if code-first < n {
			return int(t.symbols[index+code-first]), nil
		}
		index += n
		first = (first + n) << 1
		code <<= 1
	}
	return 0, errLZX
}
