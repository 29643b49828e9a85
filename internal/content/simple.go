package content

import (
	"bytes"
	"strings"
)

// simpleMax is the largest body that Simple looks at, in bytes.
const simpleMax = 64 << 10

// Simple tells whether a message is surely one plain object: a small body in
// memory without coding, parts, members or anything hidden in it. It then
// returns the object that Walk would visit, and Walk need not be called. It does
// not allocate for a message with a short printable name.
func (w *Walker) Simple(m Message) (Object, bool) {
	b, ok := m.Body.Bytes()
	declared := mediaType(m.ContentType)
	if !ok || len(b) > simpleMax || !simpleHead(&m, declared) {
		return Object{}, false
	}
	t := Sniff(b)
	if !simpleType(t) || bytes.Contains(b, sigEOCD) || mayCarve(b) || len(b) > isoMark+5 && string(b[isoMark:isoMark+5]) == "CD001" {
		return Object{}, false
	}
	if isTextType(t) {
		if start, _ := nextRun(b, 0); start >= 0 || bytes.Contains(b, []byte("begin ")) {
			return Object{}, false
		}
	}
	if t == "data" && w.mayBeCoded(b) {
		return Object{}, false
	}
	return Object{Name: cleanName(m.FileName), Path: "message", Type: t, MIME: TypeMIME(t), DeclaredMIME: declared, Data: m.Body}, true
}

// simpleHead tells whether the header gives the body no other meaning.
func simpleHead(m *Message, declared string) bool {
	for _, e := range m.ContentEncoding {
		if e != "" && e != "identity" {
			return false
		}
	}
	return m.ContentDisposition == "" && !isMultipart(declared) && !isMailType(declared) &&
		declared != "application/x-www-form-urlencoded" && !simpleMail(m.FileName)
}

// mayBeCoded tells whether unknown data could be a stream without a mark.
func (w *Walker) mayBeCoded(b []byte) bool {
	head, size := b[:min(len(b), sniffLen)], int64(len(b))
	for _, kind := range codingsTried {
		if mayBe(kind, head, size) && w.pools.trial(kind, head, size) {
			return true
		}
	}
	return false
}

func simpleMail(name string) bool {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || len(name)-i > 8 {
		return false
	}
	for ext := range mailNames {
		if strings.EqualFold(name[i:], ext) {
			return true
		}
	}
	return false
}

// simpleType lists the types that have no members, cannot be encrypted and
// carry no macros.
func simpleType(id string) bool {
	switch id {
	case "empty", "data", "text", "html", "xml", "svg", "json", "css", "javascript", "php", "bat",
		"png", "jpeg", "gif", "webp", "bmp", "ico", "tiff", "mp3", "mp4", "ogg", "flac", "wav", "avi", "mkv", "flv", "wmv",
		"woff", "otf", "wasm":
		return true
	}
	return false
}
