package policy

import (
	"hash/maphash"
	"slices"
)

// cursors walk the postings that the facts have keys of, as one list in rising
// order: a heap whose root is the next candidate.
type cursors struct {
	heap []cursor
	hits []uint32 // numbers of slots that grams led to
}

type cursor struct {
	pos, next, end uint32 // place of the rule; where in post the next ones are
	waiting        bool
}

// collect begins the walk over the candidates of ix.
func (c *cursors) collect(ix *index, seed maphash.Seed, f *Facts) {
	c.heap, c.hits = c.heap[:0], c.hits[:0]
	c.push(ix, ix.always)
	if ix.addrs != nil && f.addr.IsValid() {
		if n, ok := ix.addrs.Lookup(f.addr); ok {
			for i := int32(n); i >= 0; i = ix.nested[i].parent {
				c.push(ix, ix.nested[i].postings)
			}
		}
	}
	c.hosts(ix, seed, f)
	c.text(ix, seed, dimUser, textUser, f)
	c.groups(ix, seed, f)
	c.text(ix, seed, dimAgent, textAgent, f)
	c.text(ix, seed, dimMethod, textMethod, f)
	c.text(ix, seed, dimMIME, textMIME, f)
	if f.objects == objectKnown {
		c.object(ix, seed, f)
	}
	c.take(ix)
}

func (c *cursors) push(ix *index, p postings) {
	if p.ordinary > 0 {
		c.add(cursor{ix.post[p.off], p.off + 1, p.off + p.ordinary, false})
	}
	if p.waiting > 0 {
		off := p.off + p.ordinary
		c.add(cursor{ix.post[off], off + 1, off + p.waiting, true})
	}
}

func (c *cursors) key(ix *index, key uint64) {
	if !ix.keys.has(uint32(key >> 32)) {
		return
	}
	if i := ix.find(key); i >= 0 {
		c.push(ix, ix.slots[i].postings)
	}
}

// hosts looks up the host and every name above it.
func (c *cursors) hosts(ix *index, seed maphash.Seed, f *Facts) {
	if ix.exact&(1<<dimURL) != 0 {
		host := f.url.hostText()
		c.key(ix, hashOf(seed, dimURL, host))
		for i, b := range host {
			if b == '.' {
				c.key(ix, hashOf(seed, dimURL, host[i+1:]))
			}
		}
	}
	c.scan(ix, dimURL, f.url.lower)
}

func (c *cursors) text(ix *index, seed maphash.Seed, d dim, t textFact, f *Facts) {
	if ix.exact&(1<<d) == 0 && ix.grams[d] == nil {
		return
	}
	text := f.lower(t)
	if ix.exact&(1<<d) != 0 && len(text) > 0 {
		c.key(ix, hashOf(seed, d, text))
	}
	c.scan(ix, d, text)
}

func (c *cursors) groups(ix *index, seed maphash.Seed, f *Facts) {
	exact := ix.exact&(1<<dimGroup) != 0
	if !exact && ix.grams[dimGroup] == nil {
		return
	}
	for _, g := range f.lowerGroups() {
		if exact {
			c.key(ix, hashOf(seed, dimGroup, g))
		}
		c.scan(ix, dimGroup, g)
	}
}

func (c *cursors) object(ix *index, seed maphash.Seed, f *Facts) {
	o := f.object
	if ix.exact&(1<<dimType) != 0 {
		c.key(ix, hashString(seed, dimType, o.Type))
	}
	if ix.exact&(1<<dimMD5) != 0 {
		c.key(ix, hashOf(seed, dimMD5, o.MD5[:]))
	}
	if ix.exact&(1<<dimSHA256) != 0 {
		c.key(ix, hashOf(seed, dimSHA256, o.SHA256[:]))
	}
	c.text(ix, seed, dimFileName, textFileName, f)
	c.text(ix, seed, dimPartMIME, textPartMIME, f)
}

// scan looks through text for grams.
func (c *cursors) scan(ix *index, d dim, text []byte) {
	filter := ix.grams[d]
	if filter == nil || len(text) < gramLen {
		return
	}
	g := uint32(text[0])<<16 | uint32(text[1])<<8 | uint32(text[2])
	for _, b := range text[gramLen-1:] {
		g = g<<8 | uint32(b)
		if filter.has(g) {
			if i := ix.find(gramKey(d, g)); i >= 0 {
				c.hits = append(c.hits, uint32(i))
			}
		}
	}
}

// take pushes what grams led to, once each: a text may repeat a gram as often
// as whoever sends it likes.
func (c *cursors) take(ix *index) {
	if len(c.hits) > 1 {
		slices.Sort(c.hits)
		c.hits = slices.Compact(c.hits)
	}
	for _, i := range c.hits {
		c.push(ix, ix.slots[i].postings)
	}
}

// add enters a cursor into the heap.
func (c *cursors) add(x cursor) {
	c.heap = append(c.heap, x)
	h := c.heap
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if h[up].pos <= x.pos {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = x
}

// advance moves the root cursor to its next rule.
func (c *cursors) advance(post []uint32) {
	root := &c.heap[0]
	if root.next == root.end {
		c.drop()
		return
	}
	root.pos = post[root.next]
	root.next++
	c.sink()
}

// drop ends the root cursor.
func (c *cursors) drop() {
	last := len(c.heap) - 1
	c.heap[0] = c.heap[last]
	c.heap = c.heap[:last]
	if last > 1 {
		c.sink()
	}
}

// sink restores the heap after its root rose.
func (c *cursors) sink() {
	h := c.heap
	x := h[0]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].pos < h[child].pos {
			child++
		}
		if x.pos <= h[child].pos {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = x
}
