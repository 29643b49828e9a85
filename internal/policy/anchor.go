package policy

import (
	"hash/maphash"
	"net/netip"

	"sluice/internal/settings"
)

// An anchor is what a rule is found by: a set of keys of which every message
// that the rule fits has at least one. A rule offers several; the one that
// fewest other rules share is taken.

// dim is a dimension of the index: whose value a key is.
type dim uint8

const (
	dimUser dim = iota
	dimGroup
	dimAgent
	dimURL
	dimMethod
	dimMIME
	dimType
	dimFileName
	dimPartMIME
	dimMD5
	dimSHA256
	numDims
)

var dimOfKind = [numKinds]dim{
	kindUser: dimUser, kindGroup: dimGroup, kindAgent: dimAgent, kindURL: dimURL, kindMethod: dimMethod,
	kindMIME: dimMIME, kindType: dimType, kindFileName: dimFileName, kindPartMIME: dimPartMIME,
	kindMD5: dimMD5, kindSHA256: dimSHA256,
}

// dimCost says how much of the traffic has one and the same value, against a
// rule more to look at.
var dimCost = [numDims]int{
	dimUser: 1, dimGroup: 100, dimAgent: 300, dimMethod: 1000, dimMIME: 300, dimType: 300, dimFileName: 3, dimPartMIME: 30,
}

const gramCost = 8

// option is how one value of a leaf can be found: by its key, or by grams.
type option struct {
	dim   dim
	exact uint64 // 0 for none
	needs needs
}

// needs are what a text that fits a pattern holds: for each need, all of its
// runs, or for one of several needs, as an expression with alternatives has
// them. A pattern is found by one gram of each need. Runs are in lower case and
// at least gramLen long.
type needs [][]string

// anchor is the way of one leaf or of a union of leaves.
type anchor struct {
	keys     []anchorKey
	prefixes []netip.Prefix
	cost     int
}

type anchorKey struct {
	key    uint64
	dim    dim
	gram   uint32 // with isGram
	isGram bool
}

// anchors counts what keys the leaves of one segment offer, to choose among them.
type anchors struct {
	seed   maphash.Seed
	counts map[uint64]uint32
}

// hashOf gives the key of a value in a dimension; never 0.
func hashOf(seed maphash.Seed, d dim, value []byte) uint64 {
	return (maphash.Bytes(seed, value) ^ uint64(d)*0x9e3779b97f4a7c15) | 1
}

func hashString(seed maphash.Seed, d dim, value string) uint64 {
	return (maphash.String(seed, value) ^ uint64(d)*0x9e3779b97f4a7c15) | 1
}

func hashPrefix(seed maphash.Seed, p netip.Prefix) uint64 {
	b, _ := p.MarshalBinary()
	return hashOf(seed, numDims, b)
}

// count takes in the keys of a leaf.
func (x *anchors) count(l *leaf) {
	if l.kind == kindAddress {
		for _, p := range prefixesOf(l.addrs) {
			x.counts[hashPrefix(x.seed, p)]++
		}
		return
	}
	for _, o := range x.options(l) {
		if o.exact != 0 {
			x.counts[o.exact]++
		}
		for _, need := range o.needs {
			for _, run := range need {
				for i := 0; i+gramLen <= len(run); i++ {
					x.counts[gramKey(o.dim, gramAt(run, i))]++
				}
			}
		}
	}
}

// of returns the anchor of a leaf, nil when it has none.
func (x *anchors) of(l *leaf) *anchor {
	if l.kind == kindAddress {
		return x.ofAddresses(l)
	}
	options := x.options(l)
	if len(options) == 0 {
		return nil
	}
	a := &anchor{}
	for i := range options {
		if !x.take(a, &options[i]) {
			return nil
		}
	}
	return a
}

func (x *anchors) ofAddresses(l *leaf) *anchor {
	a := &anchor{prefixes: prefixesOf(l.addrs)}
	for _, p := range a.prefixes {
		a.cost += int(x.counts[hashPrefix(x.seed, p)]) + 4*(p.Addr().BitLen()-p.Bits())
	}
	return a
}

// take adds the cheaper way of an option; false when it has none.
func (x *anchors) take(a *anchor, o *option) bool {
	exact := -1
	if o.exact != 0 {
		exact = int(x.counts[o.exact]) + dimCost[o.dim]
	}
	grams, cost := x.rarest(o)
	switch {
	case exact >= 0 && (grams == nil || exact <= cost):
		a.keys = append(a.keys, anchorKey{key: o.exact, dim: o.dim})
		a.cost += exact
	case grams != nil:
		a.keys = append(a.keys, grams...)
		a.cost += cost
	default:
		return false
	}
	return true
}

// rarest returns the rarest gram of each need of o.
func (x *anchors) rarest(o *option) (keys []anchorKey, cost int) {
	for _, need := range o.needs {
		best, bestCost := anchorKey{}, -1
		for _, run := range need {
			for i := 0; i+gramLen <= len(run); i++ {
				g := gramAt(run, i)
				key := gramKey(o.dim, g)
				c := chance(run, i)*int(x.counts[key]) + gramCost + dimCost[o.dim]
				if bestCost < 0 || c < bestCost {
					best, bestCost = anchorKey{key: key, dim: o.dim, gram: g, isGram: true}, c
				}
			}
		}
		keys, cost = append(keys, best), cost+bestCost
	}
	return keys, cost
}

// options lists how the values of a leaf can be found, one option a value; nil
// when the leaf's kind has no index.
func (x *anchors) options(l *leaf) []option {
	d := dimOfKind[l.kind]
	switch l.kind {
	case kindURL:
		return x.urlOptions(l)
	case kindMD5:
		return hashOptions(x.seed, d, l.md5)
	case kindSHA256:
		return hashOptions(x.seed, d, l.sha256)
	case kindSize, kindLength, kindDirection, kindAddress:
		return nil
	}
	var out []option
	for _, v := range l.text.few {
		out = append(out, option{dim: d, exact: hashString(x.seed, d, v)})
	}
	for v := range l.text.many {
		out = append(out, option{dim: d, exact: hashString(x.seed, d, v)})
	}
	for i := range l.text.masks {
		out = append(out, option{dim: d, needs: needOf(l.text.masks[i].runs())})
	}
	for _, re := range l.text.exprs {
		out = append(out, option{dim: d, needs: needsOf(re.String(), false)})
	}
	return out
}

func hashOptions[D digest](seed maphash.Seed, d dim, set map[D]struct{}) []option {
	out := make([]option, 0, len(set))
	for h := range set {
		out = append(out, option{dim: d, exact: hashOf(seed, d, digestBytes(h))})
	}
	return out
}

func digestBytes[D digest](h D) []byte {
	switch h := any(h).(type) {
	case [16]byte:
		return h[:]
	case [32]byte:
		return h[:]
	}
	return nil
}

func (x *anchors) urlOptions(l *leaf) []option {
	var out []option
	add := func(p *urlPattern) {
		var runs []string
		if p.masked != nil {
			runs = p.masked.runs()
		}
		if p.pathIs != nil {
			runs = append(runs, p.pathIs.runs()...)
		}
		o := option{dim: dimURL, needs: needOf(append(runs, p.path))}
		if p.host != "" {
			o.exact = hashString(x.seed, dimURL, p.host)
		}
		out = append(out, o)
	}
	for i := range l.url.patterns {
		add(&l.url.patterns[i])
	}
	for _, list := range l.url.hosts {
		for i := range list {
			add(&list[i])
		}
	}
	for _, re := range l.url.exprs {
		out = append(out, option{dim: dimURL, needs: needsOf(re.String(), true)})
	}
	return out
}

// needOf is the one need of a pattern that holds all runs, of which those too
// short for a gram do not help.
func needOf(runs []string) needs {
	var need []string
	for _, run := range runs {
		if len(run) >= gramLen {
			need = append(need, run)
		}
	}
	if need == nil {
		return nil
	}
	return needs{need}
}

// prefixesOf covers ranges exactly with prefixes.
func prefixesOf(ranges []settings.AddressRange) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range ranges {
		for a := r.First; ; {
			p := widest(a, r.Last)
			out = append(out, p)
			last := lastAddr(p)
			if last == r.Last {
				break
			}
			a = last.Next()
		}
	}
	return out
}

// widest is the shortest prefix that begins at a and does not go past last.
func widest(a, last netip.Addr) netip.Prefix {
	best := netip.PrefixFrom(a, a.BitLen())
	for n := a.BitLen() - 1; n >= 0; n-- {
		p := netip.PrefixFrom(a, n)
		if p.Masked().Addr() != a || last.Less(lastAddr(p)) {
			break
		}
		best = p
	}
	return best
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	from := p.Bits() + 128 - p.Addr().BitLen()
	for i := from; i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		return a.Unmap()
	}
	return a
}
