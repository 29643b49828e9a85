package traffic

import (
	"context"
	"fmt"
	"strings"

	"sluice/internal/content"
	"sluice/internal/policy"
	"sluice/internal/tx"
)

// conclude turns what was found into the verdict: the access rules first, then
// dangers, then failures, then cures.
func (j *judge) conclude(ctx context.Context, body tx.Content) tx.Verdict {
	f := &j.findings
	switch {
	case stops(j.access):
		return j.byRule(j.access)
	case f.blocked != nil:
		return j.byFinding(f.blocked)
	case f.failed && f.closed:
		return j.refuse(f.failure.reason, f.failure.detail)
	case f.cure != nil:
		return j.disinfect(ctx, body)
	}
	v := j.forward()
	j.mark(&v)
	return v
}

// mark adds to a passing message's verdict that it was not scanned whole, or
// that a danger in it was let pass.
func (j *judge) mark(v *tx.Verdict) {
	f := &j.findings
	switch {
	case f.failed:
		v.Reason, v.Detail, v.Unscanned = f.failure.reason, f.failure.detail, true
	case f.unlooked:
		v.Detail, v.Unscanned = "no engine looked at it", true
	}
	if f.skipped != nil {
		j.protection = f.skipped.rule
		v.Threat = f.skipped.threat
		if v.Detail == "" {
			v.Detail = fmt.Sprintf("%s in %s is let pass by the protection policy", f.skipped.class, f.skipped.path)
		}
	}
}

// byFinding blocks because of what is in an object.
func (j *judge) byFinding(f *finding) tx.Verdict {
	j.protection = f.rule
	v := tx.Verdict{Action: tx.Block, Reason: reasonOf(f.class), Threat: f.threat, Detail: f.path}
	if f.rule.Rule != nil {
		v.Rule = f.rule.Rule.Name
	}
	v.Reply = j.page(&v, f.rule.Rule)
	return v
}

// disinfect takes the bad members out of a ZIP archive. It works on a message
// whose body is the archive itself, in identity coding and whole; everything
// else is blocked. The result is scanned like any body before it passes.
func (j *judge) disinfect(ctx context.Context, body tx.Content) tx.Verdict {
	f := &j.findings
	first := *f.cure
	drop, ok := j.curable(body)
	if !ok {
		return j.byFinding(&first)
	}
	cured, removed, err := content.Cure(ctx, j.engine.cfg.Spool, body, func(member string) bool { return drop[member] })
	if err != nil || len(removed) == 0 {
		return j.byFinding(&first)
	}
	j.cured = cured
	before := j.report
	f.reset()
	j.inspect(ctx, cured)
	j.report = before
	if stops(j.access) {
		return j.byRule(j.access)
	}
	if f.blocked != nil || f.cure != nil || f.failed {
		return j.byFinding(&first)
	}
	j.protection = first.rule
	v := j.forward()
	v.Reason, v.Threat, v.Replacement = tx.Cured, first.threat, cured
	v.Detail = "taken out: " + strings.Join(removed, ", ")
	return v
}

// curable names the members of the archive that hold the threats found.
func (j *judge) curable(body tx.Content) (drop map[string]bool, ok bool) {
	h := j.t.Header()
	r := j.report
	if body == nil || r == nil || len(r.objects) == 0 || r.visited != len(r.objects) || r.objects[0].typ != "zip" {
		return nil, false
	}
	if h.Has("Content-Encoding") || j.partial() {
		return nil, false
	}
	drop = map[string]bool{}
	member := ""
	for i := range r.objects[1:] {
		o := &r.objects[i+1]
		if o.depth == 1 {
			member = o.name
		}
		for _, f := range j.findings.cureAll {
			if f.path == o.path && f.class == policy.Malware {
				drop[member] = true
			}
		}
	}
	return drop, len(drop) > 0
}
