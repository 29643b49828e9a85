package content

import (
	"bytes"
	"errors"
	"io"
	"reflect"

	"sluice/internal/tx"
)

const findChunk = 64 << 10

// chunk is the piece of a content on disk that was looked at last: searches for
// many small things go through a file once.
type chunk struct {
	c   tx.Content
	off int64
	b   []byte
	buf []byte
}

// at returns the bytes of c from off on, up to a chunk of them.
func (k *chunk) at(c tx.Content, off int64) ([]byte, error) {
	known := k.c != nil && reflect.TypeOf(c).Comparable() && k.c == c && off >= k.off && off < k.off+int64(len(k.b))
	// Close to the end of the piece a new one is fetched, so that what is
	// looked for is never searched in a few bytes again and again.
	if known && (k.off+int64(len(k.b))-off >= findChunk/2 || k.off+int64(len(k.b)) == c.Size()) {
		return k.b[off-k.off:], nil
	}
	if k.buf == nil {
		k.buf = make([]byte, findChunk)
	}
	n, err := c.ReadAt(k.buf[:min(findChunk, c.Size()-off)], off)
	if err != nil && !errors.Is(err, io.EOF) {
		k.c = nil
		return nil, err
	}
	k.c, k.off, k.b = c, off, k.buf[:n]
	return k.b, nil
}

// find returns the first offset in [from, to) at which pattern lies whole, or
// -1. It reads large content piece by piece.
func (k *walk) find(c tx.Content, from, to int64, pattern []byte) (int64, error) {
	to = min(to, c.Size())
	if from < 0 || from >= to {
		return -1, nil
	}
	if b, ok := c.Bytes(); ok {
		if i := bytes.Index(b[from:to], pattern); i >= 0 {
			return from + int64(i), nil
		}
		return -1, k.alive()
	}
	for off := from; off < to; {
		if err := k.alive(); err != nil {
			return -1, err
		}
		b, err := k.last.at(c, off)
		if err != nil {
			return -1, err
		}
		b = b[:min(int64(len(b)), to-off)]
		if i := bytes.Index(b, pattern); i >= 0 {
			return off + int64(i), nil
		}
		off += max(int64(len(b)-len(pattern))+1, 1)
	}
	return -1, nil
}

// alive is a stop once the context has ended.
func (k *walk) alive() error {
	if err := k.ctx.Err(); err != nil {
		return &stop{err}
	}
	return nil
}
