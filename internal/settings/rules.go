package settings

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Rules are the three tables of the whole installation, each checked from top
// to bottom. The first rule that matches ends its stage, save that an access
// rule with the action next-group only ends its group.
type Rules struct {
	// Bypass is decided first, by what stands in message headers.
	Bypass []Rule `yaml:"bypass,omitempty"`
	// Access says what may pass.
	Access []Entry `yaml:"access,omitempty"`
	// Protection says what happens to what the scan found.
	Protection []Entry `yaml:"protection,omitempty"`
}

// Workspace is a part of the organisation with rules of its own. A transaction
// belongs to the first workspace that has its client as a member. The
// workspace's tables run where the global table has its row "workspaces: here",
// or after the last row where it has none.
type Workspace struct {
	Name    string `yaml:"name"`
	Comment string `yaml:"comment,omitempty"`
	// Enabled is true when left out.
	Enabled *bool `yaml:"enabled,omitempty"`
	// Members are the clients that belong here: any one item is enough. Items
	// are addresses, users and groups.
	Members    []Initiator `yaml:"members"`
	Access     []Entry     `yaml:"access,omitempty"`
	Protection []Entry     `yaml:"protection,omitempty"`
	// Text is shown on block pages of this workspace's clients, unless the
	// rule has its own.
	Text string `yaml:"text,omitempty"`
}

// On tells whether the workspace is enabled.
func (w *Workspace) On() bool { return w.Enabled == nil || *w.Enabled }

// WorkspacesHere is the one value of Entry.Workspaces.
const WorkspacesHere = "here"

// Entry is one row of the access or protection table. It is one of three
// things: a rule; a group of rules, which has the keys group, rules, comment and
// enabled; or the row where the rules of workspaces run, which has the key
// workspaces alone.
type Entry struct {
	Rule       `yaml:",inline"`
	Group      string `yaml:"group,omitempty"`
	Rules      []Rule `yaml:"rules,omitempty"`
	Workspaces string `yaml:"workspaces,omitempty"`
}

// Action is what a bypass or access rule asks for.
type Action string

// The actions. In the bypass table, allow lets the message through without
// scanning and without any further rule, and next-group is not known.
const (
	ActionAllow     Action = "allow"
	ActionBlock     Action = "block" // what an access rule without an action does
	ActionRedirect  Action = "redirect"
	ActionNextGroup Action = "next-group" // leave this group, go on below it
)

// Rule is one rule of any table. A rule matches when its schedule holds, From
// and Match are met, and no exclusion is.
type Rule struct {
	// Name is unique in its table.
	Name    string `yaml:"name,omitempty"`
	Comment string `yaml:"comment,omitempty"`
	// Enabled is true when left out.
	Enabled *bool `yaml:"enabled,omitempty"`

	// Action belongs to bypass and access rules.
	Action Action `yaml:"action,omitempty"`
	// RedirectTo is where action redirect sends the user: an absolute http
	// or https URL.
	RedirectTo string `yaml:"redirect_to,omitempty"`
	// RedirectStatus is 302 (when left out) or 307.
	RedirectStatus int `yaml:"redirect_status,omitempty"`
	// DropRange takes the Range field out of requests that this access rule
	// allows, so that the whole object comes and can be scanned.
	DropRange bool `yaml:"drop_range,omitempty"`
	// Text is shown on the block page.
	Text string `yaml:"text,omitempty"`

	// ProtectionPolicy belongs to protection rules. What such a rule leaves
	// out stays as the default protection policy has it.
	ProtectionPolicy `yaml:",inline"`

	// From says for whom the rule is; everyone when left out.
	From Initiators `yaml:"from,omitempty"`
	// Match says for what traffic the rule is; all of it when left out.
	Match Criteria `yaml:"match,omitempty"`
	// Except lists what the rule is not for, though From and Match are met.
	Except []Exclusion `yaml:"except,omitempty"`
	// Schedule says when the rule holds; always when left out.
	Schedule *Schedule `yaml:"schedule,omitempty"`
}

// On tells whether the rule is enabled.
func (r *Rule) On() bool { return r.Enabled == nil || *r.Enabled }

// ProtectionAction is what happens to an object of one class.
type ProtectionAction string

// The protection actions.
const (
	ProtectBlock     ProtectionAction = "block"
	ProtectDisinfect ProtectionAction = "disinfect" // take the threat out where possible, else block; malware only
	ProtectSkip      ProtectionAction = "skip"
)

// ProtectionPolicy names an action for each class of what a scan finds.
type ProtectionPolicy struct {
	// Malware: block, disinfect or skip.
	Malware ProtectionAction `yaml:"malware,omitempty"`
	// Encrypted objects, which cannot be read without a password: block or skip.
	Encrypted ProtectionAction `yaml:"encrypted,omitempty"`
	// Macros in documents: block or skip.
	Macros ProtectionAction `yaml:"macros,omitempty"`
}

// DefaultProtection is the policy of an installation that was not configured:
// every class is refused, and malware taken out where that is possible.
func DefaultProtection() ProtectionPolicy {
	return ProtectionPolicy{Malware: ProtectDisinfect, Encrypted: ProtectBlock, Macros: ProtectBlock}
}

// Initiators is a condition on the client: any or all, never both.
type Initiators struct {
	Any []Initiator `yaml:"any,omitempty"`
	All []Initiator `yaml:"all,omitempty"`
}

// IsZero tells whether there is no condition.
func (i Initiators) IsZero() bool { return i.Any == nil && i.All == nil }

// Initiator is one condition on the client. It has exactly one key, whose value
// is one text or a list of which one must fit. Users, groups and agents are
// names, masks with * and ?, or regular expressions written "regex:..."; the
// case of letters makes no difference to names and masks.
type Initiator struct {
	// User is the name as the proxy tells it: "user@REALM", "DOMAIN\user", "user".
	User Strings `yaml:"user,omitempty"`
	// Group is one of the client's groups as told.
	Group Strings `yaml:"group,omitempty"`
	// Address is the client's: one address, a range "10.0.0.1-10.0.0.9" or a
	// prefix "10.0.0.0/8", IPv4 or IPv6.
	Address Strings `yaml:"address,omitempty"`
	// Agent is the request's User-Agent field.
	Agent Strings `yaml:"agent,omitempty"`
}

// Criteria is a condition on the traffic: any or all, never both. Criteria on
// objects (type, file_name, size, md5, sha256, part_mime) of one rule must be
// met by one and the same object.
type Criteria struct {
	Any []Criterion `yaml:"any,omitempty"`
	All []Criterion `yaml:"all,omitempty"`
}

// IsZero tells whether there is no condition.
func (c Criteria) IsZero() bool { return c.Any == nil && c.All == nil }

// Criterion is one condition on the traffic. It has exactly one key; a list
// means that one of its values must fit.
type Criterion struct {
	// URL is "[scheme://]host[:port][/path]", or "regex:..." on the whole
	// normalised URL. A host stands for itself and everything below it,
	// a host with * or ? is a mask, and * alone is any host. A path stands for
	// itself and everything below it; with * or ? it is a mask on the path,
	// with and without the query.
	URL Strings `yaml:"url,omitempty"`
	// MIME is the Content-Type of the message without parameters; masks allowed.
	MIME Strings `yaml:"mime,omitempty"`
	// PartMIME is the Content-Type of a part of a multipart message.
	PartMIME Strings `yaml:"part_mime,omitempty"`
	// Type is the type of an object by its content, such as pe, zip or pdf.
	Type Strings `yaml:"type,omitempty"`
	// FileName is the name of an object; masks and regular expressions allowed.
	FileName Strings `yaml:"file_name,omitempty"`
	// Size of an object: ">1MB", ">=1MB", "<1MB", "<=1MB", "=0" or "1MB-10MB".
	Size Strings `yaml:"size,omitempty"`
	// MD5 of an object, 32 hexadecimal digits.
	MD5 Strings `yaml:"md5,omitempty"`
	// SHA256 of an object, 64 hexadecimal digits.
	SHA256 Strings `yaml:"sha256,omitempty"`
	// Direction is request or response.
	Direction string `yaml:"direction,omitempty"`
	// Method of the request, in capitals as RFC 9110 section 9.1 has it.
	Method Strings `yaml:"method,omitempty"`
	// Length is the Content-Length of the message, written as Size is. Only
	// for the bypass table; a message without the field has no length.
	Length Strings `yaml:"length,omitempty"`
}

// Exclusion takes clients and traffic out of a rule. It needs from, match or
// both; when it has both, both must be met.
type Exclusion struct {
	From  Initiators `yaml:"from,omitempty"`
	Match Criteria   `yaml:"match,omitempty"`
}

// Schedule says when a rule holds.
type Schedule struct {
	// Zone is an IANA time zone such as "Europe/Berlin"; UTC when left out.
	Zone string `yaml:"zone,omitempty"`
	// Spans are the times of the week, any of them; always when left out.
	Spans []Span `yaml:"spans,omitempty"`
	// From is the first day, "2026-01-31".
	From string `yaml:"from,omitempty"`
	// Until is the last day.
	Until string `yaml:"until,omitempty"`
}

// Span is a part of the week.
type Span struct {
	// Days are "mon" to "sun" and ranges of them, "mon-fri"; every day when
	// left out.
	Days Strings `yaml:"days,omitempty"`
	// Hours are "08:00-18:00"; the end is not part of them and may be 24:00.
	// A range over midnight, "22:00-06:00", belongs to the day it starts on.
	// The whole day when left out.
	Hours Strings `yaml:"hours,omitempty"`
}

// Strings is one text or a list of texts.
type Strings []string

// UnmarshalYAML reads one scalar or a list of scalars.
func (s *Strings) UnmarshalYAML(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		*s = Strings{n.Value}
		return nil
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			return fmt.Errorf("line %d: the list is empty; write at least one value or leave the key out", n.Line)
		}
		out := make(Strings, 0, len(n.Content))
		for _, item := range n.Content {
			if item.Kind == yaml.AliasNode {
				item = item.Alias
			}
			if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" {
				return fmt.Errorf("line %d: want a text, or a list of texts", item.Line)
			}
			out = append(out, item.Value)
		}
		*s = out
		return nil
	default:
		return errors.New("line " + fmt.Sprint(n.Line) + ": want a text, or a list of texts")
	}
}

// MarshalYAML writes one text as a scalar and more as a list.
func (s Strings) MarshalYAML() (any, error) {
	if len(s) == 1 {
		return s[0], nil
	}
	return []string(s), nil
}
