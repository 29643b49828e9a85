package traffic

import (
	"sync/atomic"
	"time"

	"sluice/internal/tx"
)

// latencyBounds are the upper bounds of the latency buckets.
var latencyBounds = [...]time.Duration{
	20 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 5 * time.Second, 30 * time.Second, 180 * time.Second,
}

// Stats counts what the pipeline did. All methods are safe for concurrent use.
type Stats struct {
	verdicts  [2][tx.Drop + 1]atomic.Int64
	reasons   [tx.Cured + 1]atomic.Int64
	unscanned atomic.Int64
	begun     atomic.Int64
	active    atomic.Int64
	panics    atomic.Int64
	received  atomic.Int64
	sent      atomic.Int64
	errors    atomic.Int64
	latency   [len(latencyBounds) + 1]atomic.Int64
	latencyNs atomic.Int64
}

// Count is one counter with what it counts.
type Count struct {
	Direction tx.Direction
	Action    tx.Action
	N         int64
}

// Verdicts yields how many verdicts of each kind there were.
func (s *Stats) Verdicts() []Count {
	var out []Count
	for d := range s.verdicts {
		for a := range s.verdicts[d] {
			if n := s.verdicts[d][a].Load(); n > 0 {
				out = append(out, Count{tx.Direction(d), tx.Action(a), n})
			}
		}
	}
	return out
}

// Reasons returns how many verdicts rested on each reason.
func (s *Stats) Reasons() map[tx.Reason]int64 {
	out := map[tx.Reason]int64{}
	for r := range s.reasons {
		if n := s.reasons[r].Load(); n > 0 {
			out[tx.Reason(r)] = n
		}
	}
	return out
}

// Totals are sums over all transactions.
type Totals struct {
	Begun          int64 // all that ever began
	Active         int64 // begun and not ended
	Unscanned      int64 // passed without being scanned whole
	Panics         int64 // faults of Sluice caught while judging
	Failed         int64 // did not come to their end at the wire
	Received, Sent int64 // body bytes
}

// Totals returns the sums.
func (s *Stats) Totals() Totals {
	return Totals{
		Begun: s.begun.Load(), Active: s.active.Load(), Unscanned: s.unscanned.Load(), Panics: s.panics.Load(),
		Failed: s.errors.Load(), Received: s.received.Load(), Sent: s.sent.Load(),
	}
}

// Latency returns the histogram of the time from begin to end: the count of
// transactions up to each bound, all of them, and the sum of their times.
func (s *Stats) Latency() (upTo map[time.Duration]int64, count int64, sum time.Duration) {
	upTo = map[time.Duration]int64{}
	for i, bound := range latencyBounds {
		count += s.latency[i].Load()
		upTo[bound] = count
	}
	return upTo, count + s.latency[len(latencyBounds)].Load(), time.Duration(s.latencyNs.Load())
}

func (s *Stats) observe(d time.Duration) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	s.latency[i].Add(1)
	s.latencyNs.Add(int64(d))
}

func (s *Stats) ended(t *tx.Transaction, v *tx.Verdict, d tx.Delivery, total time.Duration) {
	s.active.Add(-1)
	s.verdicts[t.Direction][v.Action].Add(1)
	s.reasons[v.Reason].Add(1)
	if v.Unscanned {
		s.unscanned.Add(1)
	}
	if d.Err != nil {
		s.errors.Add(1)
	}
	s.received.Add(d.Received)
	s.sent.Add(d.Sent)
	s.observe(total)
}
