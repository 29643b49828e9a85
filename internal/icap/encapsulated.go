package icap

import "bytes"

// section is one part of an encapsulated message.
type section uint8

// In the order in which RFC 3507 section 4.4.1 lets them stand.
const (
	noSection section = iota
	reqHdr
	resHdr
	reqBody
	resBody
	optBody
	nullBody
)

var sectionNames = [...]string{reqHdr: "req-hdr", resHdr: "res-hdr", reqBody: "req-body", resBody: "res-body", optBody: "opt-body", nullBody: "null-body"}

// encapsulated is the Encapsulated header: where the heads and the body begin
// behind the ICAP head. Lengths are bytes, 0 when the part is not there.
type encapsulated struct {
	reqLen, resLen int
	body           section
}

func (e *encapsulated) headLen() int { return e.reqLen + e.resLen }

func (e *encapsulated) hasBody() bool { return e.body != nullBody }

// parseEncapsulated reads the list. Offsets start at 0 and grow, names stand in
// the order of RFC 3507 section 4.4.1, each once, and the last is a body.
func parseEncapsulated(value []byte, maxBlock int) (e encapsulated, r *refusal) {
	last, lastAt := noSection, int64(0)
	for more := true; more; {
		var item []byte
		item, value, more = bytes.Cut(value, []byte{','})
		s, at, ok := parseSection(trimOWS(item))
		switch {
		case !ok:
			return e, refuse(badEncapsulated, "Encapsulated item is not name=offset with a known name")
		case last >= reqBody:
			return e, refuse(badEncapsulated, "Encapsulated has something behind the body")
		case s <= last:
			return e, refuse(badEncapsulated, "Encapsulated sections are out of order or double")
		case last == noSection && at != 0:
			return e, refuse(badEncapsulated, "Encapsulated does not begin at offset 0")
		case last != noSection && at <= lastAt:
			return e, refuse(badEncapsulated, "Encapsulated offsets do not grow")
		case at-lastAt > int64(maxBlock):
			return e, refuse(tooLarge, "encapsulated header is larger than %d bytes", maxBlock)
		}
		switch last {
		case reqHdr:
			e.reqLen = int(at - lastAt)
		case resHdr:
			e.resLen = int(at - lastAt)
		}
		last, lastAt = s, at
	}
	if last < reqBody {
		return e, refuse(badEncapsulated, "Encapsulated names no body, not even null-body")
	}
	e.body = last
	return e, nil
}

func parseSection(item []byte) (s section, at int64, ok bool) {
	name, number, found := bytes.Cut(item, []byte{'='})
	if !found {
		return 0, 0, false
	}
	for i := reqHdr; i <= nullBody; i++ {
		if string(name) == sectionNames[i] {
			at, ok = decimal(number, 1<<31)
			return i, at, ok
		}
	}
	return 0, 0, false
}

// fits tells whether the sections may stand in a request of method m.
func (e *encapsulated) fits(m method) bool {
	switch m {
	case reqmod:
		return e.resLen == 0 && (e.body == reqBody || e.body == nullBody)
	case respmod:
		return e.body == resBody || e.body == nullBody
	default:
		return e.headLen() == 0 && (e.body == optBody || e.body == nullBody)
	}
}
