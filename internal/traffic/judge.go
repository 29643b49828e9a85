package traffic

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"sluice/internal/event"
	"sluice/internal/policy"
	"sluice/internal/spool"
	"sluice/internal/tx"
)

// judge is one transaction on its way through the pipeline. It is pooled: begin
// sets every field anew.
type judge struct {
	engine *Engine
	snap   *Snapshot
	t      *tx.Transaction
	facts  policy.Facts

	bypass, access, protection policy.Decision

	body     held
	seen     policy.Object // the object that the facts are about
	report   *report
	own      report // of a body that is not worth remembering
	chainKey uint64
	around   []int // places in the report of the containers around the object visited now
	findings findings
	cured    *spool.Body

	deciding, waiting, inspecting, scanning time.Duration

	verdict tx.Verdict
	event   event.Traffic
	objects []event.ObjectResult
	name    []byte // of the body, for the event
}

func (j *judge) begin(e *Engine, t *tx.Transaction) {
	j.engine, j.snap, j.t = e, e.snap.Load(), t
	j.bypass, j.access, j.protection = policy.Decision{}, policy.Decision{}, policy.Decision{}
	j.report, j.cured = nil, nil
	j.findings.reset()
	j.deciding, j.waiting, j.inspecting, j.scanning = 0, 0, 0, 0
	j.verdict = tx.Verdict{}
	e.stats.begun.Add(1)
	e.stats.active.Add(1)
}

// Head judges on the header (tx.Judge).
func (j *judge) Head(_ context.Context) (v tx.Verdict) {
	defer j.guard(&v)
	start := time.Now()
	v = j.decideHead()
	j.deciding = time.Since(start)
	return v
}

// Body judges with the body (tx.Judge).
func (j *judge) Body(ctx context.Context, b tx.Body) (v tx.Verdict) {
	defer j.guard(&v)
	c, err := j.take(ctx, b)
	switch {
	case err == nil:
		j.inspect(ctx, c)
		if j.partial() {
			j.fail(failure{tx.Partial, "only a range of the object passed by"})
		}
	case errors.Is(err, tx.ErrTooLarge):
		j.fail(failure{tx.OverLimit, fmt.Sprintf("the body is larger than %d bytes", j.snap.BodyLimit)})
	case errors.Is(err, tx.ErrNoRoom):
		j.fail(failure{tx.EngineError, err.Error()})
	default:
		return tx.Verdict{Action: tx.Drop, Detail: err.Error()}
	}
	return j.conclude(ctx, c)
}

// take gets the whole body: from the entrance's buffer when it lies there.
func (j *judge) take(ctx context.Context, b tx.Body) (tx.Content, error) {
	if p, whole := b.Prefix(); whole {
		if int64(len(p)) > j.snap.BodyLimit {
			return nil, tx.ErrTooLarge
		}
		j.body = hold(p)
		return &j.body, nil
	}
	start := time.Now()
	c, err := b.All(ctx, j.snap.BodyLimit)
	j.waiting = time.Since(start)
	return c, err
}

// guard remembers the verdict. A panic becomes a verdict too: the message is
// blocked and the fault counted, and the process lives.
func (j *judge) guard(v *tx.Verdict) {
	if p := recover(); p != nil {
		j.engine.stats.panics.Add(1)
		if j.engine.cfg.Panic != nil {
			j.engine.cfg.Panic(fmt.Sprint(p), debug.Stack())
		}
		*v = j.refuse(tx.InternalError, "a fault of Sluice; it is in the node's log")
	}
	j.verdict = *v
}

// End records the event (tx.Judge).
func (j *judge) End(d tx.Delivery) {
	e := j.engine
	now := time.Now()
	total := now.Sub(j.t.Start)
	e.stats.ended(j.t, &j.verdict, d, total)
	j.bypass.Rule.Hit()
	j.access.Rule.Hit()
	j.protection.Rule.Hit()
	j.record(d, now, total)
	if j.cured != nil {
		_ = j.cured.Close() // an unnamed file: nothing can be lost
	}
	j.t, j.snap, j.report, j.body = nil, nil, nil, held{}
	e.judges.Put(j)
}
