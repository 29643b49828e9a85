package content

import (
	"bytes"
	"errors"
	"io"

	"sluice/internal/tx"
)

const findChunk = 256 << 10

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
	buf := make([]byte, findChunk)
	for off := from; off < to; off += findChunk - int64(len(pattern)) + 1 {
		if err := k.alive(); err != nil {
			return -1, err
		}
		n, err := c.ReadAt(buf[:min(findChunk, to-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		if i := bytes.Index(buf[:n], pattern); i >= 0 {
			return off + int64(i), nil
		}
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
