package policy

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mask is a text with stars and question marks, in lower case. A star stands for
// any run of bytes, empty too; a question mark for one character.
type mask struct {
	parts [][]byte // what lies between stars; one part when there is no star
}

func isMask(s string) bool { return strings.ContainsAny(s, "*?") }

// newMask takes text in lower case.
func newMask(text string) mask {
	var m mask
	for part := range strings.SplitSeq(text, "*") {
		m.parts = append(m.parts, []byte(part))
	}
	return m
}

// match tells whether the mask fits all of s. It does not allocate. Its time is
// at most in proportion to len(mask) × len(s).
func (m *mask) match(s []byte) bool {
	n := fit(m.parts[0], s)
	last := len(m.parts) - 1
	if last == 0 {
		return n == len(s)
	}
	if n < 0 {
		return false
	}
	s = s[n:]
	for _, part := range m.parts[1:last] {
		i := after(part, s)
		if i < 0 {
			return false
		}
		s = s[i:]
	}
	return fitsEnd(m.parts[last], s)
}

// fit returns how many bytes of s part takes at its begin, or -1.
func fit(part, s []byte) int {
	n := 0
	for _, c := range part {
		if n >= len(s) {
			return -1
		}
		if c == '?' {
			_, w := utf8.DecodeRune(s[n:])
			n += w
			continue
		}
		if s[n] != c {
			return -1
		}
		n++
	}
	return n
}

// after returns where the first piece of s that part fits ends, or -1.
func after(part, s []byte) int {
	if bytes.IndexByte(part, '?') < 0 {
		i := bytes.Index(s, part)
		if i < 0 {
			return -1
		}
		return i + len(part)
	}
	for i := 0; i+len(part) <= len(s); i++ {
		if n := fit(part, s[i:]); n >= 0 {
			return i + n
		}
	}
	return -1
}

// fitsEnd tells whether part fits the end of s.
func fitsEnd(part, s []byte) bool {
	if bytes.IndexByte(part, '?') < 0 {
		return bytes.HasSuffix(s, part)
	}
	for i := max(0, len(s)-utf8.UTFMax*len(part)); i+len(part) <= len(s); i++ {
		if fit(part, s[i:]) == len(s)-i {
			return true
		}
	}
	return false
}

// runs are the pieces of the mask that stand for themselves.
func (m *mask) runs() []string {
	var out []string
	for _, part := range m.parts {
		out = append(out, strings.Split(string(part), "?")...)
	}
	return out
}

// appendLower writes s in lower case, letters of all scripts included. Bytes
// that are no UTF-8 stay as they are.
func appendLower(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			dst = append(dst, lowerByte(c))
			i++
			continue
		}
		r, w := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && w == 1 {
			dst = append(dst, c)
		} else {
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
		i += w
	}
	return dst
}

func lowerText(s string) string { return string(appendLower(nil, []byte(s))) }
