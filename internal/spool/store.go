package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Config bounds a Store. Sizes are bytes.
type Config struct {
	// Dir holds the files; it is created with mode 0700.
	Dir string
	// MemoryPerBody is how much of one body stays in memory, at most 1 GiB.
	MemoryPerBody int64
	// Memory bounds the memory of all bodies together. A body that finds no
	// room there goes to disk early.
	Memory int64
	// Disk bounds the files of all bodies together.
	Disk int64
}

// ErrNoRoom says that the disk budget of the store is used up.
var ErrNoRoom = errors.New("spool: no room left for bodies")

// Store makes bodies. It is safe for concurrent use.
type Store struct {
	cfg    Config
	memory atomic.Int64
	disk   atomic.Int64
	pools  [len(classes)]bufferPool
}

// Open prepares the directory. Files of an earlier process need no cleaning:
// they never had a name, or lost it at once.
func Open(cfg Config) (*Store, error) {
	if cfg.MemoryPerBody <= 0 || cfg.MemoryPerBody > 1<<30 || cfg.Memory < 0 || cfg.Disk < 0 {
		return nil, fmt.Errorf("spool: bounds out of range: %+v", cfg)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	s := &Store{cfg: cfg}
	f, err := s.tempFile()
	if err != nil {
		return nil, fmt.Errorf("spool: cannot write in %s: %w", cfg.Dir, err)
	}
	return s, f.Close()
}

// Usage is what all open bodies hold now, in bytes.
func (s *Store) Usage() (memory, disk int64) { return s.memory.Load(), s.disk.Load() }

// tempFile opens a file without a name: O_TMPFILE where the file system has it,
// else one that is removed at once.
func (s *Store) tempFile() (*os.File, error) {
	fd, err := unix.Open(s.cfg.Dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(s.cfg.Dir, "(unnamed)")), nil
	}
	f, err := os.CreateTemp(s.cfg.Dir, "body-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// reserve takes n bytes of a budget if they are there.
func reserve(used *atomic.Int64, n, limit int64) bool {
	if used.Add(n) <= limit {
		return true
	}
	used.Add(-n)
	return false
}
