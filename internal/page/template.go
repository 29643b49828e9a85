package page

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxTemplate bounds a template, in bytes.
const MaxTemplate = 1 << 20

// maxValue bounds what one macro puts into a page, in bytes before escaping.
const maxValue = 2048

var macroName = regexp.MustCompile(`%([A-Z]+(?:_[A-Z]+)*)%`)

// template is a page cut at its macros: text[i] stands before macro[i], and one
// more text after the last.
type template struct {
	text  []string
	macro []value
}

// compile cuts a page. A macro that does not exist is an error: a page that
// shows "%USERNAME%" to people helps nobody.
func compile(page string) (*template, error) {
	if len(page) > MaxTemplate {
		return nil, fmt.Errorf("the page is larger than %d bytes", MaxTemplate)
	}
	if !utf8.ValidString(page) {
		return nil, errors.New("the page is not UTF-8")
	}
	t := &template{}
	at := 0
	for _, m := range macroName.FindAllStringSubmatchIndex(page, -1) {
		name := page[m[2]:m[3]]
		v, ok := macros[name]
		if !ok {
			line := 1 + strings.Count(page[:m[0]], "\n")
			return nil, fmt.Errorf("line %d: unknown macro %%%s%%; there are %s", line, name, strings.Join(Macros(), " "))
		}
		t.text = append(t.text, page[at:m[0]])
		t.macro = append(t.macro, v)
		at = m[1]
	}
	t.text = append(t.text, page[at:])
	return t, nil
}

func (t *template) render(v *Values, l *language) []byte {
	var b []byte
	for i, m := range t.macro {
		b = append(b, t.text[i]...)
		b = append(b, html.EscapeString(clean(m(v, l)))...)
	}
	return append(b, t.text[len(t.text)-1]...)
}

// clean bounds a value and takes out what a page cannot show.
func clean(s string) string {
	if len(s) > maxValue {
		cut := maxValue
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\t' && r != '\n' {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Macros lists the macros as they are written in a page.
func Macros() []string {
	out := make([]string, 0, len(macros))
	for name := range macros {
		out = append(out, "%"+name+"%")
	}
	slices.Sort(out)
	return out
}
