package policy

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMask(t *testing.T) {
	for _, c := range []struct {
		mask, text string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "anything", true},
		{"**", "", true}, {"a*", "a", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*b", "ab", true}, {"a*b", "axxb", true}, {"a*b", "a", false}, {"ab*ba", "aba", false},
		{"*a*b*", "xxbaxxb", true}, {"*ab*ab*", "abab", true}, {"*ab*ab*", "abxa", false},
		{"?", "", false}, {"?", "a", true}, {"?", "ж", true}, {"??", "ж", false}, {"a?c", "abc", true},
		{"*?x", "abx", true}, {"*?x", "x", false}, {"?*", "", false}, {"*.?.*", "a.b.c", true}, {"*a?", "aab", true},
		{"*??", "ж", false}, {"*ж?", "жжю", true},
	} {
		m := newMask(c.mask)
		if have := m.match([]byte(c.text)); have != c.want {
			t.Errorf("%q on %q: have %v", c.mask, c.text, have)
		}
	}
}

// Masks match what the same thing written as a regular expression does.
func FuzzMask(f *testing.F) {
	f.Add("a*b?c", "axbxc")
	f.Add("*aa*a?", "aaaaa")
	f.Add("?*?", "жю")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 40 || len(text) > 200 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return
		}
		expr := regexp.QuoteMeta(pattern)
		expr = strings.ReplaceAll(strings.ReplaceAll(expr, `\*`, `.*`), `\?`, `.`)
		re, err := regexp.Compile(`(?s)^` + expr + `$`)
		if err != nil {
			return
		}
		m := newMask(pattern)
		if have, want := m.match([]byte(text)), re.MatchString(text); have != want {
			t.Errorf("%q on %q: have %v, want %v", pattern, text, have, want)
		}
		for _, run := range m.runs() {
			if m.match([]byte(text)) && !strings.Contains(text, run) {
				t.Errorf("%q fits %q without its run %q", pattern, text, run)
			}
		}
	})
}

// Whatever an expression matches holds all runs of one of its needs.
func FuzzNeeds(f *testing.F) {
	f.Add("track(er|ing)[0-9]+", "/TRACKER7")
	f.Add("(?i)straße|Kelvin", "xx\u212aelvinxx")
	f.Add("(abcd|efgh)+?x{2,}wxyz", "efghxxxwxyz")
	f.Add("(?i)ſasſ", "SASS")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, err := regexp.Compile(expr)
		if err != nil || len(expr) > 200 || !re.MatchString(text) {
			return
		}
		low := lowerText(text)
		ascii := strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
		for _, only := range []bool{false, true} {
			all := needsOf(expr, only)
			if all == nil || only && !ascii {
				continue
			}
			met := false
			for _, need := range all {
				here := true
				for _, run := range need {
					here = here && strings.Contains(low, run)
				}
				met = met || here
			}
			if !met {
				t.Errorf("%q matches %q, which holds none of %q (ascii %v)", expr, text, all, only)
			}
		}
	})
}
