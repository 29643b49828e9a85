package event

import (
	"sync"
	"time"
)

// chunkSize is what lines are gathered to before they go to disk and to the
// engine, in bytes.
const chunkSize = 256 << 10

// maxAge is how long a line waits for others to fill its chunk.
const maxAge = 200 * time.Millisecond

// chunk is a run of lines on its way to the engine. It belongs to one stage at
// a time: intake, store, then the shipper.
type chunk struct {
	seq      uint64 // position in the order of the log; 0 when left over by a former run
	buf      []byte // room for a frame header, then the lines; nil when they are only on disk
	lines    int
	from, to int64 // earliest and latest event, Unix nanoseconds

	seg  *segment // nil when not on disk
	off  int64    // of the frame in seg
	size int64    // of the frame

	// suspect tells that some of its lines may have reached the engine, so it
	// must be asked before they are sent.
	suspect    bool
	generation uint64    // of the engine that took it
	taken      time.Time // when the engine took it
	takenRows  int64     // lines that the engine had taken in all by then
}

// text is the lines.
func (c *chunk) text() []byte { return c.buf[frameLen:] }

func (c *chunk) add(line []byte, at int64) {
	if c.lines == 0 {
		c.from, c.to = at, at
	}
	c.from, c.to = min(c.from, at), max(c.to, at)
	c.buf = append(c.buf, line...)
	c.lines++
}

// intake gathers lines into chunks under a short lock. Its memory is bounded:
// it has so many buffers, and drops lines while all of them are in use.
type intake struct {
	some chan struct{} // the first line of a chunk came in
	full chan struct{} // a chunk waits to be stored

	mu      sync.Mutex
	closed  bool
	cur     *chunk
	ready   []*chunk
	seq     uint64
	free    [][]byte
	made    int // buffers in use or free
	limit   int // bound of made
	dropped loss
	total   uint64
}

// loss is what had to be dropped.
type loss struct {
	lines    uint64
	from, to int64 // Unix nanoseconds
}

func newIntake(memory int64) *intake {
	return &intake{
		some:  make(chan struct{}, 1),
		full:  make(chan struct{}, 1),
		limit: int(max(memory/chunkSize, 4)),
	}
}

// add never waits for I/O.
func (in *intake) add(line []byte, at int64) {
	in.mu.Lock()
	full := false
	if in.cur != nil && len(in.cur.buf)+len(line) > frameLen+chunkSize {
		in.rotateLocked()
		full = true
	}
	if in.cur == nil && !in.openLocked() {
		in.dropLocked(1, at, at)
		in.mu.Unlock()
		return
	}
	in.cur.add(line, at)
	in.total++
	first := in.cur.lines == 1
	in.mu.Unlock()
	if full {
		notify(in.full)
	}
	if first {
		notify(in.some)
	}
}

// openLocked starts a chunk if a buffer is to be had.
func (in *intake) openLocked() bool {
	if in.closed {
		return false
	}
	c := &chunk{}
	switch {
	case len(in.free) > 0:
		c.buf = in.free[len(in.free)-1]
		in.free = in.free[:len(in.free)-1]
	case in.made < in.limit:
		c.buf = make([]byte, 0, frameLen+chunkSize)
		in.made++
	default:
		return false
	}
	c.buf = c.buf[:frameLen]
	in.seq++
	c.seq = in.seq
	in.cur = c
	return true
}

func (in *intake) rotateLocked() {
	if in.cur != nil {
		in.ready = append(in.ready, in.cur)
		in.cur = nil
	}
}

func (in *intake) dropLocked(lines uint64, from, to int64) {
	d := &in.dropped
	if d.lines == 0 {
		d.from, d.to = from, to
	}
	d.lines += lines
	d.from, d.to = min(d.from, from), max(d.to, to)
}

// take hands over all chunks, the one being filled too, in order.
func (in *intake) take(into []*chunk) []*chunk {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rotateLocked()
	into = append(into, in.ready...)
	clear(in.ready)
	in.ready = in.ready[:0]
	return into
}

// last is the number of the youngest chunk that has lines.
func (in *intake) last() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.seq
}

// close makes every later line a dropped one.
func (in *intake) close() {
	in.mu.Lock()
	in.closed = true
	in.rotateLocked()
	in.mu.Unlock()
	notify(in.full)
}

// recycle takes a buffer back. A few are kept; the rest is left to the garbage
// collector so that a burst does not hold its memory for ever.
func (in *intake) recycle(buf []byte) {
	const keep = 8
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.free) < keep && cap(buf) == frameLen+chunkSize {
		in.free = append(in.free, buf)
		return
	}
	in.made--
}

// used is the share of buffers in use, 0 to 1.
func (in *intake) used() float64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return float64(in.made-len(in.free)) / float64(in.limit)
}

// lost returns what was dropped since it was last asked.
func (in *intake) lost() loss {
	in.mu.Lock()
	defer in.mu.Unlock()
	d := in.dropped
	in.dropped = loss{}
	return d
}

// notify wakes whoever waits on a channel of capacity one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
