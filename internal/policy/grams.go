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

// How often traffic has a gram by chance, against one of letters: common grams
// nearly always, grams of digits alone in every date and number.
const (
	commonWeight = 1000
	digitWeight  = 8
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

// chance is the weight of the gram at s[i].
func chance(s string, i int) int {
	gram := s[i : i+gramLen]
	switch {
	case strings.Contains(commonGrams, gram):
		return commonWeight
	case strings.Trim(gram, "0123456789") == "":
		return digitWeight
	}
	return 1
}

// bitFilter tells for most keys that are not in a set that they are not.
type bitFilter struct {
	bits  []uint64
	shift uint8
}

func newBitFilter(n int) *bitFilter {
	width := min(28, max(10, bits.Len(uint(n))+5))
	return &bitFilter{bits: make([]uint64, 1<<(width-6)), shift: uint8(32 - width)}
}

func (g *bitFilter) add(key uint32) {
	h := key * 0x9e3779b1 >> g.shift
	g.bits[h>>6] |= 1 << (h & 63)
}

func (g *bitFilter) has(key uint32) bool {
	h := key * 0x9e3779b1 >> g.shift
	return g.bits[h>>6]&(1<<(h&63)) != 0
}
