package event

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// Plain returns a writer for people's eyes: what clients put into events cannot
// command the terminal that shows them (the controls of ECMA-48, in one byte or
// as U+0080 to U+009F) or turn text round (Unicode UAX 9). Line ends and tabs
// pass. A character must not be split between two writes.
func Plain(w io.Writer) io.Writer { return plain{w} }

type plain struct{ w io.Writer }

// Write passes p on (io.Writer).
func (p plain) Write(b []byte) (int, error) {
	clean := bytes.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return utf8.RuneError
		}
		return r
	}, b)
	if _, err := p.w.Write(clean); err != nil {
		return 0, err
	}
	return len(b), nil
}
