package content

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"sluice/internal/tx"
)

// Sizes and marks of APPNOTE.TXT 6.3.10, section 4.3.
const (
	eocdLen     = 22
	eocd64Len   = 56
	locatorLen  = 20
	centralLen  = 46
	localLen    = 30
	eocdSearch  = eocdLen + 1<<16
	maxEOCDs    = 8
	maxZipNames = 64 << 20 // bytes of central directory that are read
)

var (
	sigEOCD    = []byte("PK\x05\x06")
	sigLocal   = []byte("PK\x03\x04")
	sigCentral = []byte("PK\x01\x02")
)

// zipEntry is one view of one member: what a central directory or a local
// header says. Where they disagree there are two.
type zipEntry struct {
	name         string
	flags        uint16
	method       uint16
	crc          uint32
	csize, usize int64 // -1 when unknown: a local header with a data descriptor
	local        int64 // offset of the local header
	data         int64 // offset of the packed bytes
	hidden       bool  // no central directory names it, or only on a doubtful reading
}

func (e *zipEntry) encrypted() bool { return e.flags&1 != 0 || e.method == 99 }

// zipDir is all views of all members of one ZIP.
type zipDir struct {
	entries []zipEntry
	damage  error // the directory cannot be read whole
	locked  bool  // the directory itself is encrypted
	over    bool  // more members than the limit
	doubt   bool  // what is read now is a reading that few programs share
	central int   // entries found in central directories
}

// hasEOCD tells whether an end of central directory record stands in the last
// 64 KiB.
func hasEOCD(c tx.Content) bool {
	from := max(c.Size()-eocdSearch, 0)
	return bytes.Contains(readAt(c, from, c.Size()-from), sigEOCD)
}

// readZipDir reads every central directory that a receiver may find, then the
// local headers they point to, then looks for local headers in the gaps.
func (k *walk) readZipDir(c tx.Content) (*zipDir, error) {
	d := &zipDir{}
	from := max(c.Size()-eocdSearch, 0)
	tail := readAt(c, from, c.Size()-from)
	for end, n := len(tail), 0; n < maxEOCDs; n++ {
		i := bytes.LastIndex(tail[:end], sigEOCD)
		if i < 0 {
			break
		}
		if i+eocdLen <= len(tail) && !d.covers(c, from+int64(i)) {
			d.readEnd(c, from+int64(i), tail[i:i+eocdLen], k.lim.Members)
		}
		end = i
	}
	if d.central == 0 && d.damage == nil && string(readAt(c, 0, 4)) == string(sigLocal) {
		if err := k.searchEnds(c, d); err != nil {
			return nil, err
		}
	}
	d.compact()
	d.readLocals(c)
	if err := k.readGaps(c, d); err != nil {
		return nil, err
	}
	if d.central == 0 && d.damage == nil && string(readAt(c, 0, 4)) == string(sigLocal) {
		d.damage = errors.New("zip: there is no central directory")
	}
	return d, nil
}

// searchEnds looks for end records anywhere, for archives with much behind
// them.
func (k *walk) searchEnds(c tx.Content, d *zipDir) error {
	for from, n := int64(0), 0; n < maxEOCDs; n++ {
		at, err := k.find(c, from, c.Size(), sigEOCD)
		if err != nil || at < 0 {
			return err
		}
		from = at + 1
		if e := readAt(c, at, eocdLen); len(e) == eocdLen {
			d.readEnd(c, at, e, k.lim.Members)
		}
	}
	return nil
}

// covers tells whether an end record at that offset is part of a known member,
// such as a ZIP that is stored in this one: it is looked into as a member.
func (d *zipDir) covers(c tx.Content, at int64) bool {
	for i := range d.entries {
		e := &d.entries[i]
		if e.local < at && at < e.local+e.csize+localLen+2<<16 {
			if l, ok := parseLocal(c, e.local); ok && at >= l.data && at < l.data+e.csize {
				return true
			}
		}
	}
	return false
}

// zipEnd is what an end record, or its zip64 form, says of a directory.
type zipEnd struct {
	count, size, off uint64
	end              int64 // offset of the record, where the directory ends
}

// parseEnd reads the end record at that offset.
func parseEnd(c tx.Content, at int64, e []byte) zipEnd {
	z := zipEnd{uint64(binary.LittleEndian.Uint16(e[10:])), uint64(binary.LittleEndian.Uint32(e[12:])), uint64(binary.LittleEndian.Uint32(e[16:])), at}
	loc := readAt(c, at-locatorLen, locatorLen)
	if len(loc) < locatorLen || string(loc[:4]) != "PK\x06\x07" {
		return z
	}
	named := int64(binary.LittleEndian.Uint64(loc[8:]) & (1<<62 - 1))
	for _, p := range [...]int64{named, at - locatorLen - eocd64Len} {
		if r := readAt(c, p, eocd64Len); len(r) == eocd64Len && string(r[:4]) == "PK\x06\x06" {
			return zipEnd{binary.LittleEndian.Uint64(r[32:]), binary.LittleEndian.Uint64(r[40:]), binary.LittleEndian.Uint64(r[48:]), p}
		}
	}
	return z
}

// readEnd reads the directory that one end record points to; in prepended data
// offsets may count from the start of the file or of the archive.
func (d *zipDir) readEnd(c tx.Content, at int64, e []byte, limit int) {
	z := parseEnd(c, at, e)
	if z.count == 0 && z.size == 0 {
		return
	}
	z.size = min(z.size, uint64(z.end))
	z.off = min(z.off, uint64(c.Size()))
	starts := []int64{z.end - int64(z.size)}
	if int64(z.off) != starts[0] {
		starts = append(starts, int64(z.off))
	}
	read := false
	for _, s := range starts {
		if string(readAt(c, s, 4)) != string(sigCentral) {
			continue
		}
		read = true
		base := s - int64(z.off)
		if base != 0 && !startsLocal(c, s, base) && startsLocal(c, s, 0) {
			base = 0 // something else stands between, nothing before
		}
		d.readCentral(c, s, base, z, limit)
		if base != 0 { // a reader that does not see the prepended data
			d.doubt = true
			d.readCentral(c, s, 0, z, limit)
			d.doubt = false
		}
	}
	if !read && d.damage == nil {
		d.damage = errors.New("zip: an end record points to no directory")
	}
}

// startsLocal tells whether the first entry of the directory at that offset points
// to a local header when offsets count from base.
func startsLocal(c tx.Content, dir, base int64) bool {
	e := readAt(c, dir, centralLen)
	if len(e) < centralLen {
		return false
	}
	_, ok := parseLocal(c, base+int64(binary.LittleEndian.Uint32(e[42:])))
	return ok
}

func (d *zipDir) readCentral(c tx.Content, from, base int64, z zipEnd, limit int) {
	b := readAt(c, from, min(z.end-from, maxZipNames))
	n := uint64(0)
	for len(b) >= centralLen && string(b[:4]) == string(sigCentral) {
		if len(d.entries) > 2*limit {
			d.over = true
			return
		}
		size, ok := d.readEntry(c, b, base)
		if !ok {
			break
		}
		n++
		b = b[min(len(b), size):]
	}
	// A 16-bit count wraps in archives of writers without zip64.
	if n < z.count && n&0xffff != z.count {
		d.damage = fmt.Errorf("zip: the directory holds %d of %d members", n, z.count)
		d.locked = d.locked || n == 0
	}
}

// readEntry reads the entry that b starts with and returns its length.
func (d *zipDir) readEntry(c tx.Content, b []byte, base int64) (size int, ok bool) {
	nameLen, extraLen, commentLen := int(binary.LittleEndian.Uint16(b[28:])), int(binary.LittleEndian.Uint16(b[30:])), int(binary.LittleEndian.Uint16(b[32:]))
	if len(b) < centralLen+nameLen+extraLen {
		return 0, false
	}
	e := zipEntry{
		name:   string(b[centralLen : centralLen+nameLen]),
		flags:  binary.LittleEndian.Uint16(b[8:]),
		method: binary.LittleEndian.Uint16(b[10:]),
		crc:    binary.LittleEndian.Uint32(b[16:]),
		csize:  int64(binary.LittleEndian.Uint32(b[20:])),
		usize:  int64(binary.LittleEndian.Uint32(b[24:])),
		local:  int64(binary.LittleEndian.Uint32(b[42:])),
		hidden: d.doubt,
	}
	e.zip64(b[centralLen+nameLen:centralLen+nameLen+extraLen], true)
	e.local += base
	switch {
	case e.local >= 0 && e.local < c.Size():
		d.entries = append(d.entries, e)
		if !d.doubt {
			d.central++
		}
	case !d.doubt:
		d.damage = errors.New("zip: a member lies outside the file")
	}
	d.locked = d.locked || e.flags&(1<<13) != 0
	return centralLen + nameLen + extraLen + commentLen, true
}

// zip64 takes the sizes from the extended information field (section 4.5.3).
func (e *zipEntry) zip64(extra []byte, central bool) {
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			return
		}
		if id == 1 {
			f := extra[:n]
			take := func(v *int64) {
				if *v == 1<<32-1 && len(f) >= 8 {
					*v = int64(binary.LittleEndian.Uint64(f) & (1<<62 - 1))
					f = f[8:]
				}
			}
			take(&e.usize)
			take(&e.csize)
			if central {
				take(&e.local)
			}
		}
		extra = extra[n:]
	}
}

// compact drops equal entries that several directories repeat.
func (d *zipDir) compact() {
	slices.SortStableFunc(d.entries, func(a, b zipEntry) int {
		return cmp.Or(cmp.Compare(a.local, b.local), cmp.Compare(a.name, b.name), cmp.Compare(a.method, b.method), cmp.Compare(a.csize, b.csize))
	})
	d.entries = slices.Compact(d.entries)
}

// parseLocal reads the local header at off.
func parseLocal(c tx.Content, off int64) (zipEntry, bool) {
	b := readAt(c, off, localLen)
	if len(b) < localLen || string(b[:4]) != string(sigLocal) {
		return zipEntry{}, false
	}
	nameLen, extraLen := int64(binary.LittleEndian.Uint16(b[26:])), int64(binary.LittleEndian.Uint16(b[28:]))
	rest := readAt(c, off+localLen, nameLen+extraLen)
	if int64(len(rest)) < nameLen+extraLen {
		return zipEntry{}, false
	}
	e := zipEntry{
		name:   string(rest[:nameLen]),
		flags:  binary.LittleEndian.Uint16(b[6:]),
		method: binary.LittleEndian.Uint16(b[8:]),
		crc:    binary.LittleEndian.Uint32(b[14:]),
		csize:  int64(binary.LittleEndian.Uint32(b[18:])),
		usize:  int64(binary.LittleEndian.Uint32(b[22:])),
		local:  off,
		data:   off + localLen + nameLen + extraLen,
	}
	e.zip64(rest[nameLen:], false)
	if e.flags&8 != 0 && e.csize == 0 {
		e.csize, e.usize, e.crc = -1, -1, 0
	}
	return e, true
}

// readLocals finds where the data of each entry is and adds a second view where
// the local header tells another story.
func (d *zipDir) readLocals(c tx.Content) {
	var more []zipEntry
	keep := d.entries[:0]
	for _, e := range d.entries {
		l, ok := parseLocal(c, e.local)
		if !ok {
			if !e.hidden {
				d.damage = errors.New("zip: the directory points to no member")
			}
			continue
		}
		e.data = l.data
		keep = append(keep, e)
		if l.method != e.method || l.flags&1 != e.flags&1 || l.csize > 0 && (l.csize != e.csize || l.usize != e.usize) || l.name != e.name {
			l.crc, l.hidden = e.crc, e.hidden
			if l.csize == 0 {
				l.csize, l.usize = e.csize, e.usize
			}
			more = append(more, l)
		}
	}
	d.entries = slices.Concat(keep, more)
}

// readGaps looks for local headers where no known member lies.
func (k *walk) readGaps(c tx.Content, d *zipDir) error {
	sorted := slices.Clone(d.entries)
	slices.SortFunc(sorted, func(a, b zipEntry) int { return cmp.Compare(a.local, b.local) })
	pos := int64(0)
	for i := 0; i <= len(sorted); i++ {
		gapEnd := c.Size()
		if i < len(sorted) {
			gapEnd = sorted[i].local
		}
		for pos+localLen <= gapEnd {
			at, err := k.find(c, pos, gapEnd, sigLocal)
			if err != nil {
				return err
			}
			if at < 0 {
				break
			}
			pos = at + 1
			if e, ok := parseLocal(c, at); ok && plausibleLocal(&e) {
				e.hidden = true
				d.entries = append(d.entries, e)
				pos = e.data + max(e.csize, 0)
				if len(d.entries) > 2*k.lim.Members {
					d.over = true
					return nil
				}
			}
		}
		if i < len(sorted) {
			pos = max(pos, sorted[i].data+max(sorted[i].csize, 0))
		}
	}
	return nil
}

// plausibleLocal drops most places where the four bytes stand by chance.
func plausibleLocal(e *zipEntry) bool {
	return len(e.name) > 0 && len(e.name) <= 4096 && (e.method <= 20 || e.method >= 93 && e.method <= 99)
}
