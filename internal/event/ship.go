package event

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// settleTime is how long the engine must have run since it took lines
	// before they are believed to be on its disk: in memory they may wait for
	// one second to become a part, for two flush intervals to be written, and
	// for a merge.
	settleTime = 3*engineFlush + time.Second
	// settleTimeBlind is used with an external engine, whose metrics count the
	// lines of others too.
	settleTimeBlind = 30 * time.Second
)

// shipper moves chunks from the queue to the engine, in order, and keeps them
// on our disk until they are safe there. One goroutine runs it.
type shipper struct {
	store  *store
	engine *engine
	client *client
	node   string
	report func(System)

	wake chan struct{}

	mu       sync.Mutex
	pending  []*chunk // first the suspects, then what never was sent
	pushed   uint64   // number of the last chunk that came in
	progress chan struct{}
	lastErr  error
	failing  bool
	lost     uint64 // bytes that could not be read back

	// Only the shipper's goroutine touches the rest.
	unsettled  []*chunk
	generation uint64
	rows       int64  // lines that this generation of the engine took
	packed     []byte // room for a frame that is read back
	plain      []byte // room for its lines
	refused    int    // answers in a row that refuse a chunk
	mustShow   bool   // what the engine took last may not be visible in it

	held   atomic.Int64 // bytes of frames in memory
	memory int64        // bound of held
}

func newShipper(store *store, e *engine, memory int64, report func(System)) *shipper {
	s := &shipper{
		store: store, engine: e, client: newClient(), report: report, memory: memory, mustShow: true,
		wake: make(chan struct{}, 1), progress: make(chan struct{}),
		packed: make([]byte, 0, chunkSize), plain: make([]byte, 0, chunkSize),
	}
	if e.external {
		s.node = e.cfg.Node // others use it too
	}
	return s
}

// push adds a chunk behind all others. It is false when the chunk is not on
// disk and memory is full.
func (s *shipper) push(c *chunk) bool {
	if n := s.held.Add(int64(len(c.frame))); n > s.memory/2 && c.seg != nil {
		s.forget(c)
	} else if n > s.memory {
		s.forget(c)
		s.skip(c.seq)
		return false
	}
	s.mu.Lock()
	s.pending = append(s.pending, c)
	s.pushed = max(s.pushed, c.seq)
	s.mu.Unlock()
	notify(s.wake)
	return true
}

// skip notes that a chunk will never come.
func (s *shipper) skip(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushed = max(s.pushed, seq)
	close(s.progress)
	s.progress = make(chan struct{})
}

// forget gives up the copy in memory.
func (s *shipper) forget(c *chunk) {
	s.held.Add(-int64(len(c.frame)))
	c.frame = nil
}

// run ships until ctx ends.
func (s *shipper) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		at, ok := s.engine.current()
		if ok {
			at = s.learnStart(ctx, at)
			s.noticeRestart(at)
		}
		if c := s.next(); ok && c != nil {
			if s.ship(ctx, at, c) {
				s.settleSometimes(ctx, at, tick)
				continue
			}
			s.pause(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-s.engine.changed:
		case <-tick.C:
			if ok {
				s.settle(ctx, at)
			}
		}
	}
}

// learnStart asks an external engine once, before it gets its first line, when
// it was started.
func (s *shipper) learnStart(ctx context.Context, at endpoint) endpoint {
	if at.generation != 0 {
		return at
	}
	_, start, err := s.client.volatile(ctx, at)
	if err != nil {
		return at
	}
	s.engine.sawStart(start)
	at, _ = s.engine.current()
	return at
}

func (s *shipper) settleSometimes(ctx context.Context, at endpoint, tick *time.Ticker) {
	select {
	case <-tick.C:
		s.settle(ctx, at)
	default:
	}
}

// pause waits before the next try, but not longer than for the engine's start.
func (s *shipper) pause(ctx context.Context) {
	t := time.NewTimer(500 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.engine.changed:
	case <-t.C:
	}
}

func (s *shipper) next() *chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return nil
	}
	return s.pending[0]
}

// noticeRestart puts everything that the engine may have lost back in front.
func (s *shipper) noticeRestart(at endpoint) {
	if at.generation == s.generation {
		return
	}
	s.generation, s.rows = at.generation, 0
	if len(s.unsettled) == 0 {
		return
	}
	var again []*chunk
	for _, c := range s.unsettled {
		if c.generation == at.generation {
			continue
		}
		c.suspect = true
		again = append(again, c)
	}
	s.unsettled = slices.DeleteFunc(s.unsettled, func(c *chunk) bool { return c.suspect })
	s.mu.Lock()
	s.pending = slices.Concat(again, s.pending)
	s.mu.Unlock()
}

// ship sends one chunk and tells whether the engine has it now.
func (s *shipper) ship(ctx context.Context, at endpoint, c *chunk) bool {
	err := s.send(ctx, at, c)
	if ctx.Err() != nil {
		c.suspect = true
		return false
	}
	var status *statusError
	switch {
	case err == nil:
		s.refused = 0
	case errors.Is(err, errBroken):
		s.loseDamaged(c, c.size, err)
	case errors.As(err, &status) && status.status == http.StatusBadRequest && s.refused >= 3:
		// It would stand in the way of all others for ever.
		s.loseDamaged(c, c.size, err)
		s.refused = 0
	default:
		if errors.As(err, &status) && status.status == http.StatusBadRequest {
			s.refused++
		}
		c.suspect, s.mustShow = true, true
		s.setError(err)
		return false
	}
	s.took(at, c)
	return true
}

// took notes that the engine has the chunk.
func (s *shipper) took(at endpoint, c *chunk) {
	s.mu.Lock()
	s.pending[0] = nil
	s.pending = s.pending[1:]
	close(s.progress)
	s.progress = make(chan struct{})
	recovered := s.failing
	s.failing, s.lastErr = false, nil
	s.mu.Unlock()
	c.suspect, c.generation, c.taken, c.takenRows = false, at.generation, time.Now(), s.rows
	// The copy on disk serves the rest; memory is for what was not yet sent.
	if c.seg != nil || s.held.Load() > s.memory/4 {
		s.forget(c)
	}
	if c.frame != nil || c.seg != nil {
		s.unsettled = append(s.unsettled, c)
	}
	if recovered {
		s.report(System{Severity: Info, Code: "event-engine-up", Text: "The event engine takes events again."})
	}
}

func (s *shipper) setError(err error) {
	s.mu.Lock()
	first := !s.failing
	s.failing, s.lastErr = true, err
	s.mu.Unlock()
	if first {
		s.report(System{
			Severity: Warning, Code: "event-engine-down",
			Text:       "The event engine does not take events; they wait in the queue.",
			Attributes: []Attribute{{"error", err.Error()}},
		})
	}
}

func (s *shipper) loseDamaged(c *chunk, bytes int64, err error) {
	s.mu.Lock()
	s.lost += uint64(bytes)
	s.mu.Unlock()
	s.report(System{
		Severity: Critical, Code: "events-damaged",
		Text:       "Events in the queue could not be read back or were refused by the event engine; they are lost.",
		Attributes: []Attribute{{"bytes", fmt.Sprint(bytes)}, {"lines", fmt.Sprint(c.lines)}, {"error", err.Error()}},
	})
}

// send gives the chunk's lines to the engine, or of a suspect one those that
// are missing there.
func (s *shipper) send(ctx context.Context, at endpoint, c *chunk) error {
	if c.seq == 0 {
		return s.sendLeftover(ctx, at, c)
	}
	block, err := s.store.load(c, s.packed)
	if err != nil {
		return err
	}
	if c.suspect {
		text, err := unpack(block, s.plain)
		if err != nil {
			return err
		}
		return s.sendMissing(ctx, at, text)
	}
	return s.insert(ctx, at, block, true, c.lines)
}

func (s *shipper) insert(ctx context.Context, at endpoint, body []byte, packed bool, lines int) error {
	// Counted first: an engine that fails may have taken them all the same.
	s.rows += int64(lines)
	return s.client.insert(ctx, at, body, packed)
}

// settle releases what the engine has on its disk by now. Besides the time it
// took, an engine that is short of CPU is found out by the number of lines it
// holds in memory: those must all be younger than the chunk.
func (s *shipper) settle(ctx context.Context, at endpoint) {
	if len(s.unsettled) == 0 {
		return
	}
	asked := time.Now()
	rows, start, err := s.client.volatile(ctx, at)
	if err != nil {
		s.setError(err)
		return
	}
	s.engine.sawStart(start)
	now, _ := s.engine.current()
	s.noticeRestart(now)
	if now.generation != at.generation {
		return
	}
	wait := settleTime
	if s.engine.external {
		wait, rows = settleTimeBlind, 0
	}
	s.settleWhere(func(c *chunk) bool {
		return asked.Sub(c.taken) >= wait && rows <= s.rows-c.takenRows
	})
}

// settleWhere releases the chunks that safe accepts.
func (s *shipper) settleWhere(safe func(*chunk) bool) {
	s.unsettled = slices.DeleteFunc(s.unsettled, func(c *chunk) bool {
		if !safe(c) {
			return false
		}
		s.store.release(c)
		s.forget(c)
		return true
	})
}

// wait returns once the engine has every chunk up to the given number.
func (s *shipper) wait(ctx context.Context, upTo uint64) error {
	for {
		s.mu.Lock()
		done := s.pushed >= upTo && (len(s.pending) == 0 || s.pending[0].seq > upTo)
		progress := s.progress
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// oldest is the time of the earliest event that the engine may not have yet.
func (s *shipper) oldest() (at int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.pending {
		if c.seq != 0 && (!ok || c.from < at) {
			at, ok = c.from, true
		}
	}
	return at, ok
}
