package event

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	followEvery = 500 * time.Millisecond
	// followSlack is how far an event's time may lie behind the moment it was
	// logged.
	followSlack = 2 * time.Second
)

// Follow calls fn for every event wanted from now on, in the order of their
// times within each poll, until ctx ends (nil) or fn fails. Limit, From, To and
// Newest of q do not matter.
//
// While the engine is down it waits. It asks again and again instead of using the engine's own live tail: only this
// node knows how far the engine is behind, and so from where on to look again.
func (l *Log) Follow(ctx context.Context, q Query, fn func(line []byte) error) error {
	q.Limit, q.Newest, q.To = maxLimit, false, time.Time{}
	if _, _, err := q.compile(time.Now()); err != nil {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	f := follower{from: time.Now(), seen: make(map[string]time.Time)}
	for {
		if err := f.poll(ctx, l, q, fn); err != nil {
			var status *statusError
			switch {
			case ctx.Err() != nil:
				return nil
			case f.fnErr != nil:
				return f.fnErr
			case errors.As(err, &status) && status.status == http.StatusBadRequest:
				return err // it will not understand the query later either
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type follower struct {
	fnErr error                // of the caller
	from  time.Time            // everything before was seen
	seen  map[string]time.Time // ids of events at or after from
}

func (f *follower) poll(ctx context.Context, l *Log, q Query, fn func(line []byte) error) error {
	now := time.Now()
	l.flushFor(ctx)
	// What the engine does not have yet must be found by the next poll.
	next := now
	if oldest, ok := l.ship.oldest(); ok {
		next = time.Unix(0, oldest)
	}
	q.From = f.from
	found, limit, err := q.compile(now)
	if err != nil {
		return err
	}
	err = l.pages(ctx, found, limit, func(line []byte) error {
		h, err := parseRowHead(line)
		if err != nil {
			return err
		}
		if _, ok := f.seen[h.ID]; ok {
			return nil
		}
		f.seen[h.ID] = h.Time
		f.fnErr = fn(line)
		return f.fnErr
	})
	if err != nil {
		return err
	}
	if next = next.Add(-followSlack); next.After(f.from) {
		f.from = next
	}
	for id, at := range f.seen {
		if at.Before(f.from) {
			delete(f.seen, id)
		}
	}
	return nil
}
