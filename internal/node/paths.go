package node

import "path/filepath"

// Paths are the places under one data directory.
type Paths struct {
	Data string
}

// Settings is the settings document that a node runs from by default.
func (p Paths) Settings() string { return filepath.Join(p.Data, "sluice.yaml") }

// Revisions keeps every revision that was in force, by its hash, so that old
// events can be explained with the rules of their time.
func (p Paths) Revisions() string { return filepath.Join(p.Data, "revisions") }

// LastGood is the last document that was in force: what a node starts from when
// its settings document has become unusable.
func (p Paths) LastGood() string { return filepath.Join(p.Data, "last-good.yaml") }

func (p Paths) spool() string      { return filepath.Join(p.Data, "spool") }
func (p Paths) clamd() string      { return filepath.Join(p.Data, "clamd") }
func (p Paths) signatures() string { return filepath.Join(p.Data, "signatures") }
func (p Paths) hashLists() string  { return filepath.Join(p.Data, "hashlists") }

// Events is where the event queue and the event engine keep their files.
func (p Paths) Events() string { return filepath.Join(p.Data, "events") }
