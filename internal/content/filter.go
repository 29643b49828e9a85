package content

import (
	"encoding/binary"
	"errors"
	"io"
)

// filterReader undoes a filter that changes bytes in place. f handles the
// beginning of a piece that starts at pos and returns how much of it is done;
// what is left comes again with more behind it.
type filterReader struct {
	r    io.Reader
	f    func(b []byte, pos uint32) int
	buf  []byte
	done int // bytes of buf that are final
	out  int // bytes of buf that were read
	pos  uint32
	err  error
}

func newFilter(r io.Reader, f func([]byte, uint32) int) *filterReader {
	return &filterReader{r: r, f: f, buf: make([]byte, 0, 16<<10)}
}

func (f *filterReader) Read(p []byte) (int, error) {
	for f.out == f.done {
		if f.err != nil {
			return 0, f.err
		}
		n := copy(f.buf, f.buf[f.done:])
		f.pos += uint32(f.done)
		f.buf, f.done, f.out = f.buf[:n], 0, 0
		k, err := io.ReadFull(f.r, f.buf[n:cap(f.buf)])
		f.buf = f.buf[:n+k]
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		f.err = err
		f.done = f.f(f.buf, f.pos)
		if f.err != nil {
			f.done = len(f.buf)
		}
	}
	n := copy(p, f.buf[f.out:f.done])
	f.out += n
	return n, nil
}

// x86Filter turns the absolute targets of x86 calls and jumps back into
// relative ones.
func x86Filter() func([]byte, uint32) int {
	allowed := [8]bool{true, true, true, false, true}
	bit := [8]uint{0, 1, 2, 2, 3, 3, 3, 3}
	mask, prev := uint32(0), ^uint32(4) // -5
	edge := func(b byte) bool { return b == 0 || b == 0xff }
	return func(b []byte, pos uint32) int {
		if len(b) < 5 {
			return 0
		}
		if pos-prev > 5 {
			prev = pos - 5
		}
		i := 0
		for i <= len(b)-5 {
			if b[i]&0xfe != 0xe8 {
				i++
				continue
			}
			off := pos + uint32(i) - prev
			prev = pos + uint32(i)
			if off > 5 {
				mask = 0
			} else {
				for range off {
					mask = mask & 0x77 << 1
				}
			}
			top := b[i+4]
			if !edge(top) || !allowed[mask>>1&7] || mask>>1 >= 0x10 {
				i++
				mask |= 1
				if edge(top) {
					mask |= 0x10
				}
				continue
			}
			src := binary.LittleEndian.Uint32(b[i+1:])
			var dest uint32
			for {
				dest = src - (pos + uint32(i) + 5)
				if mask == 0 {
					break
				}
				n := bit[mask>>1&7]
				if !edge(byte(dest >> (24 - n*8))) {
					break
				}
				src = dest ^ (1<<(32-n*8) - 1)
			}
			binary.LittleEndian.PutUint32(b[i+1:], dest&0x01ffffff|-(dest>>24&1)<<24)
			i += 5
			mask = 0
		}
		return i
	}
}

// wordFilter handles the filters of processors whose instructions are all of
// four bytes.
func wordFilter(f func(b []byte, pos uint32)) func([]byte, uint32) int {
	return func(b []byte, pos uint32) int {
		i := 0
		for ; i+4 <= len(b); i += 4 {
			f(b[i:i+4], pos+uint32(i))
		}
		return i
	}
}

func armFilter(b []byte, pos uint32) {
	if b[3] == 0xeb {
		v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		v = (v<<2 - (pos + 8)) >> 2
		b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16)
	}
}

func ppcFilter(b []byte, pos uint32) {
	if v := binary.BigEndian.Uint32(b); v&0xfc000003 == 0x48000001 {
		binary.BigEndian.PutUint32(b, 0x48000001|(v-pos)&0x03fffffc)
	}
}

func arm64Filter(b []byte, pos uint32) {
	v := binary.LittleEndian.Uint32(b)
	switch {
	case v>>26 == 0x25: // BL
		binary.LittleEndian.PutUint32(b, 0x94000000|(v-pos>>2)&0x03ffffff)
	case v&0x9f000000 == 0x90000000: // ADRP
		addr := v>>29&3 | v>>3&0x1ffffc
		if (addr+0x020000)&0x1c0000 != 0 {
			return
		}
		addr -= pos >> 12
		v &= 0x9000001f
		v |= addr & 3 << 29
		v |= addr & 0x3fffc << 3
		v |= -(addr & 0x020000) & 0xe00000
		binary.LittleEndian.PutUint32(b, v)
	}
}

// deltaReader undoes the delta filter.
type deltaReader struct {
	r    io.Reader
	hist [256]byte
	dist int
	pos  int
}

func (d *deltaReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	for i := range n {
		p[i] += d.hist[(d.pos-d.dist)&0xff]
		d.hist[d.pos&0xff] = p[i]
		d.pos++
	}
	return n, err
}

// bcj2Reader joins the four streams of the BCJ2 filter: code, the targets of
// calls and of jumps, and a range-coded stream that says which of them were
// taken out.
type bcj2Reader struct {
	main, call, jump, rc io.ByteReader
	left                 int64 // bytes to give
	pos                  uint32
	prev                 byte
	probs                [258]uint16
	rng, code            uint32
	started              bool
	pending              [4]byte
	have                 int
}

func (d *bcj2Reader) start() error {
	d.started = true
	d.rng = 0xffffffff
	for i := range d.probs {
		d.probs[i] = 1024
	}
	for range 5 {
		c, err := d.rc.ReadByte()
		if err != nil {
			return err
		}
		d.code = d.code<<8 | uint32(c)
	}
	return nil
}

func (d *bcj2Reader) Read(p []byte) (int, error) {
	if !d.started {
		if err := d.start(); err != nil {
			return 0, err
		}
	}
	n := 0
	for ; n < len(p) && d.left > 0; n++ {
		c, err := d.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		p[n] = c
		d.pos++
		d.left--
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (d *bcj2Reader) next() (byte, error) {
	if d.have > 0 {
		c := d.pending[4-d.have]
		d.have--
		return c, nil
	}
	b, err := d.main.ReadByte()
	if err != nil {
		return 0, err
	}
	var i int
	switch {
	case b == 0xe8:
		i = int(d.prev)
	case b == 0xe9:
		i = 256
	case d.prev == 0x0f && b&0xf0 == 0x80:
		i = 257
	default:
		d.prev = b
		return b, nil
	}
	one, err := d.bit(&d.probs[i])
	if err != nil {
		return 0, err
	}
	d.prev = b
	if one {
		from := d.jump
		if b == 0xe8 {
			from = d.call
		}
		var v uint32
		for range 4 {
			c, err := from.ReadByte()
			if err != nil {
				return 0, err
			}
			v = v<<8 | uint32(c)
		}
		v -= d.pos + 5
		binary.LittleEndian.PutUint32(d.pending[:], v)
		d.have, d.prev = 4, byte(v>>24)
	}
	return b, nil
}

func (d *bcj2Reader) bit(p *uint16) (one bool, err error) {
	bound := d.rng >> 11 * uint32(*p)
	if d.code < bound {
		d.rng = bound
		*p += (2048 - *p) >> 5
	} else {
		d.rng -= bound
		d.code -= bound
		*p -= *p >> 5
		one = true
	}
	if d.rng < 1<<24 {
		c, err := d.rc.ReadByte()
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		d.rng <<= 8
		d.code = d.code<<8 | uint32(c)
	}
	return one, nil
}
