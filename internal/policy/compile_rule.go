package policy

import (
	"fmt"
	"slices"

	"sluice/internal/settings"
)

func (c *compiler) rule(s Stage, in *row, public *Rule) rule {
	src := in.rule
	*public = Rule{
		Name: src.Name, Stage: s, Group: in.group, Path: in.path, Text: src.Text,
		RedirectTo: src.RedirectTo, RedirectStatus: src.RedirectStatus, DropRange: src.DropRange,
	}
	r := rule{Rule: public, src: src, enabled: src.On() && in.groupOn, group: in.groupNum}
	c.action(s, &r)
	r.from = c.from(in.path+".from", &src.From)
	r.match = c.match(in.path+".match", &src.Match)
	for i := range src.Except {
		x, at := &src.Except[i], fmt.Sprintf("%s.except[%d]", in.path, i)
		r.except = append(r.except, exception{c.from(at+".from", &x.From), c.match(at+".match", &x.Match)})
	}
	if src.Schedule != nil {
		var err error
		if r.sched, err = newSchedule(src.Schedule); err != nil {
			c.errs.Add(in.path+".schedule", "%v", err)
		}
	}
	seen := r.kinds()
	r.hasDirection = seen.has(kindDirection)
	r.static = seen&messageKinds == 0
	r.objects = seen&objectKinds != 0
	return r
}

func (c *compiler) action(s Stage, r *rule) {
	src := r.src
	switch {
	case s == StageProtection:
		r.protect = c.protect(src.ProtectionPolicy, settings.ProtectionPolicy{})
		r.outcome = c.fresh()
	case src.Action == settings.ActionAllow:
		r.action, r.outcome = Allow, c.fresh()
	case src.Action == settings.ActionNextGroup:
		r.nextGroup = true
	case src.Action == settings.ActionRedirect:
		if r.RedirectStatus == 0 {
			r.RedirectStatus = 302
		}
		key := redirect{r.RedirectTo, r.RedirectStatus}
		if c.redirects[key] == 0 {
			c.redirects[key] = c.fresh()
		}
		r.action, r.outcome = Redirect, c.redirects[key]
	default:
		r.action, r.outcome = Block, outcomeBlock
	}
}

func (c *compiler) fresh() outcome {
	c.next++
	return c.next - 1
}

// protect reads a protection policy; what it leaves out is as in def, and else
// as in the default policy.
func (c *compiler) protect(p, def settings.ProtectionPolicy) (out [numClasses]Action) {
	have := [numClasses]settings.ProtectionAction{p.Malware, p.Encrypted, p.Macros}
	fill := [numClasses]settings.ProtectionAction{def.Malware, def.Encrypted, def.Macros}
	for i, a := range have {
		if a == "" {
			a = fill[i]
		}
		switch a {
		case settings.ProtectBlock:
			out[i] = Block
		case settings.ProtectDisinfect:
			out[i] = Disinfect
		case settings.ProtectSkip:
			out[i] = Skip
		default:
			out[i] = c.policy.byDefault[i]
		}
	}
	return out
}

// kinds is everything the rule looks at.
func (r *rule) kinds() (k kinds) {
	for _, c := range r.conditions() {
		for i := range c.leaves {
			k |= 1 << c.leaves[i].kind
		}
	}
	return k
}

func (r *rule) conditions() []*condition {
	out := []*condition{&r.from, &r.match}
	for i := range r.except {
		out = append(out, &r.except[i].from, &r.except[i].match)
	}
	return out
}

// value is one key of an initiator or a criterion.
type value struct {
	kind kind
	list []string
}

func (c *compiler) from(path string, in *settings.Initiators) condition {
	list, all, word := in.Any, false, "any"
	if in.All != nil {
		list, all, word = in.All, true, "all"
	}
	out := condition{all: all}
	for i := range list {
		it := &list[i]
		c.leaf(&out, fmt.Sprintf("%s.%s[%d]", path, word, i), []value{
			{kindUser, it.User}, {kindGroup, it.Group}, {kindAddress, it.Address}, {kindAgent, it.Agent},
		})
	}
	return out
}

func (c *compiler) match(path string, in *settings.Criteria) condition {
	list, all, word := in.Any, false, "any"
	if in.All != nil {
		list, all, word = in.All, true, "all"
	}
	out := condition{all: all}
	for i := range list {
		it := &list[i]
		var direction []string
		if it.Direction != "" {
			direction = []string{it.Direction}
		}
		c.leaf(&out, fmt.Sprintf("%s.%s[%d]", path, word, i), []value{
			{kindURL, it.URL}, {kindMIME, it.MIME}, {kindPartMIME, it.PartMIME}, {kindType, it.Type},
			{kindFileName, it.FileName}, {kindSize, it.Size}, {kindMD5, it.MD5}, {kindSHA256, it.SHA256},
			{kindDirection, direction}, {kindMethod, it.Method}, {kindLength, it.Length},
		})
	}
	return out
}

// leaf compiles the one key that an item has.
func (c *compiler) leaf(out *condition, path string, values []value) {
	i := slices.IndexFunc(values, func(v value) bool { return v.list != nil })
	if i < 0 {
		return
	}
	v := values[i]
	path += "." + kindNames[v.kind]
	if v.kind == kindType && c.options.Types != nil {
		for _, name := range v.list {
			if !c.options.Types(name) {
				c.errs.Add(path, "%q is not a type of objects that Sluice knows", name)
			}
		}
	}
	l, err := newLeaf(v.kind, v.list)
	if err != nil {
		c.errs.Add(path, "%v", err)
		return
	}
	out.leaves = append(out.leaves, l)
}
