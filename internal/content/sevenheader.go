package content

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"unicode/utf16"
)

// The 7z format as 7zFormat.txt of the 7-Zip SDK describes it. The header is
// read into memory whole, so that no count in it can ask for more than its own
// length.
const (
	sevenSig       = "7z\xbc\xaf\x27\x1c"
	sevenHeaderMax = 32 << 20
	sevenMaxCoders = 8
	sevenMaxIn     = 8
)

var errSeven = errors.New("7z: damaged header")

type sevenCoder struct {
	method string
	in     int // inputs; there is always one output
	props  []byte
}

type sevenFolder struct {
	coders    []sevenCoder
	bindIn    []int // in-stream of each bind pair
	bindOut   []int
	packed    []int // in-streams fed from the file
	sizes     []int64
	firstPack int
	members   []sevenMember
}

// sevenMember is one piece of a folder's output.
type sevenMember struct {
	name   string
	size   int64
	crc    uint32
	hasCRC bool
}

type sevenArchive struct {
	packPos   int64 // from the end of the signature header
	packSizes []int64
	folders   []sevenFolder
}

// sevenReader reads header bytes; once it failed every answer is zero.
type sevenReader struct {
	b      []byte
	failed bool
}

func (r *sevenReader) byte() byte {
	if len(r.b) == 0 {
		r.failed = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *sevenReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.failed = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// number reads a 7z number: the leading ones of the first byte count the bytes
// that follow.
func (r *sevenReader) number() uint64 {
	c := r.byte()
	n := bits.LeadingZeros8(^c)
	var v uint64
	for i := range n {
		v |= uint64(r.byte()) << (8 * i)
	}
	if n < 7 {
		v |= uint64(c&(1<<(7-n)-1)) << (8 * n)
	}
	return v
}

// count reads the number of things that follow; each takes at least one bit.
func (r *sevenReader) count() int {
	n := r.number()
	if n > uint64(len(r.b))*8 {
		r.failed = true
		return 0
	}
	return int(n)
}

// size reads a number of bytes.
func (r *sevenReader) size() int64 {
	n := r.number()
	if n > 1<<62 {
		r.failed = true
		return 0
	}
	return int64(n)
}

func (r *sevenReader) bools(n int) []bool {
	out := make([]bool, n)
	var c byte
	for i := range out {
		if i%8 == 0 {
			c = r.byte()
		}
		out[i] = c&0x80 != 0
		c <<= 1
	}
	return out
}

// digests reads optional checksums; undefined ones are not in the map.
func (r *sevenReader) digests(n int) (crc []uint32, has []bool) {
	if n > len(r.b)*8 {
		r.failed = true
		return nil, nil
	}
	if r.byte() == 0 {
		has = r.bools(n)
	} else {
		has = make([]bool, n)
		for i := range has {
			has[i] = true
		}
	}
	crc = make([]uint32, n)
	for i := range crc {
		if has[i] {
			if b := r.take(4); b != nil {
				crc[i] = binary.LittleEndian.Uint32(b)
			}
		}
	}
	return crc, has
}

// streams reads PackInfo, UnpackInfo and SubStreamsInfo up to kEnd.
func (r *sevenReader) streams(a *sevenArchive) {
	subs := false
	for !r.failed {
		switch r.byte() {
		case 0:
			if !subs {
				r.wholeFolders(a)
			}
			return
		case 6:
			r.packInfo(a)
		case 7:
			r.unpackInfo(a)
		case 8:
			r.subStreams(a)
			subs = true
		default:
			r.failed = true
		}
	}
}

func (r *sevenReader) packInfo(a *sevenArchive) {
	a.packPos = r.size()
	n := r.count()
	for !r.failed {
		switch r.byte() {
		case 0:
			return
		case 9:
			a.packSizes = make([]int64, n)
			for i := range a.packSizes {
				a.packSizes[i] = r.size()
			}
		case 10:
			r.digests(n)
		default:
			r.failed = true
		}
	}
}

func (r *sevenReader) unpackInfo(a *sevenArchive) {
	if r.byte() != 11 {
		r.failed = true
		return
	}
	n := r.count()
	if r.byte() != 0 { // definitions elsewhere
		r.failed = true
		return
	}
	pack := 0
	for range n {
		f := r.folder()
		if r.failed {
			return
		}
		f.firstPack = pack
		pack += len(f.packed)
		a.folders = append(a.folders, f)
	}
	if r.byte() != 12 {
		r.failed = true
	}
	for i := range a.folders {
		f := &a.folders[i]
		f.sizes = make([]int64, len(f.coders)) // every coder has one output
		for j := range f.sizes {
			f.sizes[j] = r.size()
		}
	}
	for !r.failed {
		switch r.byte() {
		case 0:
			return
		case 10:
			r.folderDigests(a)
		default:
			r.failed = true
		}
	}
}

func (r *sevenReader) folderDigests(a *sevenArchive) {
	crc, has := r.digests(len(a.folders))
	for i := range a.folders {
		if !r.failed && has[i] {
			a.folders[i].members = []sevenMember{{crc: crc[i], hasCRC: true}}
		}
	}
}

func (r *sevenReader) folder() (f sevenFolder) {
	n := r.number()
	if n == 0 || n > sevenMaxCoders {
		r.failed = true
		return f
	}
	ins := 0
	for range n {
		c := r.coder()
		ins += c.in
		f.coders = append(f.coders, c)
	}
	for range n - 1 {
		in, out := r.number(), r.number()
		if in >= uint64(ins) || out >= n {
			r.failed = true
			return f
		}
		f.bindIn, f.bindOut = append(f.bindIn, int(in)), append(f.bindOut, int(out))
	}
	r.packedStreams(&f, ins)
	return f
}

func (r *sevenReader) coder() sevenCoder {
	c := sevenCoder{in: 1}
	flags := r.byte()
	c.method = string(r.take(uint64(flags & 15)))
	if flags&0x10 != 0 {
		in, out := r.number(), r.number()
		if in > sevenMaxIn || out != 1 { // no coder in use has more
			r.failed = true
			return c
		}
		c.in = int(in)
	}
	if flags&0x20 != 0 {
		c.props = r.take(r.number())
	}
	if flags&0x80 != 0 {
		r.failed = true
	}
	return c
}

// packedStreams reads which of the inputs are fed from the file.
func (r *sevenReader) packedStreams(f *sevenFolder, ins int) {
	n := ins - len(f.bindIn)
	if n < 1 {
		r.failed = true
		return
	}
	if n > 1 {
		for range n {
			v := r.number()
			if v >= uint64(ins) {
				r.failed = true
				return
			}
			f.packed = append(f.packed, int(v))
		}
		return
	}
	for i := range ins {
		if f.bound(i) < 0 {
			f.packed = append(f.packed, i)
			return
		}
	}
}

// bound returns the out-stream that feeds an in-stream, or -1.
func (f *sevenFolder) bound(in int) int {
	for i, v := range f.bindIn {
		if v == in {
			return f.bindOut[i]
		}
	}
	return -1
}

// main is the out-stream that nothing takes in, or -1.
func (f *sevenFolder) main() int {
	for o := range f.sizes {
		used := false
		for _, v := range f.bindOut {
			used = used || v == o
		}
		if !used {
			return o
		}
	}
	return -1
}

func (f *sevenFolder) size() int64 {
	if o := f.main(); o >= 0 {
		return f.sizes[o]
	}
	return 0
}

// wholeFolders makes one member of each folder.
func (r *sevenReader) wholeFolders(a *sevenArchive) {
	for i := range a.folders {
		f := &a.folders[i]
		if len(f.members) == 0 {
			f.members = make([]sevenMember, 1)
		}
		f.members[0].size = f.size()
	}
}

func (r *sevenReader) subStreams(a *sevenArchive) {
	id := r.byte()
	if id == 13 {
		for i := range a.folders {
			f := &a.folders[i]
			n := r.count()
			if n != 1 || len(f.members) != 1 {
				f.members = make([]sevenMember, n)
			}
		}
		id = r.byte()
	} else {
		r.wholeFolders(a)
	}
	for i := range a.folders {
		f := &a.folders[i]
		rest := f.size()
		for j := range f.members {
			if j == len(f.members)-1 {
				f.members[j].size = rest
				break
			}
			if id == 9 {
				f.members[j].size = r.size()
			}
			if rest -= f.members[j].size; rest < 0 {
				r.failed = true
				return
			}
		}
	}
	if id == 9 {
		id = r.byte()
	}
	for !r.failed && id != 0 {
		if id != 10 {
			r.failed = true
			return
		}
		r.subDigests(a)
		id = r.byte()
	}
}

func (r *sevenReader) subDigests(a *sevenArchive) {
	var open []*sevenMember
	for i := range a.folders {
		f := &a.folders[i]
		if len(f.members) == 1 && f.members[0].hasCRC {
			continue
		}
		for j := range f.members {
			open = append(open, &f.members[j])
		}
	}
	crc, has := r.digests(len(open))
	for i, m := range open {
		if !r.failed {
			m.crc, m.hasCRC = crc[i], has[i]
		}
	}
}

// header reads the main header: what follows its first byte, kHeader.
func (r *sevenReader) header(a *sevenArchive) {
	for !r.failed {
		switch r.byte() {
		case 0:
			return
		case 2:
			for !r.failed && r.byte() != 0 {
				r.take(r.number())
			}
		case 3: // additional streams: no writer makes them
			r.streams(&sevenArchive{})
		case 4:
			r.streams(a)
		case 5:
			r.files(a)
		default:
			r.failed = true
		}
	}
}

func (r *sevenReader) files(a *sevenArchive) {
	n := r.count()
	var names []string
	empty := make([]bool, n)
	for !r.failed {
		id := r.byte()
		if id == 0 {
			break
		}
		p := sevenReader{b: r.take(r.number())}
		switch id {
		case 14:
			empty = p.bools(n)
		case 17:
			if p.byte() != 0 {
				r.failed = true
			}
			names = utf16Names(p.b, n)
		}
		r.failed = r.failed || p.failed
	}
	a.assign(names, empty)
}

func utf16Names(b []byte, limit int) (names []string) {
	var cur []uint16
	for ; len(b) >= 2 && len(names) < limit; b = b[2:] {
		if c := binary.LittleEndian.Uint16(b); c != 0 {
			cur = append(cur, c)
			continue
		}
		names = append(names, string(utf16.Decode(cur)))
		cur = cur[:0]
	}
	return names
}

// assign gives the names of the files with content to the folders' members, in
// order.
func (a *sevenArchive) assign(names []string, empty []bool) {
	folder, member := 0, 0
	for i, name := range names {
		if i < len(empty) && empty[i] {
			continue
		}
		for folder < len(a.folders) && member >= len(a.folders[folder].members) {
			folder, member = folder+1, 0
		}
		if folder >= len(a.folders) {
			return
		}
		a.folders[folder].members[member].name = name
		member++
	}
}
