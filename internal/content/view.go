package content

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"sync"

	"sluice/internal/tx"
)

// view is a range of another content, not copied. It is a tx.Content.
type view struct {
	parent tx.Content
	off, n int64
	mem    []byte // the range itself when it lies in memory
	inMem  bool

	once sync.Once
	sum  [32]byte
}

// newView clips the range to the parent. off must not be negative.
func newView(c tx.Content, off, n int64) *view {
	size := c.Size()
	off = min(max(off, 0), size)
	n = min(max(n, 0), size-off)
	v := &view{parent: c, off: off, n: n}
	if b, ok := c.Bytes(); ok && int64(len(b)) >= off+n {
		v.mem, v.inMem = b[off:off+n:off+n], true
	}
	return v
}

// bytesView is a content over bytes that nobody changes.
func bytesView(b []byte) *view { return &view{n: int64(len(b)), mem: b, inMem: true} }

func (v *view) Size() int64 { return v.n }

func (v *view) Bytes() ([]byte, bool) { return v.mem, v.inMem }

func (v *view) File() (*os.File, bool) { return nil, false }

func (v *view) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("content: negative offset")
	}
	if off >= v.n {
		return 0, io.EOF
	}
	if v.inMem {
		n := copy(p, v.mem[off:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	short := int64(len(p)) > v.n-off
	if short {
		p = p[:v.n-off]
	}
	n, err := v.parent.ReadAt(p, v.off+off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

func (v *view) SHA256() [32]byte {
	v.once.Do(func() {
		if v.inMem {
			v.sum = sha256.Sum256(v.mem)
			return
		}
		h := sha256.New()
		// A read error leaves a digest of less than the whole, which matches
		// nothing; whoever reads the content meets the same error.
		_, _ = io.Copy(h, io.NewSectionReader(v, 0, v.n))
		h.Sum(v.sum[:0])
	})
	return v.sum
}

const sourceBuffer = 32 << 10

// source reads a range of a content in order, byte by byte if wanted, and knows
// exactly how many bytes were consumed. It stops when the context ends.
type source struct {
	ctx  context.Context
	c    tx.Content
	next int64  // offset in c of what will be fetched next
	end  int64  // offset in c
	buf  []byte // fetched and not yet consumed
	room []byte // what is fetched into; nil for content in memory
}

func newSource(ctx context.Context, c tx.Content, off, n int64) *source {
	size := c.Size()
	off = min(max(off, 0), size)
	end := off + min(max(n, 0), size-off)
	if b, ok := c.Bytes(); ok && int64(len(b)) >= end {
		return &source{ctx: ctx, c: c, next: end, end: end, buf: b[off:end]}
	}
	return &source{ctx: ctx, c: c, next: off, end: end, room: make([]byte, min(sourceBuffer, end-off))}
}

// pos is the offset in the content of the next byte.
func (s *source) pos() int64 { return s.next - int64(len(s.buf)) }

// left is how many bytes were not consumed yet.
func (s *source) left() int64 { return s.end - s.pos() }

func (s *source) fill() error {
	if s.next >= s.end {
		return io.EOF
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	n := min(int64(len(s.room)), s.end-s.next)
	k, err := s.c.ReadAt(s.room[:n], s.next)
	if int64(k) < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	s.buf = s.room[:n]
	s.next += n
	return nil
}

func (s *source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.buf) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	if s.room == nil {
		if err := s.ctx.Err(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

func (s *source) ReadByte() (byte, error) {
	if len(s.buf) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	c := s.buf[0]
	s.buf = s.buf[1:]
	return c, nil
}

// skip consumes n bytes, or what is there.
func (s *source) skip(n int64) {
	n = min(max(n, 0), s.left())
	if k := min(n, int64(len(s.buf))); k > 0 {
		s.buf = s.buf[k:]
		n -= k
	}
	s.next += n
}

// readAt fills as much of a fresh slice of n bytes as the content has at off.
func readAt(c tx.Content, off, n int64) []byte {
	size := c.Size()
	if off < 0 || off >= size || n <= 0 {
		return nil
	}
	n = min(n, size-off)
	if b, ok := c.Bytes(); ok {
		return b[off : off+n : off+n]
	}
	b := make([]byte, n)
	k, err := c.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return b[:k]
}
