package content

import (
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"

	"sluice/internal/tx"
)

// The compound file of [MS-CFB]. The directory is read in file order, not by
// its tree: entries that no tree reaches are found as well, and a tree in a
// circle does no harm.

const (
	cfbEnd     = 0xfffffffa // and above: no sector
	cfbMaxDirs = 1 << 16
)

type cfbFile struct {
	c        tx.Content
	sector   int64
	mini     int64
	cutoff   int64
	fat      []uint32
	miniFAT  []uint32
	root     []int64 // sectors of the mini stream
	entries  []cfbEntry
	damage   error
	maxChain int
}

type cfbEntry struct {
	name  string
	kind  byte // 1 storage, 2 stream, 5 root
	start uint32
	size  int64
	dir   int // index of the entry
	child uint32
	left  uint32
	right uint32
}

var errCFB = errors.New("compound file: damaged")

func readCFB(c tx.Content) (*cfbFile, error) {
	h := readAt(c, 0, 512)
	if len(h) < 512 {
		return nil, errCFB
	}
	shift, miniShift := binary.LittleEndian.Uint16(h[30:]), binary.LittleEndian.Uint16(h[32:])
	if shift != 9 && shift != 12 || miniShift != 6 {
		return nil, errCFB
	}
	f := &cfbFile{c: c, sector: 1 << shift, mini: 1 << miniShift, cutoff: int64(binary.LittleEndian.Uint32(h[56:]))}
	f.maxChain = int(c.Size()/f.sector) + 2
	f.readFAT(h)
	f.miniFAT = f.words(f.chain(binary.LittleEndian.Uint32(h[60:]), f.maxChain))
	f.readDir(binary.LittleEndian.Uint32(h[48:]))
	if len(f.entries) == 0 {
		return nil, errCFB
	}
	return f, nil
}

func (f *cfbFile) at(sector uint32) int64 { return (int64(sector) + 1) * f.sector }

// readFAT reads the sectors that the header and the DIFAT chain name.
func (f *cfbFile) readFAT(h []byte) {
	var list []uint32
	for i := 76; i < 512; i += 4 {
		list = append(list, binary.LittleEndian.Uint32(h[i:]))
	}
	next := binary.LittleEndian.Uint32(h[68:])
	for n := 0; next < cfbEnd && n < f.maxChain; n++ {
		b := readAt(f.c, f.at(next), f.sector)
		if int64(len(b)) < f.sector {
			f.damage = errCFB
			break
		}
		for i := 0; i+8 <= len(b); i += 4 {
			list = append(list, binary.LittleEndian.Uint32(b[i:]))
		}
		next = binary.LittleEndian.Uint32(b[len(b)-4:])
	}
	var sectors []int64
	for _, s := range list {
		if s < cfbEnd && len(sectors) < f.maxChain {
			sectors = append(sectors, int64(s))
		}
	}
	f.fat = f.words(sectors)
}

// words reads sectors as little-endian numbers.
func (f *cfbFile) words(sectors []int64) []uint32 {
	var out []uint32
	for _, s := range sectors {
		b := readAt(f.c, (s+1)*f.sector, f.sector)
		for i := 0; i+4 <= len(b); i += 4 {
			out = append(out, binary.LittleEndian.Uint32(b[i:]))
		}
	}
	return out
}

// chain follows the FAT. It ends after limit sectors or at a circle's length.
func (f *cfbFile) chain(start uint32, limit int) []int64 {
	var out []int64
	for s := start; s < cfbEnd; {
		if len(out) >= min(limit, f.maxChain) {
			break
		}
		out = append(out, int64(s))
		if int(s) >= len(f.fat) {
			f.damage = errCFB
			break
		}
		s = f.fat[s]
	}
	return out
}

func (f *cfbFile) readDir(start uint32) {
	for _, s := range f.chain(start, cfbMaxDirs) {
		b := readAt(f.c, (s+1)*f.sector, f.sector)
		for ; len(b) >= 128; b = b[128:] {
			f.readEntry(b[:128])
		}
	}
	if len(f.entries) > 0 {
		e := f.entries[0]
		f.root = f.chain(e.start, f.maxChain)
	}
}

func (f *cfbFile) readEntry(b []byte) {
	n := int(binary.LittleEndian.Uint16(b[64:]))
	e := cfbEntry{
		kind: b[66], start: binary.LittleEndian.Uint32(b[116:]), size: int64(binary.LittleEndian.Uint64(b[120:]) & (1<<62 - 1)), dir: len(f.entries),
		left: binary.LittleEndian.Uint32(b[68:]), right: binary.LittleEndian.Uint32(b[72:]), child: binary.LittleEndian.Uint32(b[76:]),
	}
	if f.sector == 512 {
		e.size &= 1<<32 - 1 // the upper half may be garbage ([MS-CFB] 2.6.1)
	}
	if n >= 2 && n <= 64 {
		u := make([]uint16, n/2-1)
		for i := range u {
			u[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		e.name = string(utf16.Decode(u))
	}
	f.entries = append(f.entries, e)
}

// cfbStream reads one stream, sector by sector.
type cfbStream struct {
	f       *cfbFile
	sectors []int64
	mini    bool
	pos     int64
	size    int64
	short   bool // the chain ends before the size
}

func (f *cfbFile) open(e *cfbEntry) *cfbStream {
	s := &cfbStream{f: f, size: e.size}
	if e.size >= f.cutoff || e.kind == 5 {
		s.sectors = f.chain(e.start, int(min(e.size/f.sector+1, int64(f.maxChain))))
		s.short = int64(len(s.sectors))*f.sector < e.size
		return s
	}
	s.mini = true
	for m := e.start; m < cfbEnd && int64(len(s.sectors))*f.mini < e.size; {
		s.sectors = append(s.sectors, int64(m))
		if int(m) >= len(f.miniFAT) {
			break
		}
		m = f.miniFAT[m]
	}
	s.short = int64(len(s.sectors))*f.mini < e.size
	return s
}

func (s *cfbStream) Read(p []byte) (int, error) {
	if s.pos >= s.size {
		return 0, io.EOF
	}
	unit := s.f.sector
	if s.mini {
		unit = s.f.mini
	}
	i := s.pos / unit
	if i >= int64(len(s.sectors)) {
		return 0, io.ErrUnexpectedEOF
	}
	in := s.pos % unit
	n := min(int64(len(p)), unit-in, s.size-s.pos)
	at := (s.sectors[i] + 1) * unit
	if s.mini {
		off := s.sectors[i] * unit
		j := off / s.f.sector
		if j >= int64(len(s.f.root)) {
			return 0, io.ErrUnexpectedEOF
		}
		at = (s.f.root[j]+1)*s.f.sector + off%s.f.sector
	}
	b := readAt(s.f.c, at+in, n)
	if len(b) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	s.pos += int64(copy(p, b))
	return len(b), nil
}

// head returns the first n bytes of a stream, or fewer.
func (f *cfbFile) head(e *cfbEntry, n int64) []byte {
	b := make([]byte, min(n, e.size))
	k, _ := io.ReadFull(f.open(e), b)
	return b[:k]
}
