package policy

import (
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// maxAlternatives bounds how many literals one expression is looked up by.
const maxAlternatives = 16

// needsOf returns what every text that expr matches holds in its lower-case form;
// nil when that is nothing long enough. ascii says that only ASCII is ever
// matched.
func needsOf(expr string, ascii bool) needs {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	return required(re.Simplify(), ascii)
}

func required(re *syntax.Regexp, ascii bool) needs {
	switch re.Op {
	case syntax.OpLiteral:
		return needOf([]string{longestRun(re.Rune, re.Flags&syntax.FoldCase != 0 && !ascii)})
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0], ascii)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0], ascii)
		}
	case syntax.OpConcat:
		return requiredOfAll(re.Sub, ascii)
	case syntax.OpAlternate:
		var all needs
		for _, sub := range re.Sub {
			n := required(sub, ascii)
			if n == nil || len(all)+len(n) > maxAlternatives {
				return nil
			}
			all = append(all, n...)
		}
		return all
	}
	return nil
}

// requiredOfAll joins what parts that follow each other need: all single needs
// make one, with more runs to choose from. Only without any is a part with
// alternatives looked at, the one with the fewest.
func requiredOfAll(subs []*syntax.Regexp, ascii bool) needs {
	var runs []string
	var several needs
	for _, sub := range subs {
		switch n := required(sub, ascii); {
		case len(n) == 1:
			runs = append(runs, n[0]...)
		case len(n) > 1 && (several == nil || len(n) < len(several)):
			several = n
		}
	}
	if runs != nil {
		return needs{runs}
	}
	return several
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
