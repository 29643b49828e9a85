package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// pageSize is how many events one question asks for: the engine holds a page in
// memory to sort it, and has little.
const (
	pageSize    = 1000
	minPageSize = 20
	firstWindow = 2 * time.Minute
	lastWindow  = 10 * 365 * 24 * time.Hour
)

// rowHead is what places an event in an answer.
type rowHead struct {
	ID   string
	Time time.Time
}

func parseRowHead(line []byte) (rowHead, error) {
	var h rowHead
	if err := json.Unmarshal(line, &h); err != nil {
		return h, fmt.Errorf("answer of event engine: %w", err)
	}
	return h, nil
}

// pager walks through the events of a search. It asks about one window of time
// after the other, wider ones where there are few events, and within a window
// page by page. The next page begins at the time of the last event of the one
// before, whose events of just that time are left out.
type pager struct {
	rest   search // what was not yet asked about
	window time.Duration
	size   int
	edge   map[string]struct{} // ids given at the time where the pages meet
	edgeAt time.Time
}

// pages gets as many events as wanted.
func (l *Log) pages(ctx context.Context, s search, limit int, fn func(line []byte) error) error {
	p := pager{rest: s, window: firstWindow, size: pageSize}
	for limit > 0 && !p.rest.to.Before(p.rest.from) {
		fresh, err := p.next(ctx, l, limit, fn)
		if err != nil {
			return err
		}
		limit -= fresh
	}
	return nil
}

// next gets one page of at most limit new events and tells how many it had.
func (p *pager) next(ctx context.Context, l *Log, limit int, fn func(line []byte) error) (fresh int, err error) {
	part := p.rest.part(p.window)
	ask := min(p.size, limit+len(p.edge))
	edge, edgeAt, begin, rows := make(map[string]struct{}), time.Time{}, time.Time{}, 0
	err = l.run(ctx, part.kind, part.text(ask), func(line []byte) error {
		h, err := parseRowHead(line)
		if err != nil {
			return err
		}
		if rows++; rows == 1 {
			begin = h.Time
		}
		if !h.Time.Equal(edgeAt) {
			edgeAt = h.Time
			clear(edge)
		}
		edge[h.ID] = struct{}{}
		if _, again := p.edge[h.ID]; again && h.Time.Equal(p.edgeAt) {
			return nil
		}
		fresh++
		return fn(line)
	})
	switch {
	case err != nil && rows == 0 && p.size > minPageSize && isMemory(err):
		p.size /= 2
		return 0, nil
	case err != nil:
		return fresh, err
	case rows < ask: // there is no more in the window
		p.rest.skip(part)
		p.edge = nil
		p.window = min(8*p.window, lastWindow)
		return fresh, nil
	}
	p.rest.skipTo(edgeAt, fresh == 0)
	p.edge, p.edgeAt = edge, edgeAt
	p.window = min(max(4*edgeAt.Sub(begin).Abs(), time.Millisecond), lastWindow)
	return fresh, nil
}

// part is the window of the search that comes first.
func (s search) part(window time.Duration) search {
	if s.to.Sub(s.from) <= window {
		return s
	}
	if s.newest {
		s.from = s.to.Add(-window)
	} else {
		s.to = s.from.Add(window)
	}
	return s
}

// skip leaves what lies behind a part.
func (s *search) skip(part search) {
	if s.newest {
		s.to = part.from.Add(-1)
	} else {
		s.from = part.to.Add(1)
	}
}

// skipTo leaves what begins at the given time, or right after it.
func (s *search) skipTo(at time.Time, after bool) {
	step := time.Duration(0)
	if after {
		step = 1
	}
	if s.newest {
		s.to = at.Add(-step)
	} else {
		s.from = at.Add(step)
	}
}

// isMemory tells an answer that says the question needs too much memory.
func isMemory(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.status == http.StatusBadRequest && strings.Contains(status.text, "of memory")
}
