package policy

import (
	"math/bits"
	"strings"
)

// Masks and regular expressions are found by a gram: four bytes in a row of a
// text that every match holds. A text is looked through once for grams that any
// pattern waits for; a bit table answers no for nearly all of them.

const gramLen = 4

// commonGrams are parts of nearly every URL or agent: patterns are looked up by
// them only when they have nothing better.
const commonGrams = "http:// https://www. .com .com/ .net .net/ .org .org/ index.html .htm .php .aspx mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36 (khtml, like gecko) chrome/ safari/537.36 firefox/ application/ text/ image/ video/ audio/"

// What common grams cost, and those of digits alone, which dates and numbers in
// URLs meet by chance.
const (
	commonGramCost = 5_000
	digitGramCost  = 50
)

func gramAt(s string, i int) uint32 {
	return uint32(s[i])<<24 | uint32(s[i+1])<<16 | uint32(s[i+2])<<8 | uint32(s[i+3])
}

// gramKey spreads a gram of a dimension over 64 bits (finalizer of splitmix64).
func gramKey(d dim, g uint32) uint64 {
	x := uint64(g)<<8 | uint64(d) | 1<<62
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chanceCost is what the gram at s[i] costs because traffic has it by chance.
func chanceCost(s string, i int) int {
	gram := s[i : i+gramLen]
	switch {
	case strings.Contains(commonGrams, gram):
		return commonGramCost
	case strings.Trim(gram, "0123456789") == "":
		return digitGramCost
	}
	return 0
}

// gramFilter is the bit table of one dimension.
type gramFilter struct {
	bits  []uint64
	shift uint8
}

func newGramFilter(n int) *gramFilter {
	width := max(10, bits.Len(uint(n))+4)
	return &gramFilter{bits: make([]uint64, 1<<(width-6)), shift: uint8(32 - width)}
}

func (g *gramFilter) add(gram uint32) {
	h := gram * 0x9e3779b1 >> g.shift
	g.bits[h>>6] |= 1 << (h & 63)
}

func (g *gramFilter) has(gram uint32) bool {
	h := gram * 0x9e3779b1 >> g.shift
	return g.bits[h>>6]&(1<<(h&63)) != 0
}
