package spool

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

// Body is one body. One goroutine writes; any number may read what has been
// written so far, at the same time. After Close nothing may be called.
// It is a tx.Content.
type Body struct {
	store *Store
	sum   hash.Hash

	mu       sync.RWMutex
	mem      []byte // the whole body while file is nil
	file     *os.File
	size     int64
	direct   bool  // expected not to fit into memory
	reserved int64 // of the store's memory budget
	onDisk   int64 // of the store's disk budget
	broken   error
}

// New starts an empty body. hint is the length that is expected, in bytes; 0 or
// less when unknown. A wrong hint costs time, never correctness.
func (s *Store) New(hint int64) *Body {
	b := &Body{store: s, sum: sha256.New()}
	if b.direct = hint > s.cfg.MemoryPerBody; b.direct {
		return b // the first write opens the file
	}
	b.grow(max(hint, classes[0]))
	return b
}

// grow makes room for n bytes in memory and tells whether there was any.
func (b *Body) grow(n int64) bool {
	if n > b.store.cfg.MemoryPerBody {
		return false
	}
	if n <= int64(cap(b.mem)) {
		return true
	}
	room := n
	if i := classOf(n); i >= 0 {
		room = classes[i]
	}
	if !reserve(&b.store.memory, room-b.reserved, b.store.cfg.Memory) {
		return false
	}
	b.reserved = room
	bigger := append(b.store.getBuffer(room), b.mem...)
	if b.mem != nil {
		b.store.putBuffer(b.mem)
	}
	b.mem = bigger
	return true
}

// Write appends p. It fails with ErrNoRoom when the disk budget is used up and
// with the file's error when the disk fails; the body is then of no use, and
// every later Write fails too.
func (b *Body) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil {
		return 0, b.broken
	}
	if b.file == nil && (b.direct || !b.fits(int64(len(p)))) {
		if err := b.toDisk(); err != nil {
			b.broken = err
			return 0, err
		}
	}
	if b.file == nil {
		b.mem = append(b.mem, p...)
	} else if err := b.writeFile(p); err != nil {
		b.broken = err
		return 0, err
	}
	b.sum.Write(p)
	b.size += int64(len(p))
	return len(p), nil
}

// fits tells whether n more bytes can stay in memory, and makes the room.
func (b *Body) fits(n int64) bool {
	need := b.size + n
	if need > b.store.cfg.MemoryPerBody {
		return false
	}
	if need <= int64(cap(b.mem)) {
		return true
	}
	return b.grow(min(max(need, 4*int64(cap(b.mem))), b.store.cfg.MemoryPerBody)) && need <= int64(cap(b.mem))
}

func (b *Body) toDisk() error {
	f, err := b.store.tempFile()
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	b.file = f
	if err := b.writeFile(b.mem); err != nil {
		b.file = nil // what came so far stays readable in memory
		return errors.Join(err, f.Close())
	}
	b.releaseMemory()
	return nil
}

func (b *Body) writeFile(p []byte) error {
	if !reserve(&b.store.disk, int64(len(p)), b.store.cfg.Disk) {
		return ErrNoRoom
	}
	b.onDisk += int64(len(p))
	if _, err := b.file.Write(p); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

func (b *Body) releaseMemory() {
	if b.mem != nil {
		b.store.putBuffer(b.mem)
		b.mem = nil
	}
	b.store.memory.Add(-b.reserved)
	b.reserved = 0
}

// Size is how many bytes were written so far.
func (b *Body) Size() int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.size
}

// SHA256 is the digest of what was written so far.
func (b *Body) SHA256() (d [32]byte) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	b.sum.Sum(d[:0])
	return d
}

// Bytes returns the body without copying while it lies in memory. The slice is
// valid until the next Write or Close.
func (b *Body) Bytes() ([]byte, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.mem, b.file == nil
}

// File returns the file that holds the body once it is on disk.
func (b *Body) File() (*os.File, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.file, b.file != nil
}

// ReadAt reads what was written so far (io.ReaderAt).
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if off < 0 {
		return 0, errors.New("spool: negative offset")
	}
	if off >= b.size {
		return 0, io.EOF
	}
	if b.file != nil {
		n, err := b.file.ReadAt(p[:min(int64(len(p)), b.size-off)], off)
		if err == nil && n < len(p) {
			err = io.EOF
		}
		return n, err
	}
	n := copy(p, b.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close gives back memory and disk. It may be called more than once.
func (b *Body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = os.ErrClosed
	b.releaseMemory()
	b.store.disk.Add(-b.onDisk)
	b.onDisk, b.size = 0, 0
	if b.file == nil {
		return nil
	}
	f := b.file
	b.file = nil
	return f.Close()
}
