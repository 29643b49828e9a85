package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sluice/internal/node"
	"sluice/internal/settings"
)

// place is where a node's files are.
type place struct {
	Data   string `help:"Data directory of the node." default:"/var/lib/sluice" env:"SLUICE_DATA" type:"path"`
	Config string `help:"Settings document; default DATA/sluice.yaml." env:"SLUICE_CONFIG" type:"path"`
}

func (p *place) paths() node.Paths { return node.Paths{Data: p.Data} }

func (p *place) document() string {
	if p.Config != "" {
		return p.Config
	}
	return p.paths().Settings()
}

// load reads the settings document; where none is named, a missing one means the
// defaults.
func (p *place) load() (*node.Document, error) {
	return node.ReadDocument(p.document(), p.Config == "")
}

type settingsCmd struct {
	Init     settingsInitCmd     `cmd:"" help:"Write a settings document with comments and the defaults."`
	Validate settingsValidateCmd `cmd:"" help:"Check a settings document whole; problems are named with their lines."`
}

type settingsInitCmd struct {
	place
	File  string `arg:"" optional:"" help:"Where to write; default DATA/sluice.yaml, - for standard output." type:"path"`
	Force bool   `help:"Replace a document that is there."`
}

// Run writes the template.
func (c *settingsInitCmd) Run(s *streams) error {
	if c.File == "-" {
		_, err := s.out.Write(settings.Template())
		return err
	}
	name := c.File
	if name == "" {
		name = c.document()
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o640)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; use --force to replace it", name)
	}
	if err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	_, err = f.Write(settings.Template())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	fmt.Fprintln(s.out, "wrote", name)
	return nil
}

type settingsValidateCmd struct {
	place
	File string `arg:"" optional:"" help:"The document; default DATA/sluice.yaml." type:"path"`
}

// Run parses, validates and builds what can be built without starting anything.
func (c *settingsValidateCmd) Run(s *streams) error {
	if c.File != "" {
		c.Config = c.File
	}
	d, err := c.load()
	if err != nil {
		return err
	}
	hash, slow, err := d.Check()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is valid (revision %s)\n", d.Name, hash)
	for _, rule := range slow {
		fmt.Fprintf(s.out, "note: rule %q is asked about every message: its pattern has no four letters in a row to look it up by\n", rule)
	}
	return nil
}
