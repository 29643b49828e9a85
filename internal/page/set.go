package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Config says which pages there are.
type Config struct {
	// Templates maps a language tag to a page of the administrator's; languages
	// without one have the built-in page, if Sluice speaks them.
	Templates map[string]string
	// Language is used when the user's browser asks for none of ours.
	Language string
	// Contact replaces "your administrator" on the pages; empty keeps it.
	Contact string
}

// Set is all pages, ready to be shown. It is immutable and safe for concurrent use.
type Set struct {
	pages    []entry // the default first
	fallback string
}

type entry struct {
	tag  string
	lang *language
	page *template
}

// New compiles the pages. Its error names the language and the line.
func New(c Config) (*Set, error) {
	templates := map[string]string{}
	langs := map[string]*language{}
	for _, l := range builtin() {
		if c.Contact != "" {
			l.contact = c.Contact
		}
		templates[l.tag], langs[l.tag] = l.page(), l
	}
	for tag, text := range c.Templates {
		templates[strings.ToLower(tag)] = text
	}
	s := &Set{fallback: strings.ToLower(c.Language)}
	for tag, text := range templates {
		t, err := compile(text)
		if err != nil {
			return nil, fmt.Errorf("block page %q: %w", tag, err)
		}
		l := langs[primary(tag)]
		if l == nil {
			l = langs["en"]
		}
		s.pages = append(s.pages, entry{tag, l, t})
	}
	slices.SortFunc(s.pages, func(a, b entry) int { return strings.Compare(a.tag, b.tag) })
	if s.find(s.fallback) == nil {
		return nil, fmt.Errorf("block page: there is none in the default language %q", c.Language)
	}
	return s, nil
}

// Render makes the page in the language that fits acceptLanguage best (RFC 9110
// section 12.5.4) and returns it with its language tag.
func (s *Set) Render(acceptLanguage string, v *Values) (page []byte, tag string) {
	e := s.choose(acceptLanguage)
	return e.page.render(v, e.lang), e.tag
}

// maxRanges bounds how many wishes of a browser are looked at.
const maxRanges = 32

func (s *Set) choose(accept string) *entry {
	best, bestQ := s.find(s.fallback), 0.0
	for n := 0; accept != "" && n < maxRanges; n++ {
		var item string
		item, accept, _ = strings.Cut(accept, ",")
		tag, params, _ := strings.Cut(item, ";")
		q := 1.0
		if w, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(w, 64); err != nil {
				continue
			}
		}
		if e := s.find(strings.ToLower(strings.TrimSpace(tag))); e != nil && q > bestQ {
			best, bestQ = e, q
		}
	}
	return best
}

// find returns the page in exactly that language, or in its primary one.
func (s *Set) find(tag string) *entry {
	for _, want := range [...]string{tag, primary(tag)} {
		for i := range s.pages {
			if s.pages[i].tag == want {
				return &s.pages[i]
			}
		}
	}
	return nil
}

func primary(tag string) string {
	p, _, _ := strings.Cut(tag, "-")
	return p
}
