package node

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"sluice/internal/policy"
	"sluice/internal/settings"
)

// Document is a settings file as it was read.
type Document struct {
	Name     string
	Settings *settings.Settings
	text     []byte
}

// ReadDocument reads and validates a settings file. One that is missing means
// the defaults where that is allowed. Problems carry their lines.
func ReadDocument(name string, mayMiss bool) (*Document, error) {
	text, err := readSome(name, settings.MaxDocument+1)
	if mayMiss && errors.Is(err, fs.ErrNotExist) {
		return &Document{name, settings.Default(), nil}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	d := &Document{Name: name, text: text}
	if d.Settings, err = settings.Parse(text); err != nil {
		return nil, d.inFile(err)
	}
	return d, nil
}

// Check builds the revision and throws it away: what can be found wrong before it
// runs, is. It returns the revision's hash, and rules whose patterns cost more
// than others because nothing in them can be looked up.
func (d *Document) Check() (hash string, slow []string, err error) {
	b, err := build(d.Settings, nil)
	if err != nil {
		return "", nil, d.inFile(err)
	}
	for _, r := range b.policy.SlowRules() {
		slow = append(slow, r.Name)
	}
	return b.hash, slow, nil
}

// Policy compiles the document's rules.
func (d *Document) Policy() (*policy.Policy, error) {
	s := d.Settings
	p, err := policy.Compile(s.Rules, s.Workspaces, s.Protection.Default, policy.Options{Types: isType})
	if err != nil {
		return nil, d.inFile(err)
	}
	return p, nil
}

// inFile puts the file's name before each problem and gives lines to errors that
// were found after parsing.
func (d *Document) inFile(err error) error {
	var es settings.Errors
	var ps settings.Problems
	switch {
	case errors.As(err, &es):
		ps = settings.Locate(d.text, es)
	case !errors.As(err, &ps):
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d problem(s) in %s", len(ps), d.Name)
	for _, p := range ps {
		text.WriteString("\n  " + p.String())
	}
	return errors.New(text.String())
}
