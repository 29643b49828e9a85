package node

// istag is the ICAP service tag (RFC 3507 section 4.7) of one state of rules and
// engines. Clients that cache answers throw them away when it changes.
type istag struct {
	revision string
	engines  string
	text     string
}

// istag returns the tag of what is in force now: the revision's hash and the
// digest of the engines' versions, 32 characters. It allocates only on a change.
func (n *Node) istag() string {
	snap := n.engine.Snapshot()
	version := snap.Chain.Version()
	t := n.tag.Load()
	if t == nil || t.revision != snap.Revision || t.engines != version {
		t = &istag{snap.Revision, version, snap.Revision + version}
		n.tag.Store(t)
	}
	return t.text
}
