package traffic

import (
	"context"
	"errors"

	"sluice/internal/content"
	"sluice/internal/scan"
	"sluice/internal/tx"
)

// FailPolicy says which failures let a message pass, marked as unscanned. What
// it does not name is blocked.
type FailPolicy struct {
	open [tx.Cured + 1]bool
}

// Open returns a policy that also lets messages with this failure pass.
func (p FailPolicy) Open(r tx.Reason) FailPolicy {
	p.open[r] = true
	return p
}

// failure is why a message, or an object in it, was not scanned whole.
type failure struct {
	reason tx.Reason
	detail string
}

// rank orders failures: the first is the one that people are told.
func rank(r tx.Reason) int {
	switch r {
	case tx.EngineError:
		return 5
	case tx.TimedOut:
		return 4
	case tx.OverLimit:
		return 3
	case tx.BadEncoding:
		return 2
	case tx.BadContent:
		return 1
	}
	return 0
}

// ofWalk turns what stopped or hampered taking a body apart into failures: one
// error can be of several kinds. The time limit that ran out here is ours: the
// sender's own end comes as an error of Body.All and is no failure of scanning.
func ofWalk(err error) []failure {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return []failure{{tx.TimedOut, "scanning took longer than the time limit"}}
	}
	var out []failure
	for _, k := range [...]struct {
		kind   error
		reason tx.Reason
	}{{content.ErrLimit, tx.OverLimit}, {content.ErrEncoding, tx.BadEncoding}, {content.ErrDamaged, tx.BadContent}} {
		if errors.Is(err, k.kind) {
			out = append(out, failure{k.reason, err.Error()})
		}
	}
	if out == nil {
		out = []failure{{tx.InternalError, err.Error()}}
	}
	return out
}

// ofStatus is the failure that an engine's outcome means; ok is false for the
// outcomes that are none.
func ofStatus(s scan.Status) (r tx.Reason, ok bool) {
	switch s {
	case scan.Error:
		return tx.EngineError, true
	case scan.TimedOut:
		return tx.TimedOut, true
	case scan.OverLimit:
		return tx.OverLimit, true
	}
	return tx.NoReason, false
}
