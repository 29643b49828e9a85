package policy

import (
	"cmp"
	"hash/maphash"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"

	"sluice/internal/settings"
)

// level is a state of knowledge for which a segment has an index.
type level uint8

const (
	requestPending  level = iota // a request whose objects are not yet seen
	requestKnown                 // a request with an object at hand, or without a body
	responsePending              // the same for a response
	responseKnown
	numLevels
)

func (f *Facts) level() level {
	l := requestPending
	if f.dir == dirResponse {
		l = responsePending
	}
	if f.objects != objectsPending {
		l++
	}
	return l
}

// known is which kinds of leaves have an answer at this level about the message
// at hand.
func (l level) known() kinds {
	if l == requestKnown || l == responseKnown {
		return staticKinds | headerKinds | objectKinds
	}
	return staticKinds | headerKinds
}

func (l level) request() bool { return l < responsePending }

// index finds the rules of a segment that may answer other than no. Its cost
// depends on the facts and on the rules found, not on how many rules there are.
// It holds no pointers but a handful, and never changes.
type index struct {
	slots  []slot // open addressing; the length is a power of two
	post   []uint32
	always postings // rules without an anchor
	addrs  *bart.Fast[uint32]
	nested []nestedPostings // by the value in addrs
	exact  uint16           // bit set of dim
	grams  [numDims]*bitFilter
	keys   *bitFilter // of the keys in slots that are no grams: most look-ups end here
}

// postings are places of rules in rising order: post[off:][:ordinary], then
// [:waiting] of those that block and cannot answer yes at this level. Once one
// of these is known to answer not yet, the others change nothing.
type postings struct{ off, ordinary, waiting uint32 }

type slot struct {
	key uint64 // 0 for empty
	postings
}

// nestedPostings are the rules of one prefix, with the next shorter prefix that
// has rules and holds it.
type nestedPostings struct {
	postings
	parent int32 // -1 for none
}

// unit is the entry of one rule in an index, under its anchor. A rule that
// stands for two messages has two.
type unit struct {
	pos     uint32
	waiting bool
	anchor  *anchor // nil for always
}

// indexer builds the indexes of one segment.
type indexer struct {
	rules   []rule
	anchors anchors
	own     [][]*anchor // by rule, then leaf: those of from, then those of match
	onlyOwn bool        // requests do not stand for the response to come
}

// newIndexes builds the index of each level. Levels at which the rules have the
// same answers share one. It also names the rules that are slow to find, see
// indexer.slow.
func newIndexes(rules []rule, seed maphash.Seed, onlyOwn bool) (out [numLevels]*index, slow []*Rule) {
	x := newIndexer(rules, seed, onlyOwn)
	static, objects := true, false
	for i := range rules {
		static = static && rules[i].static
		objects = objects || rules[i].objects
		if x.slow(i) {
			slow = append(slow, rules[i].Rule)
		}
	}
	for l := range numLevels {
		switch {
		case l > 0 && static:
			out[l] = out[0]
		case l&1 == 1 && !objects:
			out[l] = out[l-1]
		default:
			out[l] = x.build(l)
		}
	}
	return out, slow
}

// newIndexer counts all keys, then finds the anchor of each leaf.
func newIndexer(rules []rule, seed maphash.Seed, onlyOwn bool) *indexer {
	x := &indexer{rules: rules, onlyOwn: onlyOwn, anchors: anchors{seed: seed, counts: map[uint64]uint32{}}}
	for i := range rules {
		for l := range rules[i].anchorLeaves() {
			x.anchors.count(l)
		}
	}
	x.own = make([][]*anchor, len(rules))
	for i := range rules {
		for l := range rules[i].anchorLeaves() {
			x.own[i] = append(x.own[i], x.anchors.of(l))
		}
	}
	return x
}

// anchorLeaves are the leaves that a rule can be found by: not those of
// exclusions.
func (r *rule) anchorLeaves() iter.Seq[*leaf] {
	return func(yield func(*leaf) bool) {
		for _, c := range []*condition{&r.from, &r.match} {
			for j := range c.leaves {
				if !yield(&c.leaves[j]) {
					return
				}
			}
		}
	}
}

// slow tells whether rule i has no anchor even when all is known, because of a
// mask or an expression without enough letters in a row.
func (x *indexer) slow(i int) bool {
	r := &x.rules[i]
	units := x.add(nil, i, responseKnown, ^kinds(0))
	if len(units) == 0 {
		units = x.add(nil, i, requestKnown, ^kinds(0))
	}
	if !r.enabled || len(units) == 0 || units[0].anchor != nil {
		return false
	}
	j := 0
	for l := range r.anchorLeaves() {
		if x.own[i][j] == nil && l.hasPattern() {
			return true
		}
		j++
	}
	return false
}

// hasPattern tells whether the leaf has a mask or an expression other than the
// star, which is meant to fit everything.
func (l *leaf) hasPattern() bool {
	for _, v := range l.values {
		if strings.HasPrefix(v, settings.RegexPrefix) || isMask(v) && strings.Trim(v, "*/") != "" {
			return true
		}
	}
	return false
}

func (x *indexer) build(l level) *index {
	var units []unit
	for i := range x.rules {
		r := &x.rules[i]
		if !r.enabled {
			continue
		}
		units = x.add(units, i, l, l.known())
		if l.request() && !x.onlyOwn && !r.hasDirection && !r.static {
			units = x.add(units, i, l, staticKinds)
		}
	}
	return newIndex(units, x.anchors.seed)
}

// add enters rule i as it answers with the given kinds known, unless it always
// answers no.
func (x *indexer) add(units []unit, i int, l level, known kinds) []unit {
	r := &x.rules[i]
	best := min(r.from.best(l, known), r.match.best(l, known))
	if best == no {
		return units
	}
	u := unit{pos: uint32(i), waiting: best == notYet && r.outcome == outcomeBlock && !r.nextGroup}
	own := x.own[i]
	from := r.from.anchor(own[:len(r.from.leaves)], l, known)
	match := r.match.anchor(own[len(r.from.leaves):], l, known)
	u.anchor = from
	if from == nil || match != nil && match.cost < from.cost {
		u.anchor = match
	}
	return append(units, u)
}

// best is the most that a condition can answer at a level.
func (c *condition) best(l level, known kinds) answer {
	if len(c.leaves) == 0 {
		return yes
	}
	a := answerOf(c.all)
	for i := range c.leaves {
		if b := c.leaves[i].best(l, known); c.all {
			a = min(a, b)
		} else {
			a = max(a, b)
		}
	}
	return a
}

func (l *leaf) best(lv level, known kinds) answer {
	switch {
	case !known.has(l.kind):
		return notYet
	case l.kind == kindDirection:
		return answerOf((l.dir == dirRequest) == lv.request())
	}
	return yes
}

// anchor returns what a condition can be found by, given the anchors of its
// leaves: that of one leaf where all must be met, that of all where any will do.
func (c *condition) anchor(leaves []*anchor, l level, known kinds) *anchor {
	if len(leaves) == 0 {
		return nil
	}
	if c.all {
		var best *anchor
		for i, a := range leaves {
			if a != nil && known.has(c.leaves[i].kind) && (best == nil || a.cost < best.cost) {
				best = a
			}
		}
		return best
	}
	if len(leaves) == 1 && known.has(c.leaves[0].kind) {
		return leaves[0]
	}
	union := &anchor{}
	for i, a := range leaves {
		switch {
		case c.leaves[i].best(l, known) == no:
			continue
		case a == nil || !known.has(c.leaves[i].kind):
			return nil
		}
		union.keys = append(union.keys, a.keys...)
		union.prefixes = append(union.prefixes, a.prefixes...)
		union.cost += a.cost
	}
	return union
}

// keyed is one posting before it is laid down.
type keyed struct {
	key     uint64
	pos     uint32
	waiting bool
}

func compareKeyed(a, b keyed) int {
	if c := cmp.Compare(a.key, b.key); c != 0 {
		return c
	}
	if a.waiting != b.waiting {
		if b.waiting {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.pos, b.pos)
}

func newIndex(units []unit, seed maphash.Seed) *index {
	ix := &index{}
	var always, entries, prefixed []keyed
	prefixes := map[uint64]netip.Prefix{}
	gramsOf := [numDims][]uint32{}
	var exact []uint64
	for _, u := range units {
		if u.anchor == nil {
			always = append(always, keyed{0, u.pos, u.waiting})
			continue
		}
		for _, k := range u.anchor.keys {
			entries = append(entries, keyed{k.key, u.pos, u.waiting})
			if k.isGram {
				gramsOf[k.dim] = append(gramsOf[k.dim], k.gram)
			} else {
				ix.exact |= 1 << k.dim
				exact = append(exact, k.key)
			}
		}
		for _, p := range u.anchor.prefixes {
			key := hashPrefix(seed, p)
			prefixes[key] = p
			prefixed = append(prefixed, keyed{key, u.pos, u.waiting})
		}
	}
	for d, grams := range gramsOf {
		if len(grams) > 0 {
			ix.grams[d] = newBitFilter(len(grams))
			for _, g := range grams {
				ix.grams[d].add(g)
			}
		}
	}
	ix.keys = newBitFilter(len(exact))
	for _, k := range exact {
		ix.keys.add(uint32(k >> 32))
	}
	ix.lay(always, func(_ uint64, p postings) { ix.always = p })
	ix.layTable(entries)
	ix.layPrefixes(prefixed, prefixes)
	ix.post = slices.Clip(ix.post)
	return ix
}

// lay writes the postings of each key and tells where they are.
func (ix *index) lay(entries []keyed, each func(key uint64, p postings)) {
	slices.SortFunc(entries, compareKeyed)
	entries = slices.Compact(entries)
	for len(entries) > 0 {
		p := postings{off: uint32(len(ix.post))}
		n := 0
		for ; n < len(entries) && entries[n].key == entries[0].key; n++ {
			ix.post = append(ix.post, entries[n].pos)
			if entries[n].waiting {
				p.waiting++
			} else {
				p.ordinary++
			}
		}
		each(entries[0].key, p)
		entries = entries[n:]
	}
}

func (ix *index) layTable(entries []keyed) {
	var all []slot
	ix.lay(entries, func(key uint64, p postings) { all = append(all, slot{key, p}) })
	size := 4
	for size < 2*len(all) {
		size *= 2
	}
	ix.slots = make([]slot, size)
	for _, s := range all {
		i := s.key >> 1 & uint64(size-1)
		for ix.slots[i].key != 0 {
			i = (i + 1) & uint64(size-1)
		}
		ix.slots[i] = s
	}
}

// layPrefixes enters the prefixes, the short ones first, so that each finds the
// one around it.
func (ix *index) layPrefixes(entries []keyed, prefixes map[uint64]netip.Prefix) {
	if len(entries) == 0 {
		return
	}
	type item struct {
		netip.Prefix
		postings
	}
	var items []item
	ix.lay(entries, func(key uint64, p postings) { items = append(items, item{prefixes[key], p}) })
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.Bits(), b.Bits()) })
	ix.addrs = &bart.Fast[uint32]{}
	for _, it := range items {
		parent := int32(-1)
		if n, ok := ix.addrs.LookupPrefix(it.Prefix); ok {
			parent = int32(n)
		}
		ix.addrs.Insert(it.Prefix, uint32(len(ix.nested)))
		ix.nested = append(ix.nested, nestedPostings{it.postings, parent})
	}
}

// find returns the number of key's slot, or -1.
func (ix *index) find(key uint64) int {
	size := uint64(len(ix.slots) - 1)
	for i := key >> 1 & size; ix.slots[i].key != 0; i = (i + 1) & size {
		if ix.slots[i].key == key {
			return int(i)
		}
	}
	return -1
}
