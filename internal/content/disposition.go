package content

import (
	"io"
	"mime"
	"strings"
)

// dispositionName finds filename or filename* in a Content-Disposition value
// (RFC 6266), however sloppy it is written. The extended form is preferred, as
// by browsers.
func dispositionName(v string) string {
	params := looseParams(v)
	for _, key := range [...]string{"filename", "name"} {
		if n, ok := extendedValue(params[key+"*"]); ok {
			return n
		}
		if _, p, err := mime.ParseMediaType(v); err == nil && p[key] != "" { // knows continuations
			return decodeWords(p[key])
		}
		if n := params[key]; n != "" {
			return decodeWords(n)
		}
	}
	return ""
}

// looseParams reads the parameters between semicolons; the first of a name
// counts. A quoted value ends at its quote, a plain one at the semicolon.
func looseParams(v string) map[string]string {
	params := map[string]string{}
	for v != "" {
		v = strings.TrimLeft(v, "; \t")
		i := strings.IndexAny(v, "=;")
		if i < 0 {
			break
		}
		name := strings.ToLower(strings.TrimRight(v[:i], " \t"))
		if v[i] == ';' {
			v = v[i:]
			continue
		}
		var value string
		if value, v = looseValue(strings.TrimLeft(v[i+1:], " \t")); params[name] == "" {
			params[name] = value
		}
	}
	return params
}

// looseValue takes one value off v. A backslash escapes quotes and itself only:
// old browsers send whole Windows paths.
func looseValue(v string) (value, rest string) {
	if !strings.HasPrefix(v, `"`) {
		value, rest, _ = strings.Cut(v, ";")
		return strings.TrimRight(value, " \t"), rest
	}
	var b strings.Builder
	for i := 1; i < len(v); i++ {
		switch {
		case v[i] == '"':
			_, rest, _ = strings.Cut(v[i+1:], ";")
			return b.String(), rest
		case v[i] == '\\' && i+1 < len(v) && (v[i+1] == '"' || v[i+1] == '\\'):
			i++
		}
		b.WriteByte(v[i])
	}
	return b.String(), ""
}

// extendedValue reads charset'language'text (RFC 8187 section 3.2). What is wrongly
// coded counts for nothing, as in browsers.
func extendedValue(v string) (string, bool) {
	charset, rest, ok := strings.Cut(v, "'")
	text := v
	if ok {
		if _, text, ok = strings.Cut(rest, "'"); !ok {
			return "", false
		}
	} else {
		charset = "utf-8"
	}
	var b []byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) || unhex(text[i+1]) < 0 || unhex(text[i+2]) < 0 {
				return "", false
			}
			c = byte(unhex(text[i+1])<<4 | unhex(text[i+2]))
			i += 2
		}
		b = append(b, c)
	}
	switch charset = strings.ToLower(charset); {
	case strings.HasPrefix(charset, "iso-8859-"), strings.HasPrefix(charset, "windows-125"):
		r := make([]rune, len(b)) // Latin letters are right, others at least there
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r), len(r) > 0
	}
	return string(b), len(b) > 0
}

// looseParam finds key=value anywhere behind a semicolon or white space.
func looseParam(v, key string) string {
	l := strings.ToLower(v)
	for i := 0; ; {
		j := strings.Index(l[i:], key)
		if j < 0 {
			return ""
		}
		start := i + j
		i = start + len(key)
		rest := strings.TrimLeft(v[min(i, len(v)):], "* \t")
		if !strings.HasPrefix(rest, "=") || start > 0 && !strings.ContainsRune("; \t\r\n", rune(l[start-1])) {
			continue
		}
		rest = strings.TrimLeft(rest[1:], " \t")
		if q, ok := strings.CutPrefix(rest, `"`); ok {
			n, _, _ := strings.Cut(q, `"`)
			return n
		}
		if n := strings.IndexAny(rest, "; \t\r\n"); n >= 0 {
			rest = rest[:n]
		}
		return rest
	}
}

// decodeWords undoes RFC 2047 words, which some senders put into file names.
func decodeWords(s string) string {
	d := mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}
	if t, err := d.DecodeHeader(s); err == nil {
		return t
	}
	return s
}
