package policy

import (
	"sync/atomic"

	"sluice/internal/settings"
)

// Stage is one of the tables that a message passes, in this order.
type Stage uint8

// The stages.
const (
	StageBypass Stage = iota
	StageAccess
	StageProtection
)

var stageNames = [...]string{"bypass", "access", "protection"}

// String is the table's name in settings and events.
func (s Stage) String() string { return stageNames[s] }

// Action is what a stage decided.
type Action uint8

// The actions. In the bypass stage, Continue is what happens when no rule
// matched, and Allow is final: nothing is scanned. In the access stage, Allow
// goes on to protection. The protection stage answers Block, Disinfect or Skip.
const (
	Continue Action = iota
	Allow
	Block
	Redirect
	Disinfect
	Skip
)

var actionNames = [...]string{"continue", "allow", "block", "redirect", "disinfect", "skip"}

// String is the action's name in events and messages.
func (a Action) String() string { return actionNames[a] }

// Class is what a scan found about an object.
type Class uint8

// The classes that protection rules name an action for.
const (
	Malware Class = iota
	Encrypted
	Macros
	numClasses
)

var classNames = [...]string{"malware", "encrypted", "macros"}

// String is the class's name in settings.
func (c Class) String() string { return classNames[c] }

// Rule is a rule of a compiled policy, as users get to see it. Only its counter
// ever changes.
type Rule struct {
	Name           string
	Stage          Stage
	Group          string // empty outside groups
	Workspace      string // empty for global rules
	Index          int    // place among the rules of its table, from 0
	Path           string // of the rule in the settings, as in "rules.access[3]"
	Text           string // for the block page; the workspace's when the rule has none
	RedirectTo     string // for action Redirect
	RedirectStatus int    // 302 or 307, for action Redirect
	DropRange      bool   // take the Range field out of a request that Allow lets pass

	order uint64 // rises in the order in which rules are checked for one client
	hits  *atomic.Uint64
}

// Hit counts one message that this rule decided. It may be called concurrently,
// and on nil, which counts nothing.
func (r *Rule) Hit() {
	if r != nil {
		r.hits.Add(1)
	}
}

// Hits returns the count. It is kept from one policy to the next that is
// compiled with the former as Options.Previous.
func (r *Rule) Hits() uint64 { return r.hits.Load() }

// Decision is what a stage says. The zero value is undecided.
type Decision struct {
	// Decided is false while facts that are not yet known could still change
	// what happens to the message.
	Decided bool
	Action  Action
	// Rule is nil when no rule matched and the stage's default decided. Of
	// several rules of which one will surely stop the message, though it is not
	// known which, it is the first that matches for sure.
	Rule *Rule
}

// Outweighs tells whether d, and not other, decides for a message of which one
// object got d and another got other: what is prohibited in one part is
// prohibited in the whole, and of two rules that stop it the upper one counts.
// Called with the objects in their order, the earlier decision stays otherwise.
func (d Decision) Outweighs(other Decision) bool {
	a, b := d.weight(), other.weight()
	if a != b || a < weightRedirect {
		return a > b
	}
	return d.Rule.order < other.Rule.order
}

const (
	weightPass = iota
	weightUndecided
	weightRedirect
	weightBlock
)

func (d Decision) weight() int {
	switch {
	case !d.Decided:
		return weightUndecided
	case d.Action == Block:
		return weightBlock
	case d.Action == Redirect:
		return weightRedirect
	}
	return weightPass
}

// Workspace is where a client belongs.
type Workspace struct {
	Name string
	Text string // for block pages of rules without a text of their own
}

// rule is a Rule with what it takes to judge by it.
type rule struct {
	*Rule
	src       *settings.Rule
	enabled   bool
	nextGroup bool
	action    Action
	protect   [numClasses]Action // for protection rules
	outcome   outcome
	group     int    // number of its group in the segment, -1 outside
	groupEnd  uint32 // place after its group's last rule

	from, match condition
	except      []exception
	sched       *schedule

	hasDirection bool // has a direction criterion anywhere: no answer for the message to come
	static       bool // looks at nothing but the client and the request's first line and agent
	objects      bool // has a criterion on objects
}

type exception struct{ from, match condition }

// outcome tells what would happen to a message apart from other outcomes. All
// blocks are one outcome, as are redirects to one place: the message does not
// pass. What lets it pass differs by the rule, which the event names.
type outcome uint32

const (
	outcomeDefault outcome = iota
	outcomeBlock
	outcomeFirst // redirects and rules that allow count from here
)

// answer judges the rule on what is known.
//
// In a request transaction, a rule without a direction criterion also stands for
// the response to come, unless only the message at hand is asked for.
func (r *rule) answer(f *Facts, onlyOwn bool) answer {
	a := r.eval(f, ownMessage)
	if a != yes && f.dir == dirRequest && !onlyOwn && !r.hasDirection && !r.static {
		a = max(a, r.eval(f, messageToCome))
	}
	if a != no && r.sched != nil && !r.sched.holds(f.now) {
		return no
	}
	return a
}

func (r *rule) eval(f *Facts, v view) answer {
	a := r.from.eval(f, v)
	if a != no {
		a = min(a, r.match.eval(f, v))
	}
	for i := range r.except {
		if a == no {
			return no
		}
		x := &r.except[i]
		a = min(a, not(min(x.from.eval(f, v), x.match.eval(f, v))))
	}
	return a
}
