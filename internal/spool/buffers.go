package spool

import "sync"

// classes are the buffer sizes that are pooled, in bytes. Larger buffers come
// from and go back to the garbage collector.
var classes = [...]int64{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

type bufferPool struct{ sync.Pool }

func classOf(n int64) int {
	for i, c := range classes {
		if n <= c {
			return i
		}
	}
	return -1
}

// getBuffer returns an empty buffer with room for n bytes or more.
func (s *Store) getBuffer(n int64) []byte {
	i := classOf(n)
	if i < 0 {
		return make([]byte, 0, n)
	}
	if p, ok := s.pools[i].Get().(*[]byte); ok {
		return (*p)[:0]
	}
	return make([]byte, 0, classes[i])
}

func (s *Store) putBuffer(b []byte) {
	if i := classOf(int64(cap(b))); i >= 0 && classes[i] == int64(cap(b)) {
		s.pools[i].Put(&b)
	}
}
