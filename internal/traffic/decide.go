package traffic

import (
	"sluice/internal/policy"
	"sluice/internal/tx"
)

// decideHead asks bypass and access on what the header tells. A stage that is
// still open at the end of a request is left to the response (see policy's
// DESIGN.md); one that waits for the body is asked again for each object.
func (j *judge) decideHead() tx.Verdict {
	// An ICAP client may send a response without its request (RFC 3507 section
	// 4.9): then the URL is not known, and no criterion on it is met.
	unknown := len(j.t.Request.URL) == 0 && j.t.Direction == tx.DirResponse
	if err := j.facts.Reset(j.t, j.t.Start); err != nil && !unknown {
		return j.refuse(tx.BadURL, err.Error())
	}
	p := j.snap.Policy
	j.bypass = p.Bypass(&j.facts)
	if j.bypass.Decided {
		switch j.bypass.Action {
		case policy.Allow:
			return tx.Verdict{Action: tx.Forward, Reason: tx.ByRule, Rule: j.bypass.Rule.Name}
		case policy.Block, policy.Redirect:
			return j.byRule(j.bypass)
		}
		j.access = p.Access(&j.facts)
		if stops(j.access) {
			return j.byRule(j.access)
		}
	}
	if j.t.HasBody {
		return tx.Verdict{Action: tx.Inspect}
	}
	return j.forward()
}

// stops tells whether a decision keeps the message from its receiver.
func stops(d policy.Decision) bool {
	return d.Decided && (d.Action == policy.Block || d.Action == policy.Redirect)
}

// rangeFields ask for a part of an object (RFC 9110 section 14).
var rangeFields = []string{"Range", "If-Range"}

// forward is the verdict for a message that nothing speaks against.
func (j *judge) forward() tx.Verdict {
	v := tx.Verdict{Action: tx.Forward}
	if j.access.Decided && j.access.Rule != nil {
		v.Reason, v.Rule = tx.ByRule, j.access.Rule.Name
		if j.access.Rule.DropRange && j.t.Direction == tx.DirRequest && j.t.Request.Header.Has("Range") {
			v.RemoveFields = rangeFields
		}
	}
	return v
}
