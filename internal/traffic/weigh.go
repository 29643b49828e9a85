package traffic

import (
	"sluice/internal/policy"
	"sluice/internal/scan"
	"sluice/internal/tx"
)

// findings is what speaks against a message, gathered object by object.
type findings struct {
	asked    bool // access was asked for at least one object
	blocked  *finding
	cure     *finding // the first threat that is to be taken out
	cureAll  []finding
	skipped  *finding // the first threat that the policy lets pass
	failure  failure  // the gravest that the fail policy does not let pass, else the gravest
	failed   bool
	closed   bool // failure is not let pass
	unlooked bool // an object that no engine looked at
	worst    scan.Status
	engine   string
	detail   string

	blockedRoom, cureRoom, skippedRoom finding
}

// finding is one object that a protection class was found in.
type finding struct {
	class  policy.Class
	rule   policy.Decision
	threat string
	engine string
	path   string
	name   string
	depth  int
}

func (f *findings) reset() {
	all := f.cureAll[:0]
	*f = findings{cureAll: all, worst: scan.Clean}
}

// weighReport weighs the objects of a body that was seen before.
func (j *judge) weighReport(r *report) {
	j.report = r
	for i := range r.objects {
		j.weigh(&r.objects[i])
	}
}

// weigh asks the access and protection rules about one object.
func (j *judge) weigh(o *object) {
	j.status(o)
	open := j.bypass.Decided && (!j.access.Decided || j.findings.asked)
	infected, encrypted, macros := o.status == scan.Infected, o.encrypted(), o.hasMacros()
	if open || infected || encrypted || macros {
		j.seen = policy.Object{Name: o.name, Type: o.typ, PartMIME: o.mime, Size: o.size, MD5: o.md5, SHA256: o.sha256}
		j.facts.SetObject(&j.seen)
	}
	if open {
		d := j.snap.Policy.Access(&j.facts)
		if !j.findings.asked || d.Outweighs(j.access) {
			j.access = d
		}
		j.findings.asked = true
	}
	if infected {
		j.found(policy.Malware, o)
	}
	if encrypted {
		j.found(policy.Encrypted, o)
	}
	if macros {
		j.found(policy.Macros, o)
	}
	for _, f := range o.failures {
		j.fail(f)
	}
}

// status keeps what is to be said about the scan of the whole message.
func (j *judge) status(o *object) {
	f := &j.findings
	if o.status == scan.NotScanned {
		f.unlooked = true
	}
	if f.engine == "" || o.status.Graver(f.worst) {
		f.worst, f.engine, f.detail = o.status, o.engine, o.detail
	}
}

// found asks what is to be done about a class of danger in an object.
func (j *judge) found(c policy.Class, o *object) {
	d := j.snap.Policy.Protection(&j.facts, c)
	f := finding{class: c, rule: d, threat: o.threat, engine: o.engine, path: o.path, name: o.name, depth: o.depth}
	s := &j.findings
	switch d.Action {
	case policy.Skip:
		if s.skipped == nil {
			s.skippedRoom = f
			s.skipped = &s.skippedRoom
		}
	case policy.Disinfect:
		if s.cure == nil {
			s.cureRoom = f
			s.cure = &s.cureRoom
		}
		s.cureAll = append(s.cureAll, f)
	default:
		if s.blocked == nil || f.class < s.blocked.class {
			s.blockedRoom = f
			s.blocked = &s.blockedRoom
		}
	}
}

// fail notes that the message, or a part of it, was not scanned whole. One
// failure that blocks outweighs all that are let pass.
func (j *judge) fail(f failure) {
	s := &j.findings
	closed := !j.snap.Fail.open[f.reason]
	if s.failed && (s.closed && !closed || s.closed == closed && rank(s.failure.reason) >= rank(f.reason)) {
		return
	}
	s.failure, s.failed, s.closed = f, true, closed
}

// reasonOf is the reason of a verdict about a class.
func reasonOf(c policy.Class) tx.Reason {
	switch c {
	case policy.Malware:
		return tx.Malware
	case policy.Encrypted:
		return tx.Encrypted
	}
	return tx.Macro
}
