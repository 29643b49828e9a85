package content

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName = 512
	maxPath = 2048
)

// cleanName makes a name from outside fit for logs and pages: valid UTF-8, no
// control or direction characters, bounded.
func cleanName(s string) string {
	if len(s) <= maxName && plainASCII(s) {
		return s
	}
	if len(s) > 4*maxName {
		s = s[:4*maxName]
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
	return clip(s, maxName)
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// clip cuts s to n bytes between runes, keeping the end, where a file name has
// its extension.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	half := n / 2
	head, tail := s[:half-2], s[len(s)-half+1:]
	for len(head) > 0 && !utf8.RuneStart(s[len(head)]) {
		head = head[:len(head)-1]
	}
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	return head + "…" + tail
}

func joinPath(parent, name string) string {
	if name == "" {
		name = "(no name)"
	}
	return clip(parent+" > "+name, maxPath)
}
