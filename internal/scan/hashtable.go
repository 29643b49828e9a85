package scan

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A compiled hash list is one file, mapped into memory and never changed:
//
//	header | MD5 index | MD5 records | SHA-256 index | SHA-256 records | names
//
// A record is the digest and the offset of its name (4 bytes; 0 is the default
// name). Records are grouped into buckets by a hash of the digest that is keyed
// with random words, so that whoever writes the source cannot fill one bucket;
// the index holds the number of each bucket's first record. That makes 36
// bytes and at most 4 more for a SHA-256 entry, and two cache misses a lookup.
// Numbers are little endian.
const (
	hashMagic    = "SLHASH1\n"
	hashHeader   = 256
	maxBucket    = 64 // records; the mean is 2 to 4
	nameOffBytes = 4
)

var errHashDamaged = errors.New("compiled hash list is damaged")

// hashStamp tells one state of a source file from another.
type hashStamp struct {
	Size         uint64
	MTime, CTime int64 // nanoseconds
	Inode        uint64
}

// hashMeta is the header.
type hashMeta struct {
	Seed      [4]uint64
	Stamp     hashStamp
	SourceSum [32]byte
	Tables    [2]tableMeta // MD5, SHA-256
	NamesAt   uint64
	NamesLen  uint64
}

type tableMeta struct {
	Count   uint64
	Bits    uint64 // there are 1<<Bits buckets
	IndexAt uint64 // offset in the file; the records follow the index
}

var digestSizes = [2]int{16, 32}

func (m *tableMeta) indexLen() uint64 { return (1<<m.Bits + 1) * 4 }

// encode writes the header with a checksum of itself.
func (m *hashMeta) encode() ([]byte, error) {
	b, err := binary.Append([]byte(hashMagic), binary.LittleEndian, m)
	if err != nil {
		return nil, fmt.Errorf("encode hash list header: %w", err)
	}
	sum := sha256.Sum256(b)
	b = append(b, sum[:]...)
	return append(b, make([]byte, hashHeader-len(b))...), nil
}

// decode reads a header and checks that everything it names lies in a file of
// the given size.
func (m *hashMeta) decode(b []byte, size uint64) error {
	n := len(hashMagic) + binary.Size(m)
	if len(b) < hashHeader || string(b[:len(hashMagic)]) != hashMagic {
		return errHashDamaged
	}
	if sum := sha256.Sum256(b[:n]); !bytes.Equal(sum[:], b[n:n+len(sum)]) {
		return errHashDamaged
	}
	if _, err := binary.Decode(b[len(hashMagic):n], binary.LittleEndian, m); err != nil {
		return errHashDamaged
	}
	at := uint64(hashHeader)
	for i := range m.Tables {
		t := &m.Tables[i]
		if t.IndexAt != at || t.Bits > 32 || t.Count > 1<<32-1 {
			return errHashDamaged
		}
		at += t.indexLen() + t.Count*uint64(digestSizes[i]+nameOffBytes)
	}
	if m.NamesAt != at || m.NamesLen > 1<<32-1 || at+m.NamesLen != size {
		return errHashDamaged
	}
	return nil
}

// hashTable is an open compiled list. It is immutable; the garbage collector
// unmaps it once no lookup uses it.
type hashTable struct {
	meta   hashMeta
	data   []byte
	tables [2]digestTable
}

type digestTable struct {
	index, records []byte
	count          uint32
	shift          uint64
	size           int // of a digest
}

// openHashTable maps a compiled list. The file may be closed afterwards.
func openHashTable(f *os.File) (*hashTable, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open compiled hash list: %w", err)
	}
	if fi.Size() < hashHeader {
		return nil, errHashDamaged
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map compiled hash list: %w", err)
	}
	t := &hashTable{data: data}
	if err := t.meta.decode(data, uint64(fi.Size())); err != nil { //nolint:gosec // sizes are not negative
		return nil, errors.Join(err, unix.Munmap(data))
	}
	for i := range t.tables {
		m := &t.meta.Tables[i]
		records := m.IndexAt + m.indexLen()
		end := records + m.Count*uint64(digestSizes[i]+nameOffBytes)
		t.tables[i] = digestTable{
			index: data[m.IndexAt:records], records: data[records:end],
			count: uint32(m.Count), shift: 64 - m.Bits, size: digestSizes[i], //nolint:gosec // decode bounds Count
		}
	}
	runtime.AddCleanup(t, func(b []byte) { _ = unix.Munmap(b) }, data)
	return t, nil
}

// find looks a digest of 16 or 32 bytes up. name is empty for the default name.
// It fails only when the file is damaged.
func (t *hashTable) find(digest []byte) (name string, found bool, err error) {
	d := &t.tables[0]
	if len(digest) == sha256.Size {
		d = &t.tables[1]
	}
	off, found, err := d.find(digest, hashDigest(&t.meta.Seed, digest))
	if found && off != 0 {
		name, err = t.name(off)
	}
	runtime.KeepAlive(t)
	return name, found, err
}

func (d *digestTable) find(digest []byte, h uint64) (nameOff uint32, found bool, err error) {
	if d.count == 0 {
		return 0, false, nil
	}
	b := h >> d.shift * 4
	lo := binary.LittleEndian.Uint32(d.index[b:])
	hi := binary.LittleEndian.Uint32(d.index[b+4:])
	if lo > hi || hi > d.count || hi-lo > maxBucket {
		return 0, false, errHashDamaged
	}
	width := d.size + nameOffBytes
	recs := d.records[int(lo)*width : int(hi)*width]
	for ; len(recs) > 0; recs = recs[width:] {
		if bytes.Equal(recs[:d.size], digest) {
			return binary.LittleEndian.Uint32(recs[d.size:]), true, nil
		}
	}
	return 0, false, nil
}

// name copies a name out of the file: a length byte and the name, at off-1.
func (t *hashTable) name(off uint32) (string, error) {
	names := t.data[t.meta.NamesAt:]
	at := int(off) - 1
	if at >= len(names) || at+1+int(names[at]) > len(names) {
		return "", errHashDamaged
	}
	return string(names[at+1 : at+1+int(names[at])]), nil
}

// hashDigest spreads a digest of 16 or 32 bytes. Without the seed nobody can
// choose digests that collide.
func hashDigest(seed *[4]uint64, d []byte) uint64 {
	h := fold(binary.LittleEndian.Uint64(d)^seed[0], binary.LittleEndian.Uint64(d[8:])^seed[1])
	if len(d) == sha256.Size {
		h ^= fold(binary.LittleEndian.Uint64(d[16:])^seed[2], binary.LittleEndian.Uint64(d[24:])^seed[3])
	}
	return fold(h^seed[3], seed[0]|1)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
