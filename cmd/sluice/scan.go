package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sluice/internal/node"
)

type scanCmd struct {
	place
	Files []string `arg:"" help:"Files to scan." type:"existingfile"`
	JSON  bool     `help:"One JSON object per file."`
}

// exitFound is the status of `scan` when something was found or could not be
// scanned whole, as with other scanners; 2 and above are errors of use.
const exitFound = 1

// Run scans each file and says what is in it.
func (c *scanCmd) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	client := node.NewClient(c.paths())
	found := false
	for _, name := range c.Files {
		r, raw, err := scanFile(ctx, client, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		found = found || r.Status != "clean"
		if c.JSON {
			fmt.Fprintf(s.out, "%s\n", raw)
			continue
		}
		r.Print(s.out, name)
	}
	if found {
		return exitError{exitFound}
	}
	return nil
}

func scanFile(ctx context.Context, client *node.Client, name string) (*node.ScanReport, json.RawMessage, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	raw, err := client.Scan(ctx, filepath.Base(name), f)
	if err != nil {
		return nil, nil, err
	}
	var r node.ScanReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, nil, fmt.Errorf("the node's answer: %w", err)
	}
	return &r, raw, nil
}

type statusCmd struct {
	place
	JSON bool `help:"Print JSON."`
}

// Run prints the node's state.
func (c *statusCmd) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	raw, err := node.NewClient(c.paths()).Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintf(s.out, "%s\n", raw)
		return err
	}
	var st node.Status
	if err := json.Unmarshal(raw, &st); err != nil {
		return fmt.Errorf("the node's answer: %w", err)
	}
	return st.Print(s.out)
}
