package icap

import "sync"

// Buffer classes in bytes. A connection at work holds one small buffer for
// input and one for output; a body that does not fit moves on to a large one.
const (
	smallBuffer = 16 << 10
	largeBuffer = 64 << 10
)

type bufferPool struct{ small, large sync.Pool }

// get returns a buffer of n bytes or more, at its full length.
func (p *bufferPool) get(n int) *[]byte {
	pool, size := &p.small, smallBuffer
	if n > smallBuffer {
		pool, size = &p.large, largeBuffer
	}
	if n <= largeBuffer {
		if b, ok := pool.Get().(*[]byte); ok {
			return b
		}
		n = size
	}
	b := make([]byte, n)
	return &b
}

func (p *bufferPool) put(b *[]byte) {
	switch cap(*b) {
	case smallBuffer:
		p.small.Put(b)
	case largeBuffer:
		p.large.Put(b)
	}
}

// input is the bytes that came and were not used yet: buf[r:w]. Heads and the
// first part of a body are parsed in place, so nothing before r may move while
// a request is judged; rest of the room is behind w.
type input struct {
	pool *bufferPool
	box  *[]byte // buf as the pool knows it
	buf  []byte
	r, w int
	held *[]byte // the buffer with the heads, once the body moved on
}

func (in *input) open() {
	in.box = in.pool.get(smallBuffer)
	in.buf = *in.box
	in.r, in.w = 0, 0
}

func (in *input) close() {
	in.release()
	in.pool.put(in.box)
	in.box, in.buf = nil, nil
	in.r, in.w = 0, 0
}

func (in *input) bytes() []byte { return in.buf[in.r:in.w] }

func (in *input) len() int { return in.w - in.r }

// begin makes room for the next request: what it points to is free again.
func (in *input) begin() {
	in.release()
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
}

func (in *input) release() {
	if in.held != nil {
		in.pool.put(in.held)
		in.held = nil
	}
}

// reserve makes sure that n bytes starting at r have room. It tells whether the
// bytes moved, so that what was parsed has to be parsed again.
func (in *input) reserve(n int) (moved bool) {
	if len(in.buf)-in.r >= n {
		return false
	}
	old, oldBox := in.bytes(), in.box
	if len(in.buf) < n {
		in.box = in.pool.get(n)
		in.buf = *in.box
	}
	in.w = copy(in.buf, old)
	in.r = 0
	if in.box != oldBox {
		in.pool.put(oldBox)
	}
	return true
}

// roomForBody makes room behind w for more of a body without moving anything
// before floor. When little is left, the unused bytes move to a large buffer,
// and the old one is held until the request is over.
func (in *input) roomForBody(floor, want int) {
	if in.held != nil {
		floor = 0
	}
	if in.r == in.w {
		in.r, in.w = floor, floor
	}
	const enough = 4 << 10
	if len(in.buf)-in.w >= max(min(want, smallBuffer), enough) {
		return
	}
	if in.held != nil {
		in.w = copy(in.buf, in.bytes())
		in.r = 0
		return
	}
	old := in.bytes()
	in.held = in.box
	in.box = in.pool.get(max(largeBuffer, len(old)+enough))
	in.buf = *in.box
	in.w = copy(in.buf, old)
	in.r = 0
}
