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
	unsure  bool  // the rule is only asked if a next-group rule above answers no
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
	var steps []step
	for _, seg := range p.chain(s, f) {
		if seg == nil {
			continue
		}
		var left, maybeLeft *rule
		for i := range seg.rules {
			r := &seg.rules[i]
			st := step{rule: r}
			if left != nil && left.group == r.group && left.group >= 0 {
				st.skipped = left
				steps = append(steps, st)
				continue
			}
			left = nil
			if maybeLeft != nil && (maybeLeft.group != r.group || maybeLeft.group < 0) {
				maybeLeft = nil
			}
			st.unsure = maybeLeft != nil
			st.answer, st.reason = explainRule(r, f, seg.onlyOwn)
			steps = append(steps, st)
			switch {
			case r.nextGroup && st.answer == yes:
				left = r
			case r.nextGroup && st.answer == notYet:
				maybeLeft = r
			case !r.nextGroup && st.answer == yes && !st.unsure:
				return steps
			case !r.nextGroup && st.answer == yes:
				left = r
			}
		}
	}
	return steps
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
	for j < len(steps) && g.group >= 0 && steps[j].rule.group == g.group && steps[j].rule.Rule.order>>32 == g.Rule.order>>32 {
		j++
	}
	return j
}
