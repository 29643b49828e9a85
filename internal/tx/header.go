package tx

import "iter"

// Field is one header field line. Name and Value point into the entrance's
// buffer: they are valid until Judge.End returns and must not be changed.
type Field struct{ Name, Value []byte }

// Header is the field lines of one message in the order of the wire. Lines with
// the same name stay apart. Values carry no surrounding white space, and
// neither part holds CR, LF or NUL: entrances refuse such messages.
type Header []Field

// Get returns the value of the first field called name (any case), or nil.
func (h Header) Get(name string) []byte {
	for i := range h {
		if EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return nil
}

// Has tells whether a field called name (any case) is present.
func (h Header) Has(name string) bool {
	for i := range h {
		if EqualFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Values yields the values of all fields called name (any case), in order.
func (h Header) Values(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range h {
			if EqualFold(h[i].Name, name) && !yield(h[i].Value) {
				return
			}
		}
	}
}

// EqualFold compares a token with name, ignoring the case of ASCII letters. It
// does not allocate and knows no other alphabet: field names are ASCII
// (RFC 9110 section 5.1).
func EqualFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range b {
		x, y := b[i], name[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}
