package policy

import (
	"regexp"
	"strings"

	"sluice/internal/settings"
)

// fewTexts is up to how many exact texts are compared one by one.
const fewTexts = 4

// textSet is a list of names, masks and regular expressions, any of which may
// fit a text.
type textSet struct {
	few   []string            // exact, while they are few
	many  map[string]struct{} // exact, else
	masks []mask
	exprs []*regexp.Regexp
}

// newTextSet compiles values that settings have validated. fold says that case
// does not count.
func newTextSet(values []string, fold bool) (*textSet, error) {
	s := &textSet{}
	for _, v := range values {
		if expr, ok := strings.CutPrefix(v, settings.RegexPrefix); ok {
			re, err := regexp.Compile(expr)
			if err != nil {
				return nil, err
			}
			s.exprs = append(s.exprs, re)
			continue
		}
		if fold {
			v = lowerText(v)
		}
		if isMask(v) {
			s.masks = append(s.masks, newMask(v))
		} else {
			s.few = append(s.few, v)
		}
	}
	if len(s.few) > fewTexts {
		s.many = make(map[string]struct{}, len(s.few))
		for _, v := range s.few {
			s.many[v] = struct{}{}
		}
		s.few = nil
	}
	return s, nil
}

// match looks for lower among names and masks, and for plain among the regular
// expressions. An empty text fits nothing: what is not there has no name.
func (s *textSet) match(plain, lower []byte) bool {
	if len(lower) == 0 {
		return false
	}
	for _, v := range s.few {
		if v == string(lower) {
			return true
		}
	}
	if _, ok := s.many[string(lower)]; ok {
		return true
	}
	for i := range s.masks {
		if s.masks[i].match(lower) {
			return true
		}
	}
	for _, re := range s.exprs {
		if re.Match(plain) {
			return true
		}
	}
	return false
}

// matchString looks for an exact name alone.
func (s *textSet) matchString(name string) bool {
	for _, v := range s.few {
		if v == name {
			return true
		}
	}
	_, ok := s.many[name]
	return ok
}
