package scan

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"

	"golang.org/x/sys/unix"
)

const (
	maxHashEntries = 500_000_000
	maxSharedNames = 1 << 16 // names remembered to store each once
	reseeds        = 4
)

var errReseed = errors.New("a bucket of the hash list is too full")

// hashBuilder compiles a list in bounded memory: the entries go to unnamed
// files, and from there to their places in the mapped result. In memory are
// two numbers a bucket, 4 bytes an entry at most.
type hashBuilder struct {
	dir     string
	meta    hashMeta
	records [2]*scratch
	names   *scratch
	known   map[string]uint32
}

// scratch is an unnamed file that is written once and then read.
type scratch struct {
	f     *os.File
	w     *bufio.Writer
	count uint64 // records, or bytes of names
}

func newScratch(dir string) (*scratch, error) {
	f, err := os.CreateTemp(dir, "hashes-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &scratch{f: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

func (s *scratch) reader() (*bufio.Reader, error) {
	if err := s.w.Flush(); err != nil {
		return nil, err
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(s.f, 1<<16), nil
}

// compileHashes reads a list from r and writes it compiled to out, an empty
// file. Entries that come twice keep the first name.
func compileHashes(ctx context.Context, r io.Reader, dir string, stamp hashStamp, out *os.File) (err error) {
	b := &hashBuilder{dir: dir, known: map[string]uint32{}}
	b.meta.Stamp = stamp
	defer func() { err = errors.Join(err, b.close()) }()
	for _, s := range []**scratch{&b.records[0], &b.records[1], &b.names} {
		if *s, err = newScratch(dir); err != nil {
			return fmt.Errorf("compile hash list: %w", err)
		}
	}
	sum := sha256.New()
	if err := readHashes(ctx, io.TeeReader(r, sum), b.add); err != nil {
		return err
	}
	sum.Sum(b.meta.SourceSum[:0])
	for range reseeds {
		if err = b.write(ctx, out); !errors.Is(err, errReseed) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("compile hash list: %w", err)
	}
	return nil
}

func (b *hashBuilder) close() error {
	var errs []error
	for _, s := range []*scratch{b.records[0], b.records[1], b.names} {
		if s != nil {
			errs = append(errs, s.f.Close())
		}
	}
	return errors.Join(errs...)
}

func (b *hashBuilder) add(l hashLine) error {
	s := b.records[0]
	if len(l.digest) == sha256.Size {
		s = b.records[1]
	}
	if s.count++; s.count > maxHashEntries {
		return fmt.Errorf("more than %d entries", maxHashEntries)
	}
	off, err := b.nameOffset(l.name)
	if err != nil {
		return err
	}
	var rec [sha256.Size + nameOffBytes]byte
	n := copy(rec[:], l.digest)
	binary.LittleEndian.PutUint32(rec[n:], off)
	_, err = s.w.Write(rec[:n+nameOffBytes])
	return err
}

func (b *hashBuilder) nameOffset(name []byte) (uint32, error) {
	if len(name) == 0 {
		return 0, nil
	}
	if off, ok := b.known[string(name)]; ok {
		return off, nil
	}
	at := b.names.count
	if at+maxHashName+1 > math.MaxUint32 {
		return 0, errors.New("the names together are longer than 4 GiB")
	}
	if err := b.names.w.WriteByte(byte(len(name))); err != nil {
		return 0, err
	}
	if _, err := b.names.w.Write(name); err != nil {
		return 0, err
	}
	b.names.count += uint64(1 + len(name))
	if len(b.known) < maxSharedNames {
		b.known[string(name)] = uint32(at) + 1
	}
	return uint32(at) + 1, nil
}

// write lays the whole file out once, with a fresh seed.
func (b *hashBuilder) write(ctx context.Context, out *os.File) (err error) {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	for i := range b.meta.Seed {
		b.meta.Seed[i] = binary.LittleEndian.Uint64(seed[8*i:])
	}
	size := uint64(hashHeader) + b.names.count
	for i, s := range b.records {
		t := tableMeta{Bits: bucketBits(s.count)}
		size += t.indexLen() + s.count*uint64(digestSizes[i]+nameOffBytes)
	}
	if err := allocate(out, int64(size)); err != nil { //nolint:gosec // far below 1<<63
		return err
	}
	data, err := unix.Mmap(int(out.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("map: %w", err)
	}
	end, err := b.fill(ctx, data)
	if err := errors.Join(err, unix.Munmap(data)); err != nil {
		return err
	}
	if err := out.Truncate(int64(end)); err != nil { //nolint:gosec // as above
		return err
	}
	// A file with holes where a crash lost its pages would call what it lists
	// clean: it must be on disk before it gets its name.
	return out.Sync()
}

func (b *hashBuilder) fill(ctx context.Context, data []byte) (end uint64, err error) {
	at := uint64(hashHeader)
	for i, s := range b.records {
		t := &b.meta.Tables[i]
		*t = tableMeta{IndexAt: at, Bits: bucketBits(s.count)}
		p := placer{width: digestSizes[i] + nameOffBytes, seed: &b.meta.Seed, shift: 64 - t.Bits}
		if t.Count, err = p.place(ctx, s, data[at:at+t.indexLen()], data[at+t.indexLen():]); err != nil {
			return 0, err
		}
		at += t.indexLen() + t.Count*uint64(p.width)
	}
	b.meta.NamesAt, b.meta.NamesLen = at, b.names.count
	r, err := b.names.reader()
	if err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(r, data[at:at+b.names.count]); err != nil {
		return 0, err
	}
	header, err := b.meta.encode()
	if err != nil {
		return 0, err
	}
	copy(data, header)
	return at + b.names.count, nil
}

// bucketBits gives 2 to 4 records a bucket.
func bucketBits(n uint64) uint64 {
	if n <= 4 {
		return 0
	}
	return uint64(bits.Len64((n - 1) / 4)) //nolint:gosec // at most 64
}

// allocate takes the disk space of the whole file: writing into a hole of a
// mapping with the disk full would kill the process.
func allocate(f *os.File, size int64) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, 0), io.LimitReader(zeros{}, size))
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// placer puts the records of one table into their buckets.
type placer struct {
	width int
	seed  *[4]uint64
	shift uint64
}

func (p *placer) bucket(rec []byte) uint64 {
	return hashDigest(p.seed, rec[:p.width-nameOffBytes]) >> p.shift
}

func (p *placer) place(ctx context.Context, s *scratch, index, records []byte) (uint64, error) {
	starts := make([]uint32, len(index)/4)
	err := p.each(ctx, s, func(rec []byte) error {
		starts[p.bucket(rec)+1]++
		return nil
	})
	if err != nil {
		return 0, err
	}
	for b := 1; b < len(starts); b++ {
		starts[b] += starts[b-1]
	}
	used := make([]uint8, len(starts)-1)
	err = p.each(ctx, s, func(rec []byte) error {
		b := p.bucket(rec)
		first := int(starts[b]) * p.width
		have := records[first : first+int(used[b])*p.width]
		for h := have; len(h) > 0; h = h[p.width:] {
			if bytes.Equal(h[:p.width-nameOffBytes], rec[:p.width-nameOffBytes]) {
				return nil
			}
		}
		if used[b] == maxBucket {
			return errReseed
		}
		used[b]++
		copy(records[first+len(have):], rec)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return p.compact(starts, used, index, records), nil
}

// compact closes the gaps that entries listed twice left, and writes the index.
func (p *placer) compact(starts []uint32, used []uint8, index, records []byte) uint64 {
	n := uint32(0)
	for b, u := range used {
		binary.LittleEndian.PutUint32(index[4*b:], n)
		from, to := int(starts[b])*p.width, int(n)*p.width
		if from != to {
			copy(records[to:], records[from:from+int(u)*p.width])
		}
		n += uint32(u)
	}
	binary.LittleEndian.PutUint32(index[4*len(used):], n)
	return uint64(n)
}

func (p *placer) each(ctx context.Context, s *scratch, f func(rec []byte) error) error {
	r, err := s.reader()
	if err != nil {
		return err
	}
	rec := make([]byte, p.width)
	for i := range s.count {
		if _, err := io.ReadFull(r, rec); err != nil {
			return err
		}
		if err := f(rec); err != nil {
			return err
		}
		if i%65536 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
