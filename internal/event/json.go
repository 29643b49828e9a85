package event

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"unicode/utf8"
)

// text is what may hold characters of outside origin.
type text interface{ ~string | ~[]byte }

// appendField adds key (which ends with the opening quote), at most limit bytes
// of value as a JSON string (RFC 8259 section 7), and the closing quote. An
// empty value adds nothing.
func appendField[T text](b []byte, key string, value T, limit int) []byte {
	if len(value) == 0 {
		return b
	}
	b = append(b, key...)
	b = appendText(b, value, limit)
	return append(b, '"')
}

// appendText adds the escaped characters of value without quotes: always valid
// UTF-8, what is not becomes U+FFFD.
func appendText[T text](b []byte, value T, limit int) []byte {
	if len(value) > limit {
		n := limit
		for n > limit-utf8.UTFMax && n > 0 && !utf8.RuneStart(value[n]) {
			n--
		}
		value = value[:n]
	}
	start := len(b)
	b = append(b, value...)
	if clean := cleanPrefix(b[start:]); clean < len(value) {
		return appendEscaped(b[:start+clean], value[clean:])
	}
	return b
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// cleanPrefix is how many leading bytes of b need no escape and are ASCII; it
// may stop some bytes early.
func cleanPrefix(b []byte) int {
	if len(b) < 8 {
		for i, c := range b {
			if c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
				return i
			}
		}
		return len(b)
	}
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if special(binary.LittleEndian.Uint64(b[i:])) {
			return i
		}
	}
	if special(binary.LittleEndian.Uint64(b[len(b)-8:])) {
		return i
	}
	return len(b)
}

// special tells whether one of eight bytes is above 0x7f, below 0x20, a quote or
// a backslash: each of these leaves the high bit of its byte set.
func special(w uint64) bool {
	quote, slash := w^(lows*'"'), w^(lows*'\\')
	return (w|(w-lows*0x20)|(quote-lows)|(slash-lows))&highs != 0
}

func appendEscaped[T text](b []byte, s T) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			b = appendASCII(b, c)
			i++
			continue
		}
		// A string this short lies on the stack.
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		b = utf8.AppendRune(b, r) // RuneError where the bytes are not UTF-8
		i += n
	}
	return b
}

func appendASCII(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch {
	case c == '"' || c == '\\':
		return append(b, '\\', c)
	case c >= 0x20:
		return append(b, c)
	default:
		return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
	}
}

// appendNumber adds a key (which ends with the colon) and a value above 0.
func appendNumber(b []byte, key string, value int64) []byte {
	if value <= 0 {
		return b
	}
	b = append(b, key...)
	return strconv.AppendInt(b, value, 10)
}

func appendAddr(b []byte, key string, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	b = append(b, key...)
	b = a.Unmap().WithZone("").AppendTo(b)
	return append(b, '"')
}

func appendHash(b []byte, key string, sum []byte) []byte {
	for _, c := range sum {
		if c != 0 {
			b = append(b, key...)
			b = hex.AppendEncode(b, sum)
			return append(b, '"')
		}
	}
	return b
}
