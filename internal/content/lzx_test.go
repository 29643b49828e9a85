package content

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// lzxWriter is a simple LZX encoder: fixed code lengths, greedy matches.
type lzxWriter struct {
	out   []byte
	acc   uint64
	have  uint
	slots int
	main  []lzxCode
	lens  []lzxCode
	prev  map[string][]byte // lengths sent before, by tree
}

type lzxCode struct {
	code uint64
	n    uint
}

func (w *lzxWriter) bits(v uint64, n uint) {
	for n > 0 {
		k := min(n, 16-w.have)
		w.acc = w.acc<<k | v>>(n-k)&(1<<k-1)
		w.have += k
		n -= k
		if w.have == 16 {
			w.out = binary.LittleEndian.AppendUint16(w.out, uint16(w.acc))
			w.acc, w.have = 0, 0
		}
	}
}

func (w *lzxWriter) align() {
	if w.have > 0 {
		w.bits(0, 16-w.have)
	}
}

// evenLengths makes a complete code of n symbols.
func evenLengths(n int) []byte {
	l := 1
	for 1<<l < n {
		l++
	}
	short := 1<<l - n // so many symbols have one bit less
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(l)
		if i < short {
			out[i]--
		}
	}
	return out
}

func canonical(lens []byte) []lzxCode {
	out := make([]lzxCode, len(lens))
	code := uint64(0)
	for l := byte(1); l <= 16; l++ {
		for i, x := range lens {
			if x == l {
				out[i] = lzxCode{code, uint(l)}
				code++
			}
		}
		code <<= 1
	}
	return out
}

func (w *lzxWriter) put(c lzxCode) { w.bits(c.code, c.n) }

// tree sends lengths as differences to those sent before under the same name.
func (w *lzxWriter) tree(name string, lens []byte) {
	pre := evenLengths(20)
	for _, l := range pre {
		w.bits(uint64(l), 4)
	}
	codes := canonical(pre)
	old := w.prev[name]
	if old == nil {
		old = make([]byte, len(lens))
	}
	for i := 0; i < len(lens); i++ {
		d := (int(old[i]) + 17 - int(lens[i])) % 17
		same := i+5 <= len(lens)
		for j := i; same && j < i+5; j++ {
			same = lens[j] == lens[i]
		}
		if same { // symbol 19: five times the same length
			w.put(codes[19])
			w.bits(1, 1)
			w.put(codes[d])
			i += 4
			continue
		}
		w.put(codes[d])
	}
	w.prev[name] = bytes.Clone(lens)
}

// header starts a verbatim (1) or aligned (2) block of size bytes.
func (w *lzxWriter) header(kind, size int) {
	w.bits(uint64(kind), 3)
	w.bits(uint64(size), 24)
	if kind == 2 {
		for range 8 {
			w.bits(3, 3)
		}
	}
	main, lens := evenLengths(256+8*w.slots), evenLengths(249)
	w.main, w.lens = canonical(main), canonical(lens)
	w.tree("literals", main[:256])
	w.tree("matches", main[256:])
	w.tree("lengths", lens)
}

// makeLZX packs b into a cabinet: blocks of blockSize bytes, of changing kinds.
func makeLZX(b []byte, bits uint, blockSize int, calls bool) []byte {
	w := &lzxWriter{slots: []int{30, 32, 34, 36, 38, 42, 50}[bits-15], prev: map[string][]byte{}}
	if calls {
		w.bits(1, 1)
		w.bits(uint64(len(b)), 32)
	} else {
		w.bits(0, 1)
	}
	var data []byte
	blocks, kind, left := 0, 0, 0
	last := map[string]int{}
	r := [3]int{1, 1, 1}
	for start := 0; start < len(b); blocks++ {
		end := min(start+32768, len(b))
		for i := start; i < end; {
			if left == 0 {
				kind, left = kind%3+1, min(blockSize, len(b)-i)
				if kind == 3 {
					left = min(left, end-i)
					w.raw(b[i:i+left], r)
					i += left
					left = 0
					continue
				}
				w.header(kind, left)
			}
			n := w.symbol(b, i, min(end-i, left), kind, last, &r, 1<<bits-3)
			i += n
			left -= n
		}
		w.align()
		data = binary.LittleEndian.AppendUint32(data, 0)
		data = binary.LittleEndian.AppendUint16(data, uint16(len(w.out)))
		data = binary.LittleEndian.AppendUint16(data, uint16(end-start))
		data = append(data, w.out...)
		w.out = nil
		start = end
	}
	return cabAround(len(b), blocks, 3|uint16(bits)<<8, data)
}

func (w *lzxWriter) raw(b []byte, r [3]int) {
	w.bits(3, 3)
	w.bits(uint64(len(b)), 24)
	w.bits(0, 16-w.have) // one to sixteen bits
	for _, x := range r {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(x))
	}
	w.out = append(w.out, b...)
	if len(b)%2 == 1 {
		w.out = append(w.out, 0)
	}
}

func (w *lzxWriter) symbol(b []byte, i, room, kind int, last map[string]int, r *[3]int, far int) int {
	if room >= 4 {
		key := string(b[i : i+4])
		j, ok := last[key]
		last[key] = i
		if ok && i-j <= far {
			n := 0
			for n < min(room, 257) && b[j+n] == b[i+n] {
				n++
			}
			w.match(i-j, n, kind, r)
			return n
		}
	}
	w.put(w.main[b[i]])
	return 1
}

func (w *lzxWriter) match(off, n, kind int, r *[3]int) {
	slot, extra := 0, uint(0)
	formatted := off + 2
	switch off {
	case r[0]:
	case r[1]:
		slot = 1
		r[0], r[1] = r[1], r[0]
	case r[2]:
		slot = 2
		r[0], r[2] = r[2], r[0]
	default:
		for slot = 3; lzxBase(slot+1) <= formatted; slot++ {
		}
		if extra = uint(17); slot < 36 {
			extra = uint(slot/2 - 1)
		}
		r[2], r[1], r[0] = r[1], r[0], off
	}
	w.put(w.main[256+slot*8+min(n-2, 7)])
	if n-2 >= 7 {
		w.put(w.lens[n-9])
	}
	if slot < 3 {
		return
	}
	v := uint64(formatted - lzxBase(slot))
	if kind == 2 && extra >= 3 {
		w.bits(v>>3, extra-3)
		w.bits(v&7, 3)
	} else {
		w.bits(v, extra)
	}
}

// TestLZXAgreesWithCabextract compares with another decoder.
func TestLZXAgreesWithCabextract(t *testing.T) {
	program := readProgram(t)[:200_000]
	mixed := append(append(bytes.Clone(program[:50_000]), strings.Repeat("words and words. ", 5000)...), randomBytes(1, 40_001)...)
	calls := bytes.Repeat([]byte("\xe8\x10\x20\x00\x00\x90abcdefgh"), 5000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i, data := range [][]byte{eicar(), program, mixed, calls, bytes.Repeat([]byte{0xe8}, 70_000)} {
		for _, bits := range []uint{15, 16, 18, 21} {
			for _, on := range []bool{false, true} {
				blockSize := 1000 + rnd.IntN(100_000)
				t.Run(fmt.Sprintf("%d window %d calls %v", i, bits, on), func(t *testing.T) {
					cab := makeLZX(data, bits, blockSize, on)
					want := packWith(t, "a.bin", map[string][]byte{"x.cab": cab}, "cabextract", "-q", "x.cab")
					if !on && !bytes.Equal(want, data) {
						t.Fatal("cabextract reads something else than was written")
					}
					r := walkBytes(t, cab)
					if !r.has(want) || r.err != nil {
						t.Errorf("block size %d: %v\n%s", blockSize, r.err, r.paths())
					}
				})
			}
		}
	}
}
