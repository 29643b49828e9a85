package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"time"

	"sluice/internal/content"
	"sluice/internal/event"
	"sluice/internal/policy"
	"sluice/internal/scan"
	"sluice/internal/settings"
	"sluice/internal/traffic"
)

// firstSettings reads the document, or where it is of no use the last revision
// that was in force; problem then says what is wrong with the document.
func (n *Node) firstSettings() (s *settings.Settings, problem, err error) {
	d, problem := n.read()
	if problem == nil {
		if _, _, problem = d.Check(); problem == nil {
			return d.Settings, nil, nil
		}
	}
	last, err := ReadDocument(n.cfg.Paths.LastGood(), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, problem
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w\nand the last good revision: %w", problem, err)
	}
	return last.Settings, problem, nil
}

// read reads the document, having looked at everything that it depends on. One
// that is gone means the defaults only where they were in force before: a file
// that was moved away, or is just being saved, must not take the rules with it.
func (n *Node) read() (*Document, error) {
	n.seen.look(n.cfg.Document)
	d, err := ReadDocument(n.cfg.Document, n.onDefaults())
	if err == nil {
		n.seen = seen{n.cfg.Document: n.seen[n.cfg.Document]}
		n.seen.look(inputs(d.Settings)...)
	}
	return d, err
}

// onDefaults tells whether no other settings than the defaults were in force last.
func (n *Node) onDefaults() bool {
	last, err := readSome(n.cfg.Paths.LastGood(), settings.MaxDocument)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defaults, err := settings.Default().Canonical()
	return err == nil && bytes.Equal(last, defaults)
}

// Reload reads the document again and puts it in force. On an error everything
// stays as it was, and the error is shown wherever the node's state is.
func (n *Node) Reload(ctx context.Context) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	if n.draining.Load() {
		return errStopping
	}
	d, err := n.read()
	if err == nil {
		if err = n.apply(ctx, d.Settings); err != nil {
			err = d.inFile(err)
		}
	}
	n.mu.Lock()
	n.problem = err
	hash := n.current.hash
	n.mu.Unlock()
	if err != nil {
		n.say(event.Critical, "settings-refused", "the changed settings have problems; the revision before stays in force", "error", err.Error(), "revision", hash)
		return err
	}
	n.say(event.Info, "settings-applied", "settings are in force", "revision", hash)
	return nil
}

// errStopping refuses a reload of a node that is being taken apart.
var errStopping = errors.New("the node stops")

// apply puts settings in force: build all (may fail), open what is new (may
// fail, undone), swap one pointer, retire what nobody wants any more. Only the
// swap keeps others from asking how the node is: engines can take long to start.
func (n *Node) apply(ctx context.Context, s *settings.Settings) error {
	var previous *policy.Policy
	if n.current != nil {
		previous = n.current.policy
	}
	b, err := build(s, previous)
	if err != nil {
		return err
	}
	want := n.cfg.Paths.wantedEngines(s, n.log)
	n.clearWay(want)
	engines, err := openEngines(ctx, want, n.engines, n.log)
	if err != nil {
		return err
	}
	if n.engine != nil {
		n.awaitEngines(ctx, engines)
	}
	n.tls.Store(b.tls)
	icap := &s.Node.ICAP
	fresh, err := n.listeners.open(ctx, icap.Listen, icap.TLS.Listen, &n.tls)
	if err != nil {
		engines.retire(ctx, n.engines, n.log)
		if n.current != nil {
			n.tls.Store(n.current.tls)
		}
		return err
	}
	old, err := n.change(s, b, engines, fresh)
	if err != nil {
		engines.retire(ctx, n.engines, n.log)
		for _, l := range fresh {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	n.retireEngines(ctx, old, engines)
	if err := n.remember(b); err != nil {
		// It is in force all the same: to call it refused would be a lie.
		n.say(event.Critical, "settings-not-kept", "the settings in force could not be kept on disk; a restart without a good document would go back to older ones",
			"error", err.Error(), "revision", b.hash)
	}
	return nil
}

// change swaps, and returns the engines of before.
func (n *Node) change(s *settings.Settings, b *built, engines engineSet, fresh listeners) (old engineSet, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.swap(b, n.snapshot(b, engines)); err != nil {
		return nil, err
	}
	old = n.engines
	n.current, n.engines = b, engines
	n.retire(s, fresh)
	return old, nil
}

func (n *Node) snapshot(b *built, engines engineSet) *traffic.Snapshot {
	l := &b.settings.Protection.Limits
	return &traffic.Snapshot{
		Revision: b.hash,
		Policy:   b.policy,
		Walker: content.NewWalker(n.spool, content.Limits{
			Depth: l.Depth, ObjectSize: int64(l.Object), ExpandedSize: int64(l.Expanded), Ratio: l.Ratio, Members: l.Members,
		}),
		Chain:     scan.NewChain(engines.engines(), n.cache),
		Pages:     b.pages,
		Fail:      b.fail,
		BodyLimit: int64(l.Object),
		TimeLimit: time.Duration(l.Time),
	}
}

// swap puts the snapshot in force; the first one brings the service to life.
func (n *Node) swap(b *built, snap *traffic.Snapshot) error {
	if n.engine == nil {
		return n.newEngine(b, snap)
	}
	if err := n.server.SetConfig(n.icapConfig(b)); err != nil {
		return err
	}
	n.engine.Swap(snap)
	return nil
}

// retire closes listeners that are not wanted any more and serves the new ones.
// Open connections stay.
func (n *Node) retire(s *settings.Settings, fresh listeners) {
	for key, l := range n.listeners.unwanted(s.Node.ICAP.Listen, s.Node.ICAP.TLS.Listen) {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			n.log.Warn("close listener", "listen", key, "error", err)
		}
		delete(n.listeners, key)
	}
	maps.Copy(n.listeners, fresh)
	for key, l := range fresh {
		n.serve(key, l)
	}
}

// remember keeps the revision for restarts and for explaining its events.
func (n *Node) remember(b *built) error {
	if err := n.cfg.Paths.keepRevision(b.hash, b.document); err != nil {
		return err
	}
	if err := writeWhole(n.cfg.Paths.LastGood(), b.document); err != nil {
		return fmt.Errorf("keep the last good revision: %w", err)
	}
	return nil
}

// inputsChanged tells whether a reload is due.
func (n *Node) inputsChanged() bool {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	return n.seen.changed()
}

// needsRestart names the changed settings that act only at the next start.
func (n *Node) needsRestart() []string {
	a, b := n.first, n.current.settings
	var out []string
	for _, f := range []struct {
		name    string
		changed bool
	}{
		{"node.name", a.Node.Name != b.Node.Name},
		{"node.admin", a.Node.Admin != b.Node.Admin},
		{"node.spool", a.Node.Spool != b.Node.Spool},
		{"engines.cache", a.Engines.Cache != b.Engines.Cache},
		{"events", a.Events != b.Events},
	} {
		if f.changed {
			out = append(out, f.name)
		}
	}
	return out
}
