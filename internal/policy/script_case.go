package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/settings"
	"sluice/internal/tx"
)

// message is the line of a script that describes what is judged.
type message struct {
	tx      tx.Transaction
	at      time.Time
	objects []Object
}

// scriptTime is when a message happens that names no time: a Monday at noon.
var scriptTime = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// read takes in "request|response METHOD URL [body] [key=value ...]".
func (m *message) read(text string) error {
	words, err := splitWords(text)
	if err != nil {
		return err
	}
	if len(words) < 3 || words[0] != "request" && words[0] != "response" {
		return errors.New("a message begins with: request or response, method, URL")
	}
	m.at = scriptTime
	m.tx.Length = -1
	if words[0] == "response" {
		m.tx.Direction, m.tx.Response.Status = tx.DirResponse, 200
	}
	m.tx.Request.Method, m.tx.Request.URL = []byte(words[1]), []byte(words[2])
	for _, w := range words[3:] {
		if err := m.set(w); err != nil {
			return err
		}
	}
	return nil
}

func (m *message) set(word string) error {
	if word == "body" {
		m.tx.HasBody = true
		return nil
	}
	key, value, ok := strings.Cut(word, "=")
	if !ok {
		return fmt.Errorf("%q is not key=value", word)
	}
	var err error
	switch key {
	case "user":
		m.tx.Client.User = []byte(value)
	case "group":
		m.tx.Client.Groups = append(m.tx.Client.Groups, []byte(value))
	case "address":
		m.tx.Client.Addr, err = netip.ParseAddr(value)
	case "agent":
		m.tx.Request.Header = append(m.tx.Request.Header, tx.Field{Name: []byte("User-Agent"), Value: []byte(value)})
	case "mime":
		f := tx.Field{Name: []byte("Content-Type"), Value: []byte(value)}
		if m.tx.Direction == tx.DirResponse {
			m.tx.Response.Header = append(m.tx.Response.Header, f)
		} else {
			m.tx.Request.Header = append(m.tx.Request.Header, f)
		}
	case "length":
		m.tx.HasBody = true
		m.tx.Length, err = strconv.ParseInt(value, 10, 63)
	case "at":
		m.at, err = time.Parse(time.RFC3339, value)
	default:
		return fmt.Errorf("unknown key %q; use user, group, address, agent, mime, length or at", key)
	}
	return err
}

// readObject takes in "object [key=value ...]".
func (m *message) readObject(text string) error {
	words, err := splitWords(text)
	if err != nil {
		return err
	}
	m.tx.HasBody = true
	var o Object
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "name":
			o.Name = value
		case "type":
			o.Type = value
		case "part_mime":
			o.PartMIME = value
		case "size":
			var n settings.Size
			n, err = settings.ParseSize(value)
			o.Size = int64(n)
		case "md5":
			err = setDigest(o.MD5[:], value)
		case "sha256":
			err = setDigest(o.SHA256[:], value)
		default:
			return fmt.Errorf("unknown key %q; use name, type, size, md5, sha256 or part_mime", key)
		}
		if err != nil {
			return err
		}
	}
	m.objects = append(m.objects, o)
	return nil
}

func setDigest(dst []byte, text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(dst) {
		return errDigest
	}
	copy(dst, b)
	return nil
}

// splitWords splits at white space; a value may be quoted as in key="a b".
func splitWords(text string) ([]string, error) {
	var out []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		end := strings.IndexAny(text, " \t\"")
		switch {
		case end < 0:
			return append(out, text), nil
		case text[end] != '"':
			out, text = append(out, text[:end]), text[end:]
		default:
			quoted, err := strconv.QuotedPrefix(text[end:])
			if err != nil {
				return nil, fmt.Errorf("a quoted value does not end: %s", text[end:])
			}
			value, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			out, text = append(out, text[:end]+value), text[end+len(quoted):]
		}
	}
	return out, nil
}

// check is one expectation.
type check struct {
	line     int
	subject  string // workspace, bypass, access, protection or why
	class    Class
	stage    Stage
	rule     string // of why
	want     string
	contains bool // want is only a part of what is there
}

// readCheck takes in "workspace: NAME", "access: ACTION by "rule"",
// "protection CLASS: ACTION by "rule"" or "why STAGE "rule": ANSWER reason".
func readCheck(line int, text string) (check, error) {
	k := check{line: line}
	head, want, ok := strings.Cut(text, ": ")
	words, err := splitWords(head)
	if !ok || err != nil || len(words) == 0 {
		return k, fmt.Errorf("%q is not an expectation such as: access: block by \"rule\"", text)
	}
	k.subject, k.want = words[0], strings.TrimSpace(want)
	return k, k.setSubject(words)
}

func (k *check) setSubject(words []string) error {
	switch {
	case words[0] == "workspace" && len(words) == 1:
		return nil
	case (words[0] == "bypass" || words[0] == "access") && len(words) == 1:
		return k.setStage(words[0])
	case words[0] == "protection" && len(words) == 2:
		i := slices.Index(classNames[:], words[1])
		if i < 0 {
			return fmt.Errorf("unknown class %q", words[1])
		}
		k.class, k.stage = Class(i), StageProtection
		return nil
	case words[0] == "why" && len(words) == 3:
		k.rule, k.contains = words[2], true
		return k.setStage(words[1])
	}
	return fmt.Errorf("unknown expectation %q", strings.Join(words, " "))
}

func (k *check) setStage(name string) error {
	i := slices.Index(stageNames[:], name)
	if i < 0 {
		return fmt.Errorf("unknown stage %q", name)
	}
	k.stage = Stage(i)
	return nil
}

func (k *check) what() string {
	switch k.subject {
	case "why":
		return fmt.Sprintf("why %s %q", k.stage, k.rule)
	case "protection":
		return "protection " + k.class.String()
	}
	return k.subject
}

// have is what the policy says, in the form in which it is expected.
func (k *check) have(p *Policy, f *Facts, objects []Object) string {
	if k.subject == "workspace" {
		if w := p.Workspace(f); w != nil {
			return w.Name
		}
		return "none"
	}
	if k.subject == "why" {
		return k.whyOf(p, f, objects)
	}
	if len(objects) == 0 || k.stage == StageBypass {
		return decisionText(k.decide(p, f))
	}
	var worst Decision
	for i := range objects {
		f.SetObject(&objects[i])
		d := k.decide(p, f)
		if i == 0 || d.Outweighs(worst) {
			worst = d
		}
	}
	return decisionText(worst)
}

func (k *check) decide(p *Policy, f *Facts) Decision {
	switch k.stage {
	case StageBypass:
		return p.Bypass(f)
	case StageAccess:
		return p.Access(f)
	}
	return p.Protection(f, k.class)
}

// whyOf is the answer and reason of a rule, for the last object that it was
// asked about.
func (k *check) whyOf(p *Policy, f *Facts, objects []Object) string {
	have := "the rule was not looked at"
	for _, t := range p.Explain(f, objects).Stages {
		for _, s := range t.Steps {
			if t.Stage == k.stage.String() && s.Rule == k.rule {
				have = s.Answer + " " + s.Reason
			}
		}
	}
	return have
}

func decisionText(d Decision) string {
	switch {
	case !d.Decided:
		return "undecided"
	case d.Rule == nil:
		return d.Action.String() + " by default"
	}
	return fmt.Sprintf("%s by %q", d.Action, d.Rule.Name)
}
