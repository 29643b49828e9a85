package content

import (
	"encoding/binary"
)

// raw starts an uncompressed block: the bits up to the next 16-bit word are
// skipped, then three new repeated offsets and the bytes follow.
func (d *lzxDecoder) raw() error {
	if d.have == 0 {
		if err := d.fill(16); err != nil {
			return err
		}
	}
	if d.have > 16 { // a whole word was read ahead
		return errLZX
	}
	d.acc, d.have = 0, 0
	if len(d.in) < 12 {
		return errLZX
	}
	for i := range d.r {
		d.r[i] = int(binary.LittleEndian.Uint32(d.in[4*i:]))
	}
	d.in = d.in[12:]
	d.padded = d.left&1 == 1
	return nil
}

// run decodes n bytes of the current block; a match may reach up to room.
func (d *lzxDecoder) run(n, room int) error {
	if d.kind == 3 {
		if len(d.in) < n {
			return errLZX
		}
		for _, c := range d.in[:n] {
			d.put(c)
		}
		d.in = d.in[n:]
		d.left -= n
		return nil
	}
	end := d.total + n
	for d.total < end {
		before := d.total
		s, err := d.main.decode(d)
		if err != nil {
			return err
		}
		if s < 256 {
			d.put(byte(s))
		} else if err := d.match(s-256, room); err != nil {
			return err
		}
		d.left -= d.total - before
		room -= d.total - before
		if d.left < 0 || room < 0 {
			return errLZX
		}
	}
	return nil
}

func (d *lzxDecoder) put(c byte) {
	d.win[d.pos] = c
	d.pos = (d.pos + 1) & (len(d.win) - 1)
	d.total++
}

func (d *lzxDecoder) match(s, room int) error {
	n, slot := s&7, s>>3
	if n == 7 {
		m, err := d.length.decode(d)
		if err != nil {
			return err
		}
		n += m
	}
	n += 2
	off, err := d.offset(slot)
	if err != nil {
		return err
	}
	if off <= 0 || off > len(d.win) || off > d.total || n > room {
		return errLZX
	}
	for range n {
		d.put(d.win[(d.pos-off)&(len(d.win)-1)])
	}
	return nil
}

// offset decodes a match offset and keeps the three last ones.
func (d *lzxDecoder) offset(slot int) (int, error) {
	switch slot {
	case 0:
		return d.r[0], nil
	case 1:
		d.r[0], d.r[1] = d.r[1], d.r[0]
		return d.r[0], nil
	case 2:
		d.r[0], d.r[2] = d.r[2], d.r[0]
		return d.r[0], nil
	}
	extra := uint(17)
	if slot < 36 {
		extra = uint(slot/2 - 1)
	}
	base := lzxBase(slot)
	off := base - 2
	if d.kind == 2 && extra >= 3 {
		v, err := d.bits(extra - 3)
		if err != nil {
			return 0, err
		}
		a, err := d.aligned.decode(d)
		if err != nil {
			return 0, err
		}
		off += v<<3 + a
	} else {
		v, err := d.bits(extra)
		if err != nil {
			return 0, err
		}
		off += v
	}
	d.r[2], d.r[1], d.r[0] = d.r[1], d.r[0], off
	return off, nil
}

// lzxBase is the first position of a slot.
func lzxBase(slot int) int {
	base := 0
	for i := range slot {
		extra := 17
		switch {
		case i < 4:
			extra = 0
		case i < 36:
			extra = i/2 - 1
		}
		base += 1 << extra
	}
	return base
}

// calls turns the absolute targets of x86 calls back into relative ones, in the
// first 2^30 bytes.
func (d *lzxDecoder) calls(start int) {
	b := d.frame
	if d.e8size == 0 || start >= 1<<30 || len(b) <= 10 {
		return
	}
	size := int32(d.e8size)
	for i := 0; i < len(b)-10; i++ {
		if b[i] != 0xe8 {
			continue
		}
		pos := int32(start + i)
		v := int32(binary.LittleEndian.Uint32(b[i+1:]))
		if v >= -pos && v < size {
			if v >= 0 {
				v -= pos
			} else {
				v += size
			}
			binary.LittleEndian.PutUint32(b[i+1:], uint32(v))
		}
		i += 4
	}
}
