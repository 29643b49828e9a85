package policy

// The reference is the policy told in the plainest way: every rule is asked in
// its order, every value is compared by itself. Explanations are made of it, and
// tests hold the compiled policy against it.

// step is one rule as the reference saw it.
type step struct {
	rule    *rule
	answer  answer
	reason  string
	skipped *rule // the next-group rule for which this one was not asked
}

// chain is the rules of a stage in the order in which they are checked for one
// client. Groups are told apart by group number and segment.
func (p *Policy) chain(s Stage, f *Facts) []*segment {
	home := p.homeOf(f)
	switch {
	case s == StageBypass:
		return []*segment{p.bypass}
	case s == StageAccess && home != nil:
		return []*segment{p.access.before, home.access, p.access.after}
	case s == StageAccess:
		return []*segment{p.access.before, p.access.after}
	case home != nil:
		return []*segment{p.protection.before, home.protection, p.protection.after}
	}
	return []*segment{p.protection.before, p.protection.after}
}

// trace asks the rules of a stage one by one, until one answers yes for sure.
func (p *Policy) trace(s Stage, f *Facts) []step {
	var t tracer
	for _, seg := range p.chain(s, f) {
		if seg == nil {
			continue
		}
		t.left, t.maybe = nil, nil
		for i := range seg.rules {
			if t.ask(&seg.rules[i], f, seg.onlyOwn) {
				return t.steps
			}
		}
	}
	return t.steps
}

// tracer is where a trace stands.
type tracer struct {
	steps []step
	left  *rule // why the rest of its group is skipped
	maybe *rule // the next-group rule for which the rest of its group may be
}

// ask adds the step of r and tells whether nothing below it can have a say.
func (t *tracer) ask(r *rule, f *Facts, onlyOwn bool) bool {
	if t.left.sameGroup(r) {
		t.steps = append(t.steps, step{rule: r, skipped: t.left})
		return false
	}
	t.left = nil
	if !t.maybe.sameGroup(r) {
		t.maybe = nil
	}
	st := step{rule: r}
	st.answer, st.reason = explainRule(r, f, onlyOwn)
	t.steps = append(t.steps, st)
	switch {
	case st.answer == no:
	case r.nextGroup && st.answer == notYet:
		t.maybe = r
	case r.nextGroup:
		t.left = r
	case st.answer == yes && t.maybe == nil:
		return true
	case st.answer == yes:
		t.left = r
	}
	return false
}

// sameGroup tells whether two rules of a segment stand in one group.
func (r *rule) sameGroup(other *rule) bool {
	return r != nil && r.group >= 0 && r.group == other.group
}

// verdictOf finds all outcomes that the answers leave open. A not yet is taken
// for yes and for no; next-group leads behind the group.
func verdictOf(steps []step, byDefault Action) Decision {
	open := map[outcome]bool{}
	seen := map[int]bool{}
	var follow func(i int)
	follow = func(i int) {
		for ; i < len(steps) && !seen[i]; i++ {
			seen[i] = true
			st := &steps[i]
			if st.skipped != nil && st.skipped.nextGroup || st.answer == no {
				continue
			}
			if st.rule.nextGroup {
				follow(groupEnd(steps, i))
			} else {
				open[st.rule.outcome] = true
			}
			if st.answer == yes {
				return
			}
		}
		if i == len(steps) {
			open[outcomeDefault] = true
		}
	}
	follow(0)
	if len(open) > 1 {
		return Decision{}
	}
	for i := 0; i < len(steps); i++ {
		st := &steps[i]
		if st.answer != yes || st.skipped != nil {
			continue
		}
		if st.rule.nextGroup {
			i = groupEnd(steps, i) - 1
			continue
		}
		return Decision{Decided: true, Action: st.rule.action, Rule: st.rule.Rule}
	}
	return Decision{Decided: true, Action: byDefault}
}

// groupEnd is the first step behind the group of step i.
func groupEnd(steps []step, i int) int {
	g := steps[i].rule
	j := i + 1
	for j < len(steps) && g.sameGroup(steps[j].rule) && steps[j].rule.order>>32 == g.order>>32 {
		j++
	}
	return j
}
