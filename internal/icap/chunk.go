package icap

import (
	"bytes"

	"sluice/internal/tx"
)

// chunkReader takes the chunked coding of ICAP bodies apart (RFC 3507 section
// 4.4.2, RFC 9112 section 7.1). It holds no bytes: it is shown the input and
// says what is data and how much was used.
type chunkReader struct {
	state      chunkState
	remain     int64 // of the current chunk
	extensions int   // bytes of extensions so far
	trailer    int   // bytes of trailer so far
	ieof       bool  // the last chunk carried "ieof"
	maxLine    int
	maxTrailer int
}

type chunkState uint8

const (
	atSize chunkState = iota
	inData
	atDataEnd
	inTrailer
	chunksDone
)

func (d *chunkReader) reset(maxLine, maxTrailer int) {
	*d = chunkReader{maxLine: maxLine, maxTrailer: maxTrailer}
}

func (d *chunkReader) done() bool { return d.state == chunksDone }

// next looks at b and returns the next piece of data in it, if any, and how
// many bytes of b were used up, data included. No data and not done means that
// more input is needed behind b[used:].
func (d *chunkReader) next(b []byte) (data []byte, used int, r *refusal) {
	for {
		rest := b[used:]
		switch d.state {
		case inData:
			if len(rest) == 0 {
				return nil, used, nil
			}
			n := int(min(d.remain, int64(len(rest))))
			if d.remain -= int64(n); d.remain == 0 {
				d.state = atDataEnd
			}
			return rest[:n], used + n, nil
		case atDataEnd:
			if len(rest) > 0 && rest[0] != '\r' || len(rest) > 1 && rest[1] != '\n' {
				return nil, used, refuse(badChunk, "chunk data does not end with CRLF where its size says")
			}
			if len(rest) < 2 {
				return nil, used, nil
			}
			used += 2
			d.state = atSize
		case chunksDone:
			return nil, used, nil
		default: // a line
			n, r := d.line(rest)
			if n == 0 || r != nil {
				return nil, used, r
			}
			used += n
		}
	}
}

// line reads one size or trailer line off b; 0 means that it is not complete.
func (d *chunkReader) line(b []byte) (n int, r *refusal) {
	limit := d.maxLine
	if d.state == inTrailer {
		limit = d.maxTrailer - d.trailer
	}
	i := bytes.IndexByte(b[:min(len(b), limit)], '\n')
	if i < 0 {
		if len(b) >= limit {
			return 0, refuse(badChunk, "chunk line or trailer is longer than allowed")
		}
		return 0, nil
	}
	if i == 0 || b[i-1] != '\r' {
		return 0, refuse(badChunk, "chunk line does not end with CRLF")
	}
	if d.state == inTrailer {
		return i + 1, d.trailerLine(b[:i-1])
	}
	return i + 1, d.sizeLine(b[:i-1])
}

func (d *chunkReader) trailerLine(line []byte) *refusal {
	if len(line) == 0 {
		d.state = chunksDone
		return nil
	}
	d.trailer += len(line) + 2
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !isToken(line[:colon]) || !cleanValue(line[colon+1:]) {
		return refuse(badChunk, "trailer line is no header field")
	}
	return nil
}

// sizeLine reads "size [extensions]". Sizes are hex digits alone, at most 15
// of them, so that no signs, prefixes or overflow can be read two ways.
func (d *chunkReader) sizeLine(line []byte) *refusal {
	var size int64
	i := 0
	for ; i < len(line); i++ {
		v := hexValue(line[i])
		if v < 0 {
			break
		}
		size = size<<4 | int64(v)
		if i == 15 {
			return refuse(badChunk, "chunk size has more than 15 digits")
		}
	}
	if i == 0 {
		return refuse(badChunk, "chunk size is no hexadecimal number")
	}
	if d.extensions += len(line) - i; d.extensions > maxExtensionBytes {
		return refuse(badChunk, "chunk extensions of one body are longer than %d bytes", maxExtensionBytes)
	}
	ieof, ok := parseExtensions(line[i:])
	if !ok {
		return refuse(badChunk, "chunk size line has something else than extensions behind the size")
	}
	if size == 0 {
		d.state, d.ieof = inTrailer, ieof
		return nil
	}
	if ieof {
		return refuse(badChunk, "ieof stands at a chunk that is not the last")
	}
	d.state, d.remain = inData, size
	return nil
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// parseExtensions checks *( BWS ";" BWS name [ BWS "=" BWS value ] ) and tells
// whether "ieof" is among them (RFC 9112 section 7.1.1, RFC 3507 section 4.5).
func parseExtensions(b []byte) (ieof, ok bool) {
	for len(b) > 0 {
		b = skipBWS(b)
		if len(b) == 0 || b[0] != ';' {
			return false, false
		}
		b = skipBWS(b[1:])
		n := tokenLength(b)
		if n == 0 {
			return false, false
		}
		name := b[:n]
		b = b[n:]
		if after := skipBWS(b); len(after) > 0 && after[0] == '=' {
			if b, ok = skipExtensionValue(skipBWS(after[1:])); !ok {
				return false, false
			}
		} else if tx.EqualFold(name, "ieof") {
			ieof = true
		}
	}
	return ieof, true
}

func tokenLength(b []byte) int {
	for i, c := range b {
		if !tokenTable[c] {
			return i
		}
	}
	return len(b)
}

func skipBWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// skipExtensionValue takes a token or a quoted string off b.
func skipExtensionValue(b []byte) (rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		n := tokenLength(b)
		return b[n:], n > 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '"':
			return b[i+1:], true
		case '\\':
			i++
		}
		if i < len(b) && (b[i] < ' ' && b[i] != '\t' || b[i] == 0x7f) {
			return nil, false
		}
	}
	return nil, false
}
