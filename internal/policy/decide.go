package policy

import "hash/maphash"

// segment is a run of rules that are checked without other rules between them,
// with an index for each level of knowledge. It never changes.
type segment struct {
	rules   []rule
	indexes [numLevels]*index
	onlyOwn bool    // rules answer for the message at hand alone
	slow    []*Rule // those without an anchor for want of letters
}

// tally gathers the possible outcomes of a stage while its rules are walked.
type tally struct {
	first   *rule // the first that answered yes
	outcome outcome
	any     bool // there is an outcome
	mixed   bool // there are two: undecided
	done    bool // nothing below can have a say
	asked   int  // how many rules were asked
}

func (t *tally) add(o outcome) {
	if t.any && t.outcome != o {
		t.mixed, t.done = true, true
	}
	t.any, t.outcome = true, o
}

// walk asks the candidates in their order until the outcome is sure.
func (s *segment) walk(t *tally, seed maphash.Seed, f *Facts) {
	if s == nil || t.done || len(s.rules) == 0 {
		return
	}
	ix := s.indexes[f.level()]
	c := &f.cursors
	c.collect(ix, seed, f)
	var next, maybe uint32 // rules before next are out; those before maybe may be skipped by a next-group rule
	for len(c.heap) > 0 && !t.done {
		at := c.heap[0]
		if at.waiting && t.any && t.outcome == outcomeBlock {
			c.drop()
			continue
		}
		c.advance(ix.post)
		if at.pos < next {
			continue
		}
		next = at.pos + 1
		r := &s.rules[at.pos]
		a := r.answer(f, s.onlyOwn)
		t.asked++
		switch {
		case a == no:
		case r.nextGroup:
			if a == yes {
				next = max(next, r.groupEnd)
			} else {
				maybe = max(maybe, r.groupEnd)
			}
		default:
			if next = t.take(r, a, next, maybe); t.done {
				return
			}
		}
	}
}

// take counts a rule that answered yes or not yet, and returns where to go on.
func (t *tally) take(r *rule, a answer, next, maybe uint32) uint32 {
	t.add(r.outcome)
	if a != yes {
		return next
	}
	if t.first == nil {
		t.first = r
	}
	if next > maybe {
		t.done = true
		return next
	}
	return maybe // only if the group was left does a rule below it have a say
}

// decision ends a walk; byDefault is the action when no rule matched.
func (t *tally) decision(byDefault Action) Decision {
	if !t.done {
		t.add(outcomeDefault)
	}
	switch {
	case t.mixed:
		return Decision{}
	case t.first == nil:
		return Decision{Decided: true, Action: byDefault}
	}
	return Decision{Decided: true, Action: t.first.action, Rule: t.first.Rule}
}

// Bypass decides the first stage: Continue, Allow (final, nothing is scanned),
// Block or Redirect. It does not allocate.
func (p *Policy) Bypass(f *Facts) Decision {
	var t tally
	p.bypass.walk(&t, p.seed, f)
	return t.decision(Continue)
}

// Access decides the second stage for the object that f has: Allow, Block or
// Redirect. It does not allocate.
func (p *Policy) Access(f *Facts) Decision {
	var t tally
	home := p.homeOf(f)
	p.access.before.walk(&t, p.seed, f)
	if home != nil {
		home.access.walk(&t, p.seed, f)
	}
	p.access.after.walk(&t, p.seed, f)
	return t.decision(Allow)
}

// Protection decides what happens to the object that f has and that a scan
// found to be of class c: Block, Disinfect or Skip. It judges the message at
// hand alone and is always decided once an object was set. It does not allocate.
func (p *Policy) Protection(f *Facts, c Class) Decision {
	var t tally
	home := p.homeOf(f)
	p.protection.before.walk(&t, p.seed, f)
	if home != nil {
		home.protection.walk(&t, p.seed, f)
	}
	p.protection.after.walk(&t, p.seed, f)
	d := t.decision(p.byDefault[c])
	if t.first != nil && d.Decided {
		d.Action = t.first.protect[c]
	}
	return d
}

// Workspace returns where the client belongs; nil for none. It does not allocate.
func (p *Policy) Workspace(f *Facts) *Workspace {
	if home := p.homeOf(f); home != nil {
		return &home.Workspace
	}
	return nil
}

func (p *Policy) homeOf(f *Facts) *workspace {
	if f.homeOf != p {
		f.homeOf, f.home = p, nil
		if p.members != nil {
			var t tally
			if p.members.walk(&t, p.seed, f); t.first != nil {
				f.home = &p.workspaces[t.first.Index]
			}
		}
	}
	return f.home
}
