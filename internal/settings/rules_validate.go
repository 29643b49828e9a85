package settings

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds on the rules of one installation. They keep a settings document, its
// compiled form and its check time within what a node can hold.
const (
	MaxRules      = 200_000 // in all tables together
	MaxWorkspaces = 1_000
	maxValues     = 2_000_000 // texts in all lists together
	maxRegexes    = 20_000    // in all tables together
	maxItems      = 1_000     // initiators or criteria of one condition
	maxList       = 10_000    // texts in one list
	maxExcept     = 100
	maxSpans      = 50
	maxName       = 200    // characters
	maxComment    = 2_000  // characters
	maxText       = 10_000 // characters
	maxValue      = 1_000  // bytes of one text
	maxStars      = 16     // of one mask
)

// table says which table a rule stands in, for what is allowed there.
type table uint8

const (
	bypassTable table = iota
	accessTable
	protectionTable
)

type rulesValidator struct {
	errs                   Errors
	rules, values, regexes int
	names                  map[string]string // of one table, to the path of the first
}

// validateRules checks all tables of the global rules and of the workspaces.
// URL patterns and type names get their last check when policy compiles them.
func validateRules(s *Settings) Errors { return ValidateRules(&s.Rules, s.Workspaces) }

// ValidateRules checks rules and workspaces on their own, as a test or a tool
// has them without the rest of the settings.
func ValidateRules(r *Rules, ws []Workspace) Errors {
	v := &rulesValidator{names: map[string]string{}}
	for i := range r.Bypass {
		v.rule(fmt.Sprintf("rules.bypass[%d]", i), bypassTable, &r.Bypass[i])
	}
	v.table("rules.access", accessTable, r.Access, true)
	v.table("rules.protection", protectionTable, r.Protection, true)
	v.workspaces(ws)
	if v.rules > MaxRules {
		v.errs.Add("rules", "there are %d rules in all, more than %d", v.rules, MaxRules)
	}
	if v.values > maxValues {
		v.errs.Add("rules", "there are %d values in all, more than %d", v.values, maxValues)
	}
	if v.regexes > maxRegexes {
		v.errs.Add("rules", "there are %d regular expressions in all, more than %d", v.regexes, maxRegexes)
	}
	return v.errs
}

func (v *rulesValidator) workspaces(ws []Workspace) {
	if len(ws) > MaxWorkspaces {
		v.errs.Add("workspaces", "there are %d workspaces, more than %d", len(ws), MaxWorkspaces)
		return
	}
	names := map[string]string{}
	for i := range ws {
		w, path := &ws[i], fmt.Sprintf("workspaces[%d]", i)
		v.name(path+".name", w.Name, names)
		v.comment(path, w.Comment)
		v.text(path+".text", w.Text, maxText)
		if len(w.Members) == 0 {
			v.errs.Add(path+".members", "a workspace needs at least one member: an address, a user or a group")
		}
		v.initiatorList(path+".members", w.Members)
		for j := range w.Members {
			if w.Members[j].Agent != nil {
				v.errs.Add(fmt.Sprintf("%s.members[%d].agent", path, j), "members are addresses, users and groups: anybody can choose an agent")
			}
		}
		v.table(path+".access", accessTable, w.Access, false)
		v.table(path+".protection", protectionTable, w.Protection, false)
	}
}

func (v *rulesValidator) table(path string, t table, entries []Entry, global bool) {
	clear(v.names)
	groups := map[string]string{}
	row := -1
	for i := range entries {
		e, at := &entries[i], fmt.Sprintf("%s[%d]", path, i)
		switch {
		case e.Workspaces != "":
			v.row(at, e, global)
			if row >= 0 {
				v.errs.Add(at+".workspaces", "this row stands at %s[%d] already", path, row)
			}
			row = i
		case e.Group != "" || e.Rules != nil:
			v.group(at, t, e, groups)
		default:
			v.rule(at, t, &e.Rule)
		}
	}
	clear(v.names)
}

func (v *rulesValidator) row(path string, e *Entry, global bool) {
	switch {
	case !global:
		v.errs.Add(path+".workspaces", "only the global tables have this row")
	case e.Workspaces != WorkspacesHere:
		v.errs.Add(path+".workspaces", "write \"workspaces: here\"; the rules of a workspace stand in workspaces")
	case e.Group != "" || e.Rules != nil || !plainRule(&e.Rule):
		v.errs.Add(path, "the row \"workspaces: here\" has no other key")
	}
}

func (v *rulesValidator) group(path string, t table, e *Entry, groups map[string]string) {
	v.name(path+".group", e.Group, groups)
	v.comment(path, e.Comment)
	inner := e.Rule
	inner.Comment, inner.Enabled = "", nil
	if !plainRule(&inner) {
		v.errs.Add(path, "a group has the keys group, comment, enabled and rules; everything else belongs to its rules")
	}
	for i := range e.Rules {
		v.rule(fmt.Sprintf("%s.rules[%d]", path, i), t, &e.Rules[i])
	}
}

// plainRule tells whether no field of r is set.
func plainRule(r *Rule) bool {
	return r.Name == "" && r.Comment == "" && r.Enabled == nil && r.Action == "" && r.RedirectTo == "" &&
		r.RedirectStatus == 0 && !r.DropRange && r.Text == "" && r.ProtectionPolicy == ProtectionPolicy{} &&
		r.From.IsZero() && r.Match.IsZero() && r.Except == nil && r.Schedule == nil
}

func (v *rulesValidator) rule(path string, t table, r *Rule) {
	v.rules++
	v.name(path+".name", r.Name, v.names)
	v.comment(path, r.Comment)
	v.text(path+".text", r.Text, maxText)
	if t == protectionTable {
		v.protectionAction(path, r)
	} else {
		v.action(path, t, r)
	}
	v.initiators(path+".from", &r.From)
	v.criteria(path+".match", t, &r.Match)
	if len(r.Except) > maxExcept {
		v.errs.Add(path+".except", "there are %d exclusions, more than %d", len(r.Except), maxExcept)
		return
	}
	for i := range r.Except {
		x, at := &r.Except[i], fmt.Sprintf("%s.except[%d]", path, i)
		if x.From.IsZero() && x.Match.IsZero() {
			v.errs.Add(at, "an exclusion needs from, match or both; without them it takes everything out")
		}
		v.initiators(at+".from", &x.From)
		v.criteria(at+".match", t, &x.Match)
	}
	if r.Schedule != nil {
		v.schedule(path+".schedule", r.Schedule)
	}
}

func (v *rulesValidator) action(path string, t table, r *Rule) {
	if (r.ProtectionPolicy != ProtectionPolicy{}) {
		v.errs.Add(path, "malware, encrypted and macros belong to rules.protection")
	}
	switch r.Action {
	case ActionAllow, ActionBlock, ActionRedirect:
	case ActionNextGroup:
		if t == bypassTable {
			v.errs.Add(path+".action", "next-group has no meaning here: the bypass table has no groups")
		}
	case "":
		if t == bypassTable {
			v.errs.Add(path+".action", "a bypass rule needs an action: allow (without scanning), block or redirect")
		}
	default:
		v.errs.Add(path+".action", "unknown action %q; use allow, block, redirect or next-group", r.Action)
	}
	v.redirect(path, r)
	if r.DropRange && (r.Action != ActionAllow || t != accessTable) {
		v.errs.Add(path+".drop_range", "this belongs to access rules with action allow")
	}
}

func (v *rulesValidator) redirect(path string, r *Rule) {
	if r.Action != ActionRedirect {
		if r.RedirectTo != "" || r.RedirectStatus != 0 {
			v.errs.Add(path, "redirect_to and redirect_status belong to action redirect")
		}
		return
	}
	u, err := url.Parse(r.RedirectTo)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		len(r.RedirectTo) > maxValue || strings.ContainsFunc(r.RedirectTo, notURLChar) {
		v.errs.Add(path+".redirect_to", "action redirect needs an absolute http or https URL here, such as https://intra.example.com/blocked")
	}
	if s := r.RedirectStatus; s != 0 && s != 302 && s != 307 {
		v.errs.Add(path+".redirect_status", "%d is not 302 or 307", s)
	}
}

func notURLChar(r rune) bool { return r <= ' ' || r >= 0x7f }

func (v *rulesValidator) protectionAction(path string, r *Rule) {
	if r.Action != "" || r.RedirectTo != "" || r.RedirectStatus != 0 || r.DropRange {
		v.errs.Add(path, "a protection rule has no action of its own: it names one for each class (malware, encrypted, macros)")
	}
	if (r.ProtectionPolicy == ProtectionPolicy{}) {
		v.errs.Add(path, "a protection rule needs at least one of malware, encrypted and macros")
	}
	v.protection(path, &r.ProtectionPolicy)
}

func (v *rulesValidator) protection(path string, p *ProtectionPolicy) {
	if !slices.Contains([]ProtectionAction{"", ProtectBlock, ProtectDisinfect, ProtectSkip}, p.Malware) {
		v.errs.Add(path+".malware", "unknown action %q; use block, disinfect or skip", p.Malware)
	}
	for _, c := range []struct {
		name string
		have ProtectionAction
	}{{"encrypted", p.Encrypted}, {"macros", p.Macros}} {
		if c.have != "" && c.have != ProtectBlock && c.have != ProtectSkip {
			v.errs.Add(path+"."+c.name, "unknown action %q; use block or skip", c.have)
		}
	}
}

func (v *rulesValidator) name(path, name string, names map[string]string) {
	if strings.TrimSpace(name) == "" {
		v.errs.Add(path, "a name is needed here")
		return
	}
	v.text(path, name, maxName)
	if strings.ContainsFunc(name, unicode.IsControl) {
		v.errs.Add(path, "a name is one line without control characters")
	}
	if first, twice := names[name]; twice {
		v.errs.Add(path, "the name %q is taken by %s", name, strings.TrimSuffix(strings.TrimSuffix(first, ".name"), ".group"))
		return
	}
	names[name] = path
}

func (v *rulesValidator) comment(path, s string) { v.text(path+".comment", s, maxComment) }

func (v *rulesValidator) text(path, s string, limit int) {
	switch {
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		v.errs.Add(path, "this is not text in UTF-8")
	case utf8.RuneCountInString(s) > limit:
		v.errs.Add(path, "this text is longer than %d characters", limit)
	}
}

func (v *rulesValidator) schedule(path string, s *Schedule) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "Local" || len(s.Zone) > maxName {
		v.errs.Add(path+".zone", "unknown time zone %.40q; write one such as Europe/Berlin, or UTC", s.Zone)
		zone = time.UTC
	}
	if len(s.Spans) == 0 && s.From == "" && s.Until == "" {
		v.errs.Add(path, "a schedule needs spans, from or until")
	}
	if len(s.Spans) > maxSpans {
		v.errs.Add(path+".spans", "there are %d spans, more than %d", len(s.Spans), maxSpans)
		return
	}
	for i := range s.Spans {
		v.span(fmt.Sprintf("%s.spans[%d]", path, i), &s.Spans[i])
	}
	from, until := v.date(path+".from", s.From, zone), v.date(path+".until", s.Until, zone)
	if !from.IsZero() && !until.IsZero() && until.Before(from) {
		v.errs.Add(path+".until", "the last day %s is before the first, %s", s.Until, s.From)
	}
}

func (v *rulesValidator) date(path, s string, zone *time.Location) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := ParseDate(s, zone)
	if err != nil {
		v.errs.Add(path, "%v", err)
	}
	return t
}

func (v *rulesValidator) span(path string, s *Span) {
	if s.Days == nil && s.Hours == nil {
		v.errs.Add(path, "a span needs days, hours or both")
	}
	for i, d := range s.Days {
		if _, err := ParseDays(d); err != nil {
			v.errs.Add(listPath(path+".days", s.Days, i), "%v", err)
		}
	}
	for i, h := range s.Hours {
		if _, _, err := ParseHours(h); err != nil {
			v.errs.Add(listPath(path+".hours", s.Hours, i), "%v", err)
		}
	}
	if len(s.Days) > maxSpans || len(s.Hours) > maxSpans {
		v.errs.Add(path, "a span has at most %d days and %d hours", maxSpans, maxSpans)
	}
}

// listPath names an element of a list that may have been written as one text.
func listPath(path string, list Strings, i int) string {
	if len(list) == 1 {
		return path
	}
	return fmt.Sprintf("%s[%d]", path, i)
}
