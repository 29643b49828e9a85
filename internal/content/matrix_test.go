package content

import (
	"testing"

	"go.uber.org/goleak"
)

// TestEICARInEveryContainer packs EICAR into every container and every
// container into every container.
func TestEICARInEveryContainer(t *testing.T) {
	all := makers()
	w := NewWalker(newStore(t, 1<<20), Limits{})
	for _, inner := range all {
		t.Run(inner.name, func(t *testing.T) {
			one := inner.make(t, eicar())
			r := walkMessage(t, w, Message{Body: bytesView(one)})
			if !r.has(eicar()) || r.err != nil {
				t.Fatalf("found %v, error %v\n%s", r.has(eicar()), r.err, r.paths())
			}
			if r := walkMessage(t, w, Message{Body: onDisk(t, one)}); !r.has(eicar()) || r.err != nil {
				t.Fatalf("on disk: found %v, error %v\n%s", r.has(eicar()), r.err, r.paths())
			}
			for _, outer := range all {
				r := walkMessage(t, w, Message{Body: bytesView(outer.make(t, one))})
				if !r.has(eicar()) || r.err != nil {
					t.Errorf("in %s: found %v, error %v\n%s", outer.name, r.has(eicar()), r.err, r.paths())
				}
			}
		})
	}
	goleak.VerifyNone(t)
	if m, d := w.store.Usage(); m != 0 || d != 0 {
		t.Errorf("%d bytes of memory and %d of disk were not given back", m, d)
	}
}
