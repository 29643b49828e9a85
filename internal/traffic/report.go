package traffic

import (
	"time"

	"sluice/internal/scan"
)

// object is what inspecting one object found. It holds no data of it.
type object struct {
	path     string
	name     string
	typ      string // by content
	mime     string // as a part declared it; empty for the message itself
	depth    int
	size     int64
	sha256   [32]byte
	md5      [16]byte // zero unless some rule or list asks for MD5
	status   scan.Status
	engine   string
	threat   string
	detail   string
	took     time.Duration
	flagged  bool // encrypted, by content
	macros   bool // by content
	failures []failure
}

// encrypted tells whether the object cannot be read, by content or by an engine.
func (o *object) encrypted() bool { return o.flagged || o.status == scan.Encrypted }

// hasMacros tells whether it carries macros, by content or by an engine.
func (o *object) hasMacros() bool { return o.macros || o.status == scan.Macro }

// maxKept is how many objects of one body a report keeps. A report with more is
// not cached: its objects were weighed as they came.
const maxKept = 64

// report is what one body was found to be. In the cache it is shared and never
// changed.
type report struct {
	objects []object // the first maxKept, the root first
	visited int      // all
	took    time.Duration
}

// cacheable tells whether the same body would give the same report again.
func (r *report) cacheable() bool {
	if r.visited != len(r.objects) {
		return false
	}
	for i := range r.objects {
		if len(r.objects[i].failures) > 0 || !r.objects[i].status.Definite() {
			return false
		}
	}
	return true
}

// reportSize is the memory of a report, in bytes.
func reportSize(r *report) int64 {
	n := int64(64)
	for i := range r.objects {
		o := &r.objects[i]
		n += 256 + int64(len(o.path)+len(o.name)+len(o.detail)+len(o.threat)+len(o.mime))
	}
	return n
}
