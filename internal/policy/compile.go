package policy

import (
	"fmt"
	"hash/maphash"
	"sync/atomic"

	"sluice/internal/settings"
)

// Policy is the compiled form of all rules: immutable, shared by any number of
// goroutines without locks.
type Policy struct {
	seed               maphash.Seed
	bypass             *segment
	access, protection stage
	members            *segment // one rule for each workspace
	workspaces         []workspace
	byDefault          [numClasses]Action
	rules, slow        []*Rule
	needs              Needs
}

// stage is a global table, cut where the workspaces' rules run.
type stage struct{ before, after *segment }

type workspace struct {
	Workspace
	access, protection *segment
}

// Options are what Compile takes besides rules.
type Options struct {
	// Types tells whether a name is a type of objects; nil takes any.
	Types func(name string) bool
	// Previous is the policy before this one: rules of the same table and name
	// go on counting hits where they stood. Nil for none.
	Previous *Policy
}

// Compile makes a policy of rules, workspaces and the default protection policy,
// whose classes left out are as in settings.DefaultProtection. The error is
// settings.Errors and names every field that is wrong.
func Compile(rules settings.Rules, ws []settings.Workspace, def settings.ProtectionPolicy, o Options) (*Policy, error) {
	if errs := settings.ValidateRules(&rules, ws); len(errs) > 0 {
		return nil, errs
	}
	c := &compiler{
		options: o, policy: &Policy{seed: maphash.MakeSeed()}, next: outcomeFirst,
		redirects: map[redirect]outcome{}, counters: map[counterKey]*atomic.Uint64{},
	}
	if o.Previous != nil {
		for _, r := range o.Previous.rules {
			c.counters[keyOfCounter(r)] = r.hits
		}
	}
	p := c.policy
	p.byDefault = c.protect(def, settings.DefaultProtection())
	p.bypass = c.segment(StageBypass, "", flat("rules.bypass", rules.Bypass))
	p.access = c.stage(StageAccess, "rules.access", rules.Access)
	p.protection = c.stage(StageProtection, "rules.protection", rules.Protection)
	c.addWorkspaces(ws)
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	c.finish()
	return p, nil
}

type redirect struct {
	to     string
	status int
}

type counterKey struct {
	stage           Stage
	workspace, name string
}

func keyOfCounter(r *Rule) counterKey { return counterKey{r.Stage, r.Workspace, r.Name} }

type compiler struct {
	options   Options
	policy    *Policy
	errs      settings.Errors
	next      outcome
	redirects map[redirect]outcome
	counters  map[counterKey]*atomic.Uint64
}

// row is one rule with its place.
type row struct {
	rule     *settings.Rule
	path     string
	group    string
	groupNum int // -1 outside
	groupOn  bool
}

func flat(path string, rules []settings.Rule) []row {
	rows := make([]row, len(rules))
	for i := range rules {
		rows[i] = row{rule: &rules[i], path: fmt.Sprintf("%s[%d]", path, i), groupNum: -1, groupOn: true}
	}
	return rows
}

// tableRows lays out entries; the second list is what stands below the row of the
// workspaces.
func tableRows(path string, entries []settings.Entry) (before, after []row) {
	out := &before
	for i := range entries {
		e, at := &entries[i], fmt.Sprintf("%s[%d]", path, i)
		switch {
		case e.Workspaces != "":
			out = &after
		case e.Group != "":
			on := e.On()
			for j := range e.Rules {
				*out = append(*out, row{&e.Rules[j], fmt.Sprintf("%s.rules[%d]", at, j), e.Group, i, on})
			}
		default:
			*out = append(*out, row{&e.Rule, at, "", -1, true})
		}
	}
	return before, after
}

func (c *compiler) stage(s Stage, path string, entries []settings.Entry) stage {
	before, after := tableRows(path, entries)
	out := stage{before: c.segment(s, "", before)}
	if after != nil {
		out.after = c.segment(s, "", after)
		for i := range out.after.rules {
			r := out.after.rules[i].Rule
			r.Index += len(before)
			r.order += 2 << 32
		}
	}
	return out
}

func (c *compiler) addWorkspaces(ws []settings.Workspace) {
	if len(ws) == 0 {
		return
	}
	p := c.policy
	p.workspaces = make([]workspace, len(ws))
	members := make([]settings.Rule, len(ws))
	rows := make([]row, len(ws))
	for i := range ws {
		in, path := &ws[i], fmt.Sprintf("workspaces[%d]", i)
		w := &p.workspaces[i]
		w.Workspace = Workspace{Name: in.Name, Text: in.Text}
		w.access = c.workspaceTable(StageAccess, in, path+".access", in.Access)
		w.protection = c.workspaceTable(StageProtection, in, path+".protection", in.Protection)
		members[i] = settings.Rule{Name: in.Name, Enabled: in.Enabled, From: settings.Initiators{Any: in.Members}}
		rows[i] = row{rule: &members[i], path: path, groupNum: -1, groupOn: true}
	}
	p.members = c.build(StageAccess, rows)
}

func (c *compiler) workspaceTable(s Stage, w *settings.Workspace, path string, entries []settings.Entry) *segment {
	rows, _ := tableRows(path, entries)
	out := c.segment(s, w.Name, rows)
	for i := range out.rules {
		r := out.rules[i].Rule
		r.order += 1 << 32
		if r.Text == "" {
			r.Text = w.Text
		}
	}
	return out
}

// segment compiles rows and takes their rules in for counting.
func (c *compiler) segment(s Stage, workspace string, rows []row) *segment {
	out := c.build(s, rows)
	for i := range out.rules {
		r := out.rules[i].Rule
		r.Workspace = workspace
		key := keyOfCounter(r)
		if r.hits = c.counters[key]; r.hits == nil {
			r.hits = new(atomic.Uint64)
		}
		c.policy.rules = append(c.policy.rules, r)
	}
	c.policy.slow = append(c.policy.slow, out.slow...)
	return out
}

func (c *compiler) build(s Stage, rows []row) *segment {
	out := &segment{rules: make([]rule, len(rows)), onlyOwn: s == StageProtection}
	public := make([]Rule, len(rows))
	for i := range rows {
		out.rules[i] = c.rule(s, &rows[i], &public[i])
		public[i].Index, public[i].order = i, uint64(i)
	}
	for i := range rows {
		end := i + 1
		if rows[i].groupNum >= 0 {
			for end < len(rows) && rows[end].groupNum == rows[i].groupNum {
				end++
			}
		}
		for j := i; j < end; j++ {
			out.rules[j].groupEnd = uint32(end)
		}
	}
	if len(c.errs) == 0 {
		out.indexes, out.slow = newIndexes(out.rules, c.policy.seed, out.onlyOwn)
	}
	return out
}

func (c *compiler) finish() {
	p := c.policy
	p.needs.of(&p.needs.Access, p.bypass, p.access.before, p.access.after)
	p.needs.of(&p.needs.Protection, p.protection.before, p.protection.after)
	for i := range p.workspaces {
		p.needs.of(&p.needs.Access, p.workspaces[i].access)
		p.needs.of(&p.needs.Protection, p.workspaces[i].protection)
	}
}

// Rules lists all rules, those of the global tables first, for showing and
// resetting counters. It must not be changed.
func (p *Policy) Rules() []*Rule { return p.rules }

// SlowRules lists the rules that have to be asked about every message, because a
// mask or an expression of theirs holds no four letters in a row to look for.
// They decide rightly, but thousands of them cost time. It must not be changed.
func (p *Policy) SlowRules() []*Rule { return p.slow }
