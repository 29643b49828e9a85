package event

import (
	"bytes"
	"context"
	"time"

	"sluice/internal/tx"
)

const (
	// askWindow is how far apart the times of events may lie that the engine is
	// asked about by time alone. It is asked about others by their ids.
	askWindow = 10 * time.Second
	askLines  = 10_000  // bound of lines in a question by time
	askIDs    = 400     // and by ids
	askBytes  = 4 << 20 // bound of lines in bytes
)

// sendLeftover ships a whole segment of a former run, which may be damaged.
func (s *shipper) sendLeftover(ctx context.Context, at endpoint, c *chunk) error {
	b := make([]byte, min(c.size, 4*segmentSize))
	if n, err := c.seg.file.ReadAt(b, 0); err != nil {
		b = b[:n] // what can be read is what is left
	}
	var lines []byte
	lost, err := rescue(b, func(block []byte) error {
		text, err := unpack(block, s.plain)
		if err != nil {
			s.loseDamaged(c, int64(len(block)), err)
			return nil
		}
		if lines = append(lines, text...); len(lines) < askBytes {
			return nil
		}
		err = s.sendMissing(ctx, at, lines)
		lines = lines[:0]
		return err
	})
	if err == nil {
		err = s.sendMissing(ctx, at, lines)
	}
	if err != nil {
		return err
	}
	if lost += c.size - int64(len(b)); lost > 0 {
		s.loseDamaged(c, lost, errBroken)
	}
	return nil
}

// sendMissing asks the engine which of the lines it has and sends the others.
func (s *shipper) sendMissing(ctx context.Context, at endpoint, text []byte) error {
	if s.mustShow {
		if err := s.client.show(ctx, at); err != nil && !s.engine.external {
			return err
		}
		s.mustShow = false
	}
	for len(text) > 0 {
		q := newQuestion(text)
		text = text[q.size:]
		err := s.client.present(ctx, at, s.node, q, func(id tx.ID) { delete(q.missing, id) })
		if err != nil {
			return err
		}
		if lines := q.unanswered(); len(lines) > 0 {
			if err := s.insert(ctx, at, lines, false, len(q.missing)); err != nil {
				return err
			}
		}
	}
	return nil
}

// question is a run of lines whose ids the engine is asked about together.
type question struct {
	text     []byte
	size     int
	from, to int64
	ids      []tx.ID
	missing  map[tx.ID]struct{}
}

func newQuestion(text []byte) *question {
	q := &question{missing: make(map[tx.ID]struct{})}
	for l := range bytes.Lines(text) {
		if at, id, ok := parseHead(l); ok && !q.add(at, id) {
			break
		}
		if q.size += len(l); q.size >= askBytes {
			break
		}
	}
	q.text = text[:q.size]
	return q
}

// add takes one more event into the question; it is false when that makes the
// question too large.
func (q *question) add(at int64, id tx.ID) bool {
	from, to := at, at
	if len(q.ids) > 0 {
		from, to = min(q.from, at), max(q.to, at)
	}
	limit := askLines
	if to-from > int64(askWindow) {
		limit = askIDs
	}
	if len(q.ids) >= limit {
		return false
	}
	q.from, q.to = from, to
	q.ids = append(q.ids, id)
	q.missing[id] = struct{}{}
	return true
}

// long tells that the question is better asked by ids than by time.
func (q *question) long() bool { return q.to-q.from > int64(askWindow) }

// unanswered is the lines that the engine does not have.
func (q *question) unanswered() []byte {
	if len(q.missing) == len(q.ids) {
		return q.text
	}
	var lines []byte
	eachLine(q.text, func(l []byte, _ int64, id tx.ID) {
		if _, ok := q.missing[id]; ok {
			lines = append(lines, l...)
		}
	})
	return lines
}
