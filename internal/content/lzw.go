package content

import (
	"errors"
	"io"
)

// lzwReader reads the format of Unix compress(1): codes of 9 to 16 bits, least
// significant bit first, in groups of eight codes; code 256 empties the table
// where the header says so.
type lzwReader struct {
	src     *source
	opened  bool
	maxBits uint
	block   bool
	bits    uint
	acc     uint32
	have    uint
	codes   int // read since the width changed, for the groups of eight
	next    int
	prev    int
	first   byte
	prefix  [1 << 16]uint16
	suffix  [1 << 16]byte
	stack   []byte
}

func newLZW(src *source) *lzwReader { return &lzwReader{src: src} }

var errLZW = errors.New("compress: damaged data")

func (z *lzwReader) open() error {
	var h [3]byte
	if _, err := io.ReadFull(z.src, h[:]); err != nil {
		return err
	}
	z.maxBits, z.block = uint(h[2]&0x1f), h[2]&0x80 != 0
	if h[0] != 0x1f || h[1] != 0x9d || z.maxBits < 9 || z.maxBits > 16 {
		return errLZW
	}
	z.opened = true
	z.reset()
	return nil
}

func (z *lzwReader) reset() {
	z.bits, z.prev, z.next = 9, -1, 256
	if z.block {
		z.next = 257
	}
}

func (z *lzwReader) Read(p []byte) (int, error) {
	if !z.opened {
		if err := z.open(); err != nil {
			return 0, err
		}
	}
	n := 0
	for n < len(p) {
		if len(z.stack) > 0 {
			p[n] = z.stack[len(z.stack)-1]
			z.stack = z.stack[:len(z.stack)-1]
			n++
			continue
		}
		if err := z.step(); err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				return n, nil
			}
			return n, err
		}
	}
	return n, nil
}

func (z *lzwReader) code() (int, error) {
	for z.have < z.bits {
		c, err := z.src.ReadByte()
		if err != nil {
			return 0, err // codes do not end at byte ends: spare bits are padding
		}
		z.acc |= uint32(c) << z.have
		z.have += 8
	}
	c := int(z.acc & (1<<z.bits - 1))
	z.acc >>= z.bits
	z.have -= z.bits
	z.codes++
	return c, nil
}

// align skips the rest of the group of eight codes.
func (z *lzwReader) align() {
	rest := int64(z.codes % 8)
	if rest > 0 {
		bitsLeft := (8-rest)*int64(z.bits) - int64(z.have)
		if bitsLeft > 0 {
			z.src.skip((bitsLeft + 7) / 8)
		}
	}
	z.acc, z.have, z.codes = 0, 0, 0
}

func (z *lzwReader) step() error {
	if z.next >= 1<<z.bits && z.bits < z.maxBits {
		z.align()
		z.bits++
	}
	c, err := z.code()
	if err != nil {
		return err
	}
	if c == 256 && z.block {
		z.align()
		z.reset()
		return nil
	}
	if z.prev < 0 {
		if c > 255 {
			return errLZW
		}
		z.prev, z.first = c, byte(c)
		z.stack = append(z.stack[:0], byte(c))
		return nil
	}
	if c > z.next || c == z.next && z.next >= 1<<z.maxBits {
		return errLZW
	}
	z.emit(c)
	if z.next < 1<<z.maxBits {
		z.prefix[z.next], z.suffix[z.next] = uint16(z.prev), z.first
		z.next++
	}
	z.prev = c
	return nil
}

// emit puts the string of code c on the stack, last byte first.
func (z *lzwReader) emit(c int) {
	z.stack = z.stack[:0]
	if c == z.next {
		z.stack = append(z.stack, z.first)
		c = z.prev
	}
	for c > 255 {
		z.stack = append(z.stack, z.suffix[c])
		c = int(z.prefix[c])
	}
	z.first = byte(c)
	z.stack = append(z.stack, z.first)
}
