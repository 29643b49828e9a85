package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// plan says how the load is given.
type plan struct {
	addr     string
	conns    int
	warm     time.Duration // before anything is counted
	length   time.Duration
	rate     float64 // exchanges a second, open loop; 0: as fast as the answers come
	count    int     // end after so many exchanges; 0: after length
	distinct uint64  // different bodies; 0: every one
}

// tally is what was counted.
type tally struct {
	lat     hist
	status  map[int]uint64
	inner   map[int]uint64 // statuses of HTTP responses that came back
	sent    uint64         // body bytes sent
	got     uint64         // body bytes received
	fails   uint64
	lastErr error
	behind  uint64 // open loop: exchanges that were due and never began
	all     uint64 // exchanges, with those of the warm-up
	seconds float64
}

// loop drives all connections from one thread.
type loop struct {
	plan
	spec   *spec
	ep     int
	conns  []*conn
	free   []*conn
	byFD   map[int]*conn
	events []unix.EpollEvent
	buf    []byte
	rand   *rand.Rand
	next   time.Time // open loop: when the next exchange is due
	stamp  uint64
	began  int
	ended  int
	inARow int // failures without an exchange between
	tally  *tally
}

// maxInARow failures without one good exchange end the run.
const maxInARow = 200

func newLoop(p plan, s *spec) (*loop, error) {
	runtime.LockOSThread()
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll: %w", err)
	}
	l := &loop{
		plan: p, spec: s, ep: ep, byFD: map[int]*conn{},
		events: make([]unix.EpollEvent, 512), buf: make([]byte, 256<<10),
		rand: rand.New(rand.NewPCG(1, 2)),
		// Not those of the run before: clamd remembers them.
		stamp: uint64(time.Now().UnixNano()), //nolint:gosec // after 1970
		tally: newTally(),
	}
	body := s.rest()
	for i := range p.conns {
		c := &conn{index: i, fd: -1, requests: s.requests(i, body), reply: reply{http: s.mode == "http"}}
		if err := l.open(c); err != nil {
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	return l, nil
}

func newTally() *tally { return &tally{status: map[int]uint64{}, inner: map[int]uint64{}} }

func (l *loop) open(c *conn) error {
	fd, err := dial(l.addr)
	if err != nil {
		return err
	}
	c.fd, c.busy, c.waits, c.want = fd, false, false, unix.EPOLLIN
	l.byFD[fd] = c
	l.free = append(l.free, c)
	return unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// run gives the load: first for warm, then counted. start is called in between.
func (l *loop) run(start func()) (*tally, error) {
	now := time.Now()
	l.next = now
	if l.warm > 0 && l.count == 0 {
		if err := l.until(now.Add(l.warm)); err != nil {
			return nil, err
		}
	}
	start()
	l.tally = newTally()
	from := time.Now()
	l.next = from
	if err := l.until(from.Add(l.length)); err != nil {
		return nil, err
	}
	l.tally.all = uint64(l.ended)
	l.tally.seconds = time.Since(from).Seconds()
	if l.rate > 0 {
		for end := time.Now(); l.next.Before(end); l.next = l.next.Add(l.gap()) {
			l.tally.behind++
		}
	}
	return l.tally, l.stuck()
}

// until turns the loop up to a moment, or until all of count is done.
func (l *loop) until(end time.Time) error {
	for {
		now := time.Now()
		if !now.Before(end) {
			if l.count > 0 {
				return fmt.Errorf("only %d of %d exchanges were done in time", l.ended, l.count)
			}
			return nil
		}
		if l.count > 0 && l.ended >= l.count {
			return nil
		}
		if err := l.start(now); err != nil {
			return err
		}
		wait := 100 // milliseconds
		if l.rate > 0 {
			wait = 0 // a sleep is too coarse; the processor is the generator's own
		}
		n, err := unix.EpollWait(l.ep, l.events, wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting: %w", err)
		}
		for i := range max(n, 0) {
			if err := l.handle(l.events[i]); err != nil {
				return err
			}
		}
	}
}

// start begins what may begin now.
func (l *loop) start(now time.Time) error {
	for len(l.free) > 0 && (l.count == 0 || l.began < l.count) {
		due := now
		if l.rate > 0 {
			if l.next.After(now) {
				return nil
			}
			due = l.next
			l.next = l.next.Add(l.gap())
		}
		c := l.free[len(l.free)-1]
		l.free = l.free[:len(l.free)-1]
		l.began++
		if err := l.settle(c, c.begin(l.nextStamp(), due)); err != nil {
			return err
		}
	}
	return nil
}

// gap is the time to the next exchange: users come at random, so the gaps are
// exponential with the rate as their mean.
func (l *loop) gap() time.Duration {
	return time.Duration(l.rand.ExpFloat64() / l.rate * float64(time.Second))
}

func (l *loop) nextStamp() uint64 {
	l.stamp++
	if l.distinct > 0 {
		return l.stamp % l.distinct
	}
	return l.stamp
}

func (l *loop) handle(e unix.EpollEvent) error {
	c := l.byFD[int(e.Fd)]
	if c == nil {
		return nil // closed by an earlier event of the same batch
	}
	var err error
	if e.Events&unix.EPOLLOUT != 0 {
		err = c.write()
	}
	if err == nil && e.Events&^uint32(unix.EPOLLOUT) != 0 {
		err = c.read(l.buf)
	}
	return l.settle(c, err)
}

// settle brings a connection's state in order after it wrote or read.
func (l *loop) settle(c *conn, err error) error {
	if err != nil {
		return l.fail(c, err)
	}
	if c.busy && c.finished() {
		l.done(c)
	}
	want := uint32(unix.EPOLLIN)
	if c.waits {
		want |= unix.EPOLLOUT
	}
	return l.interest(c, want)
}

func (l *loop) interest(c *conn, want uint32) error {
	if c.want == want {
		return nil
	}
	c.want = want
	return unix.EpollCtl(l.ep, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: want, Fd: int32(c.fd)})
}

func (l *loop) done(c *conn) {
	c.busy = false
	l.free = append(l.free, c)
	l.ended++
	l.inARow = 0
	l.tally.lat.add(time.Since(c.began))
	l.tally.status[c.reply.status]++
	if c.reply.inner != 0 {
		l.tally.inner[c.reply.inner]++
	}
	if l.spec.mode == "respmod" {
		l.tally.sent += uint64(l.spec.size)
	}
	l.tally.got += uint64(c.reply.body)
	if c.reply.inner == 200 && c.reply.body != l.spec.size && l.spec.mode == "respmod" {
		l.tally.fails++
		l.tally.lastErr = fmt.Errorf("an answer had %d bytes of body, not %d", c.reply.body, l.spec.size)
	}
}

// fail counts a broken connection and opens another.
func (l *loop) fail(c *conn, err error) error {
	delete(l.byFD, c.fd)
	l.tally.fails++
	l.tally.lastErr = err
	if l.inARow++; l.inARow > maxInARow {
		return fmt.Errorf("%d failures one after the other, the last: %w", l.inARow, err)
	}
	if !c.busy {
		l.free = removed(l.free, c)
	}
	return errors.Join(unix.Close(c.fd), l.open(c))
}

func removed(list []*conn, c *conn) []*conn {
	for i := range list {
		if list[i] == c {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}

// maxStuck is how long an exchange may have run when the load ends.
const maxStuck = 10 * time.Second

func (l *loop) stuck() error {
	for _, c := range l.conns {
		if age := time.Since(c.began); c.busy && age > maxStuck {
			return fmt.Errorf("connection %d has waited %v for its answer", c.index, age.Round(time.Millisecond))
		}
	}
	return nil
}
