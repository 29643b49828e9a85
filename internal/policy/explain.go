package policy

import (
	"fmt"
	"strings"
)

// Explanation tells how each stage came to its decision: which rules were looked
// at, in their order, and what each answered and why.
type Explanation struct {
	Method    string       `json:"method"`
	URL       string       `json:"url"`
	Direction string       `json:"direction"`
	Time      string       `json:"time"`
	Workspace string       `json:"workspace,omitempty"`
	Stages    []StageTrace `json:"stages"`
}

// StageTrace is one stage, for one object where objects were given.
type StageTrace struct {
	Stage  string `json:"stage"`
	Object string `json:"object,omitempty"`
	Steps  []Step `json:"steps,omitempty"`
	// Unlisted counts the rules in front of Steps that are left out, because
	// there are more than an explanation shows.
	Unlisted int    `json:"unlisted,omitempty"`
	Decided  bool   `json:"decided"`
	Action   string `json:"action,omitempty"`
	Rule     string `json:"rule,omitempty"` // empty when the default decided
	// Classes are the actions for what a scan may find; protection stage only.
	Classes map[string]string `json:"classes,omitempty"`
	Note    string            `json:"note"`
}

// Step is one rule that was looked at.
type Step struct {
	Rule      string `json:"rule"`
	Group     string `json:"group,omitempty"`
	Workspace string `json:"workspace,omitempty"`
	Path      string `json:"path"`   // where it stands in the settings
	Action    string `json:"action"` // what it asks for
	Answer    string `json:"answer"` // yes, no, not yet or skipped
	Reason    string `json:"reason"`
}

// Bounds on an explanation.
const (
	maxSteps         = 1000
	maxTracedObjects = 100
)

// Explain tells how the policy decides on what is known: of each object, when
// some are given, else of the message as f stands. It asks every rule the slow
// way and is not for the data path. f keeps its object.
func (p *Policy) Explain(f *Facts, objects []Object) Explanation {
	e := Explanation{
		Method: clip(string(f.method)), URL: clip(string(f.URL())), Direction: f.dir.String(), Time: timeText(f.now),
	}
	if w := p.Workspace(f); w != nil {
		e.Workspace = w.Name
	}
	state, object := f.objects, f.object
	defer func() {
		f.SetObject(object)
		f.objects = state
	}()
	bypass := p.explainStage(StageBypass, f)
	e.Stages = append(e.Stages, bypass)
	if bypass.Action != Continue.String() {
		return e
	}
	if len(objects) == 0 {
		e.Stages = append(e.Stages, p.explainRest(f, "")...)
	}
	for i := range objects[:min(len(objects), maxTracedObjects)] {
		f.SetObject(&objects[i])
		e.Stages = append(e.Stages, p.explainRest(f, objectTitle(i, &objects[i]))...)
	}
	return e
}

func objectTitle(i int, o *Object) string {
	if o.Name == "" {
		return fmt.Sprintf("object %d", i+1)
	}
	return clip(o.Name)
}

// explainRest explains access, and protection where a scan may follow.
func (p *Policy) explainRest(f *Facts, object string) []StageTrace {
	access := p.explainStage(StageAccess, f)
	access.Object = object
	if access.Decided && access.Action != Allow.String() {
		return []StageTrace{access}
	}
	protection := p.explainStage(StageProtection, f)
	protection.Object = object
	return []StageTrace{access, protection}
}

func (p *Policy) explainStage(s Stage, f *Facts) StageTrace {
	byDefault := [...]Action{Continue, Allow, Continue}[s]
	steps := p.trace(s, f)
	d := verdictOf(steps, byDefault)
	t := StageTrace{Stage: s.String(), Decided: d.Decided}
	t.Unlisted = max(0, len(steps)-maxSteps)
	for i := range steps[t.Unlisted:] {
		t.Steps = append(t.Steps, steps[t.Unlisted+i].show())
	}
	if d.Rule != nil {
		t.Rule = d.Rule.Name
	}
	switch {
	case !d.Decided:
		t.Note = undecidedNote(f)
	case s == StageProtection:
		t.Classes = map[string]string{}
		for c := range numClasses {
			action := p.byDefault[c]
			if r := ruleOf(steps, d); r != nil {
				action = r.protect[c]
			}
			t.Classes[c.String()] = action.String()
		}
		t.Note = ruleNote(d.Rule, "the default protection policy decides")
	default:
		t.Action = d.Action.String()
		t.Note = ruleNote(d.Rule, "no rule decided: "+defaultNotes[s])
	}
	return t
}

var defaultNotes = [...]string{"go on to the access rules", "allowed"}

func ruleOf(steps []step, d Decision) *rule {
	for i := range steps {
		if steps[i].rule.Rule == d.Rule {
			return steps[i].rule
		}
	}
	return nil
}

func ruleNote(r *Rule, none string) string {
	switch {
	case r == nil:
		return none
	case r.Workspace != "":
		return fmt.Sprintf("rule %q of workspace %q decides", r.Name, r.Workspace)
	}
	return fmt.Sprintf("rule %q decides", r.Name)
}

func undecidedNote(f *Facts) string {
	switch {
	case f.objects == objectsPending && f.dir == dirResponse:
		return "undecided until the body is known"
	case f.objects == objectsPending:
		return "undecided until the body or the response is known"
	}
	return "undecided: the request goes on, and the response decides"
}

func (st *step) show() Step {
	r := st.rule
	out := Step{
		Rule: r.Name, Group: r.Group, Workspace: r.Workspace, Path: r.Path,
		Action: r.actionText(), Answer: st.answer.String(), Reason: st.reason,
	}
	switch {
	case st.skipped == nil:
	case st.skipped.nextGroup:
		out.Answer, out.Reason = "skipped", fmt.Sprintf("rule %q leads out of the group", st.skipped.Name)
	default:
		out.Answer, out.Reason = "skipped", fmt.Sprintf("rule %q decides in this group", st.skipped.Name)
	}
	return out
}

// actionText is what the rule asks for.
func (r *rule) actionText() string {
	switch {
	case r.nextGroup:
		return "next-group"
	case r.Stage == StageProtection:
		parts := make([]string, numClasses)
		for c := range numClasses {
			parts[c] = c.String() + " " + r.protect[c].String()
		}
		return strings.Join(parts, ", ")
	case r.action == Redirect:
		return "redirect to " + r.RedirectTo
	}
	return r.action.String()
}

// String is the explanation in lines for people.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s %s at %s\n", e.Direction, e.Method, e.URL, e.Time)
	if e.Workspace != "" {
		fmt.Fprintf(&b, "workspace %s\n", e.Workspace)
	}
	for i := range e.Stages {
		e.Stages[i].write(&b)
	}
	return b.String()
}

func (t *StageTrace) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s", t.Stage)
	if t.Object != "" {
		fmt.Fprintf(b, " of %s", t.Object)
	}
	b.WriteByte('\n')
	if t.Unlisted > 0 {
		fmt.Fprintf(b, "  (%d rules above these left out)\n", t.Unlisted)
	}
	for _, s := range t.Steps {
		where := ""
		if s.Workspace != "" {
			where += " [workspace " + s.Workspace + "]"
		}
		if s.Group != "" {
			where += " [group " + s.Group + "]"
		}
		fmt.Fprintf(b, "  %-8s %s%s (%s): %s\n", s.Answer, s.Rule, where, s.Action, s.Reason)
	}
	switch {
	case t.Classes != nil:
		fmt.Fprintf(b, "  = malware %s, encrypted %s, macros %s: %s\n",
			t.Classes[Malware.String()], t.Classes[Encrypted.String()], t.Classes[Macros.String()], t.Note)
	case t.Decided:
		fmt.Fprintf(b, "  = %s: %s\n", t.Action, t.Note)
	default:
		fmt.Fprintf(b, "  = %s\n", t.Note)
	}
}
