package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/settings"
)

// Script is a plain-text test of rules: settings, then messages with what must
// be decided about them. See testdata for examples.
//
//	rules:                    # as in the settings; also workspaces: and default:
//	  access:
//	    - name: No ads
//	      match: {any: [{url: ads.example}]}
//	---
//	request GET http://ads.example/x user=alice group=Staff address=10.0.0.1
//	  access: block by "No ads"
//	  why access "No ads": yes host ads.example
//	response GET http://example.com/ mime=text/html
//	  object name=a.exe type=pe size=10
//	  access: allow by default
//	  protection malware: disinfect by default
//
// Lines that begin with white space belong to the message above them. A word
// "body" says that there is one whose objects are not yet known.
type Script struct {
	Rules      settings.Rules
	Workspaces []settings.Workspace
	Default    settings.ProtectionPolicy
	Cases      []*Case
}

// Case is one message of a script.
type Case struct {
	Line    int
	message message
	checks  []check
}

// Failure is something that a script expects and that is not so.
type Failure struct {
	Line int
	Text string
}

// String is "line 7: text".
func (f Failure) String() string { return fmt.Sprintf("line %d: %s", f.Line, f.Text) }

// Bounds of a script.
const (
	maxScript = 16 << 20 // bytes
	maxCases  = 100_000
)

// ParseScript reads a script. Without a line "---" all of it is messages, to be
// run on a policy from elsewhere. Errors name the line.
func ParseScript(text []byte) (*Script, error) {
	if len(text) > maxScript {
		return nil, fmt.Errorf("the script is larger than %d bytes", maxScript)
	}
	s := &Script{}
	line := 0
	if head, rest, ok := cutAtRule(text); ok {
		if err := s.readSettings(head); err != nil {
			return nil, err
		}
		line = bytes.Count(head, []byte("\n")) + 1
		text = rest
	}
	for l := range strings.Lines(string(text)) {
		line++
		l = strings.TrimRight(l, "\r\n\t ")
		trimmed := strings.TrimLeft(l, " \t")
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if err := s.readLine(line, trimmed, len(trimmed) < len(l)); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	return s, nil
}

// cutAtRule splits at the line "---".
func cutAtRule(text []byte) (head, rest []byte, ok bool) {
	head, rest, ok = bytes.Cut(text, []byte("\n---\n"))
	if !ok {
		return nil, text, false
	}
	return append(head[:len(head):len(head)], '\n'), rest, true
}

func (s *Script) readSettings(doc []byte) error {
	var tree struct {
		Rules      settings.Rules            `yaml:"rules"`
		Workspaces []settings.Workspace      `yaml:"workspaces"`
		Default    settings.ProtectionPolicy `yaml:"default"`
	}
	d := yaml.NewDecoder(bytes.NewReader(doc))
	d.KnownFields(true)
	if err := d.Decode(&tree); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("settings of the script: %w", err)
	}
	s.Rules, s.Workspaces, s.Default = tree.Rules, tree.Workspaces, tree.Default
	return nil
}

func (s *Script) readLine(line int, text string, indented bool) error {
	if !indented {
		if len(s.Cases) == maxCases {
			return fmt.Errorf("there are more than %d messages", maxCases)
		}
		c := &Case{Line: line}
		s.Cases = append(s.Cases, c)
		return c.message.read(text)
	}
	if len(s.Cases) == 0 {
		return errors.New("there is no message above this line")
	}
	c := s.Cases[len(s.Cases)-1]
	if strings.HasPrefix(text, "object") {
		return c.message.readObject(text)
	}
	k, err := readCheck(line, text)
	c.checks = append(c.checks, k)
	return err
}

// Compile compiles the script's own rules.
func (s *Script) Compile(o Options) (*Policy, error) {
	return Compile(s.Rules, s.Workspaces, s.Default, o)
}

// Run decides all messages by p and returns what is not as expected.
func (s *Script) Run(p *Policy) []Failure {
	var out []Failure
	for _, c := range s.Cases {
		out = append(out, c.run(p)...)
	}
	return out
}

func (c *Case) run(p *Policy) []Failure {
	f := new(Facts)
	if err := f.Reset(&c.message.tx, c.message.at); err != nil {
		return []Failure{{c.Line, err.Error()}}
	}
	var out []Failure
	for i := range c.checks {
		k := &c.checks[i]
		if have := k.have(p, f, c.message.objects); have != k.want && !(k.contains && strings.Contains(have, k.want)) {
			text := fmt.Sprintf("%s: want %s, have %s", k.what(), k.want, have)
			out = append(out, Failure{k.line, text + "\n" + p.Explain(f, c.message.objects).String()})
		}
	}
	return out
}
