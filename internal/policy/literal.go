package policy

import (
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// maxAlternatives bounds how many literals one expression is looked up by.
const maxAlternatives = 16

// requiredLiterals returns texts, in lower case, of which every text that expr
// matches holds at least one in its lower-case form; nil when there are none
// long enough. ascii says that only ASCII is ever matched.
func requiredLiterals(expr string, ascii bool) []string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	return required(re.Simplify(), ascii)
}

func required(re *syntax.Regexp, ascii bool) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if run := longestRun(re.Rune, re.Flags&syntax.FoldCase != 0 && !ascii); len(run) >= gramLen {
			return []string{run}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0], ascii)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0], ascii)
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if lits := required(sub, ascii); shortest(lits) > shortest(best) {
				best = lits
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			lits := required(sub, ascii)
			if lits == nil || len(all)+len(lits) > maxAlternatives {
				return nil
			}
			all = append(all, lits...)
		}
		return all
	}
	return nil
}

func shortest(lits []string) int {
	if len(lits) == 0 {
		return 0
	}
	n := len(lits[0])
	for _, l := range lits[1:] {
		n = min(n, len(l))
	}
	return n
}

// longestRun returns the longest run of runes, in lower case, that can be looked
// for byte by byte in a lower-case text. With folding, a letter may also match
// one whose lower-case form differs, as s does the long s: such letters end a
// run.
func longestRun(runes []rune, folding bool) string {
	var best, run []byte
	for _, r := range runes {
		if r == utf8.RuneError || folding && !foldsPlainly(r) {
			run = nil
			continue
		}
		if run = utf8.AppendRune(run, unicode.ToLower(r)); len(run) > len(best) {
			best = run
		}
	}
	return string(best)
}

func foldsPlainly(r rune) bool {
	low := unicode.ToLower(r)
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if unicode.ToLower(f) != low {
			return false
		}
	}
	return true
}
