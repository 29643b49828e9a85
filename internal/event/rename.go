package event

import (
	"bytes"
	"errors"
)

var errAnswer = errors.New("the event engine's answer is not an object of strings")

// renameLine adds line to dst with the engine's names for fields turned back
// into ours. A line is a flat JSON object whose values are strings.
func renameLine(dst, line []byte, k Kind) ([]byte, error) {
	line, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte{'{'})
	if !ok {
		return dst, errAnswer
	}
	dst = append(dst, '{')
	for first := true; ; first = false {
		if first && string(line) == "}" {
			return append(dst, '}'), nil
		}
		key, rest, ok := cutString(line)
		if !ok || len(rest) == 0 || rest[0] != ':' {
			return dst, errAnswer
		}
		value, rest, ok := cutString(rest[1:])
		if !ok || len(rest) == 0 {
			return dst, errAnswer
		}
		dst = append(dst, ourKey(key, k)...)
		dst = append(dst, ':')
		dst = append(dst, value...)
		dst = append(dst, rest[0])
		switch {
		case rest[0] == ',':
			line = rest[1:]
		case string(rest) == "}":
			return dst, nil
		default:
			return dst, errAnswer
		}
	}
}

// cutString cuts a JSON string with its quotes off the front of b.
func cutString(b []byte) (quoted, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[:i+1], b[i+1:], true
		}
	}
	return nil, nil, false
}

func ourKey(quoted []byte, k Kind) []byte {
	switch {
	case string(quoted) == `"_time"`:
		return []byte(`"time"`)
	case string(quoted) != `"_msg"`:
		return quoted
	case k == KindSystem:
		return []byte(`"text"`)
	default:
		return []byte(`"url"`)
	}
}
