package event

import (
	"sync"
	"time"
)

// chunkSize is what lines are gathered to before they are packed, stored and
// shipped, in bytes.
const chunkSize = 512 << 10

// maxAge is how long a line waits for others to fill its chunk.
const maxAge = 200 * time.Millisecond

// batch is a run of lines that is being gathered.
type batch struct {
	seq      uint64 // position in the order of the log, from 1
	buf      []byte // the lines
	lines    int
	from, to int64 // earliest and latest event, Unix nanoseconds
}

func (c *batch) add(line []byte, at int64) {
	if c.lines == 0 {
		c.from, c.to = at, at
	}
	c.from, c.to = min(c.from, at), max(c.to, at)
	c.buf = append(c.buf, line...)
	c.lines++
}

// loss is what had to be dropped.
type loss struct {
	lines    uint64
	from, to int64 // Unix nanoseconds
}

func (d *loss) add(lines uint64, from, to int64) {
	if d.lines == 0 {
		d.from, d.to = from, to
	}
	d.lines += lines
	d.from, d.to = min(d.from, from), max(d.to, to)
}

// intake gathers lines into batches under a short lock. Its memory is bounded:
// it has so many buffers, and drops lines while all of them are in use.
type intake struct {
	some chan struct{} // the first line of a batch came in
	full chan struct{} // a batch waits to be stored

	mu      sync.Mutex
	closed  bool
	cur     *batch
	ready   []*batch
	seq     uint64
	free    []*batch
	made    int // batches in use or free
	limit   int // bound of made
	dropped loss
	lost    uint64 // lines dropped in all
	total   uint64 // lines accepted
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
	if in.cur != nil && len(in.cur.buf)+len(line) > chunkSize {
		in.rotateLocked()
		full = true
	}
	if in.cur == nil && !in.openLocked() {
		in.dropped.add(1, at, at)
		in.lost++
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

// openLocked starts a batch if a buffer is to be had.
func (in *intake) openLocked() bool {
	if in.closed {
		return false
	}
	switch n := len(in.free); {
	case n > 0:
		in.cur = in.free[n-1]
		in.free = in.free[:n-1]
	case in.made < in.limit:
		in.cur = &batch{buf: make([]byte, 0, chunkSize)}
		in.made++
	default:
		return false
	}
	in.seq++
	*in.cur = batch{seq: in.seq, buf: in.cur.buf[:0]}
	return true
}

func (in *intake) rotateLocked() {
	if in.cur != nil {
		in.ready = append(in.ready, in.cur)
		in.cur = nil
	}
}

// take hands over all batches, the one being filled too, in order.
func (in *intake) take(into []*batch) []*batch {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rotateLocked()
	into = append(into, in.ready...)
	clear(in.ready)
	in.ready = in.ready[:0]
	return into
}

// last is the number of the youngest batch that has lines.
func (in *intake) last() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.seq
}

// close makes every later line a dropped one.
func (in *intake) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.rotateLocked()
}

// recycle takes a batch back. A few are kept; the rest is left to the garbage
// collector so that a burst does not hold its memory for ever.
func (in *intake) recycle(b *batch) {
	const keep = 8
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.free) < keep {
		in.free = append(in.free, b)
		return
	}
	in.made--
}

// lose counts lines that were accepted and had to be dropped later.
func (in *intake) lose(lines uint64, from, to int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dropped.add(lines, from, to)
	in.lost += lines
}

// unreported returns what was dropped since it was last asked, once there is
// room again.
func (in *intake) unreported() loss {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.cur == nil && len(in.free) == 0 && in.made >= in.limit {
		return loss{}
	}
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
