package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/settings"
)

// keepRevisions is how many revisions are kept for explaining old events.
const keepRevisions = 1000

var revisionName = regexp.MustCompile(`^[0-9a-f]{16}$`)

// keepRevision writes a revision's canonical document under its hash, unless it
// is there, and thins out the oldest beyond keepRevisions.
func (p Paths) keepRevision(hash string, doc []byte) error {
	if err := os.MkdirAll(p.Revisions(), 0o700); err != nil {
		return fmt.Errorf("keep revision: %w", err)
	}
	name := filepath.Join(p.Revisions(), hash+".yaml")
	if _, err := os.Stat(name); err != nil {
		if err := writeWhole(name, doc); err != nil {
			return fmt.Errorf("keep revision: %w", err)
		}
	}
	return p.thinRevisions()
}

func (p Paths) thinRevisions() error {
	entries, err := os.ReadDir(p.Revisions())
	if err != nil {
		return fmt.Errorf("keep revision: %w", err)
	}
	type kept struct {
		name string
		at   int64
	}
	var all []kept
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".yaml") {
			all = append(all, kept{e.Name(), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(all, func(a, b kept) int { return int(max(-1, min(1, b.at-a.at))) })
	for i := keepRevisions; i < len(all); i++ {
		if err := os.Remove(filepath.Join(p.Revisions(), all[i].name)); err != nil {
			return fmt.Errorf("keep revision: %w", err)
		}
	}
	return nil
}

// Revision reads a kept revision by its hash.
func (p Paths) Revision(hash string) (*settings.Settings, error) {
	if !revisionName.MatchString(hash) {
		return nil, fmt.Errorf("revision %q: not a revision's name", hash)
	}
	doc, err := os.ReadFile(filepath.Join(p.Revisions(), hash+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("revision %s is not kept on this node any more", hash)
	}
	if err != nil {
		return nil, fmt.Errorf("revision %s: %w", hash, err)
	}
	return settings.Parse(doc)
}

// writeWhole replaces a file so that a crash leaves the old or the new one.
func writeWhole(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
