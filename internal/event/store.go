package event

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	segmentSize   = 16 << 20         // bytes after which a segment is closed
	segmentAge    = 20 * time.Second // and time
	segmentSuffix = ".events"
	retryDisk     = time.Second // pause after a write error
)

var errQueueFull = errors.New("the event queue has all the disk space it may use")

// segment is one file of the queue: a sequence of frames.
type segment struct {
	path string
	file *os.File
	born time.Time
	size int64
	live int  // chunks in it that are still needed
	done bool // nothing more is added
}

// store keeps chunks in segment files until they are settled. One goroutine
// writes, another may read and release.
type store struct {
	dir   string
	limit int64
	lock  *os.File

	mu     sync.Mutex
	cur    *segment
	number uint64 // of the last segment
	used   int64  // bytes in all segments
	err    error  // of the last write; nil when it went well
	errAt  time.Time
}

// openStore takes dir for this process alone and returns what a former run left
// there, oldest first.
func openStore(dir string, limit int64) (*store, []*segment, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make event queue: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("lock event queue: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("event queue %s is in use by another process: %w", dir, err), lock.Close())
	}
	s := &store{dir: dir, limit: limit, lock: lock}
	left, err := s.leftovers()
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return s, left, nil
}

func (s *store) leftovers() ([]*segment, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read event queue: %w", err)
	}
	var left []*segment
	for _, e := range entries {
		name, isSegment := strings.CutSuffix(e.Name(), segmentSuffix)
		number, err := strconv.ParseUint(name, 16, 64)
		if !isSegment || err != nil {
			continue
		}
		s.number = max(s.number, number)
		path := filepath.Join(s.dir, e.Name())
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open event queue: %w", err)
		}
		st, err := f.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open event queue: %w", err), f.Close())
		}
		seg := &segment{path: path, file: f, size: st.Size(), live: 1, done: true}
		s.used += seg.size
		left = append(left, seg)
	}
	slices.SortFunc(left, func(a, b *segment) int { return strings.Compare(a.path, b.path) })
	return left, nil
}

// write puts the chunk into the current segment. When that fails the chunk is
// only in memory, and further writes fail at once for a while.
func (s *store) write(c *chunk, now time.Time) error {
	seg, off, err := s.reserve(c.size, now)
	if err != nil {
		return err
	}
	_, err = seg.file.WriteAt(c.frame, off)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	if err != nil {
		s.err, s.errAt = fmt.Errorf("write event queue: %w", err), now
		// Leave no half frame; where even that fails, the reader's checksum
		// tells it from a whole one.
		_ = seg.file.Truncate(off)
		s.used -= seg.size - off
		seg.size = off
		s.closeLocked()
		s.dropLocked(seg)
		return s.err
	}
	c.seg, c.off = seg, off
	return nil
}

// reserve finds the place for n bytes and counts them as live.
func (s *store) reserve(n int64, now time.Time) (*segment, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil && now.Sub(s.errAt) < retryDisk {
		return nil, 0, s.err
	}
	if s.used+n > s.limit {
		s.err, s.errAt = errQueueFull, now
		return nil, 0, s.err
	}
	if s.cur != nil && (s.cur.size+n > segmentSize || now.Sub(s.cur.born) > segmentAge) {
		s.closeLocked()
	}
	if s.cur == nil {
		seg, err := s.create(now)
		if err != nil {
			s.err, s.errAt = err, now
			return nil, 0, err
		}
		s.cur = seg
	}
	off := s.cur.size
	if off == 0 {
		s.cur.born = now
	}
	s.cur.size += n
	s.cur.live++
	s.used += n
	return s.cur, off, nil
}

func (s *store) create(now time.Time) (*segment, error) {
	s.number++
	path := filepath.Join(s.dir, fmt.Sprintf("%016x%s", s.number, segmentSuffix))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("grow event queue: %w", err)
	}
	return &segment{path: path, file: f, born: now}, nil
}

// closeLocked ends the current segment.
func (s *store) closeLocked() {
	if seg := s.cur; seg != nil {
		s.cur = nil
		seg.done = true
		seg.live++ // so that dropLocked removes it once, here or later
		s.dropLocked(seg)
	}
}

// release says that the chunk is not needed on disk any more.
func (s *store) release(c *chunk) {
	if c.seg == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(c.seg)
	c.seg = nil
}

// dropLocked takes one live chunk off a segment. A segment that has none left
// is emptied, or deleted when it is finished.
func (s *store) dropLocked(seg *segment) {
	seg.live--
	if seg.live > 0 {
		return
	}
	if !seg.done {
		if seg.file.Truncate(0) == nil {
			s.used -= seg.size
			seg.size = 0
		}
		return
	}
	// What cannot be deleted comes back as a leftover in the next run.
	_ = seg.file.Close()
	_ = os.Remove(seg.path)
	s.used -= seg.size
}

// finish closes all files without deleting what is still needed. Nothing else
// may be called afterwards.
func (s *store) finish(chunks []*chunk) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
	for _, c := range chunks {
		if c.seg != nil {
			_ = c.seg.file.Close() // several chunks share a file
		}
	}
	return s.lock.Close()
}

// state tells the bytes used on disk and the last error.
func (s *store) state() (used int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.err
}

// load returns the block of a chunk, read into room where that is large enough
// and the chunk is only on disk.
func (s *store) load(c *chunk, room []byte) ([]byte, error) {
	b := c.frame
	if b == nil {
		b = slices.Grow(room[:0], int(c.size))[:c.size]
		if _, err := c.seg.file.ReadAt(b, c.off); err != nil {
			return nil, fmt.Errorf("read event queue %s: %w: %w", c.seg.path, errBroken, err)
		}
	}
	block, _, err := cutFrame(b)
	if err != nil {
		return nil, fmt.Errorf("read event queue at byte %d: %w", c.off, err)
	}
	return block, nil
}
