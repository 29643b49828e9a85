package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"time"

	"sluice/internal/tx"
)

// A segment file is a sequence of frames. A frame is a header line and the JSON
// lines of one chunk:
//
//	#sluice LLLLLLLL CCCCCCCC\n    length and CRC-32C of the lines, hexadecimal
//	{"time":...,"id":"...",...}\n
//
// A JSON line never begins with "#" and holds no raw line feed, so that whole
// lines can be told from rubbish even where a frame is broken.
const (
	frameMark = "#sluice "
	frameLen  = len(frameMark) + 8 + 1 + 8 + 1
)

// maxLine bounds a line that is read back, in bytes. What appendLine makes is
// shorter: the sum of its bounds with every byte escaped.
const maxLine = 256 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is one file of the queue.
type segment struct {
	path string
	file *os.File
	born time.Time
	size int64
	live int  // chunks in it that are still needed
	done bool // nothing more is added
}

// sealFrame writes the header line into the room that b begins with.
func sealFrame(b []byte) {
	lines := b[frameLen:]
	h := append(b[:0], frameMark...)
	h = appendHex32(h, uint32(len(lines)))
	h = append(h, ' ')
	h = appendHex32(h, crc32.Checksum(lines, castagnoli))
	_ = append(h, '\n')
}

func appendHex32(b []byte, v uint32) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[v>>shift&15])
	}
	return b
}

// parseFrameHeader reads a header line; ok is false when b does not begin with one.
func parseFrameHeader(b []byte) (length int, sum uint32, ok bool) {
	if len(b) < frameLen || string(b[:len(frameMark)]) != frameMark ||
		b[len(frameMark)+8] != ' ' || b[frameLen-1] != '\n' {
		return 0, 0, false
	}
	l, err1 := strconv.ParseUint(string(b[len(frameMark):len(frameMark)+8]), 16, 32)
	s, err2 := strconv.ParseUint(string(b[len(frameMark)+9:frameLen-1]), 16, 32)
	if err1 != nil || err2 != nil || l > 2*chunkSize {
		return 0, 0, false
	}
	return int(l), uint32(s), true
}

// readFrame reads the frame at off, header included, into buf where that is
// large enough.
func readFrame(r io.ReaderAt, off, size int64, buf []byte) ([]byte, error) {
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if _, err := r.ReadAt(buf, off); err != nil {
		return nil, fmt.Errorf("read frame at %d: %w", off, err)
	}
	length, sum, ok := parseFrameHeader(buf)
	if !ok || length != len(buf)-frameLen || crc32.Checksum(buf[frameLen:], castagnoli) != sum {
		return nil, fmt.Errorf("read frame at %d: %w", off, errBroken)
	}
	return buf, nil
}

var errBroken = errors.New("the frame is broken")

// rescue calls line for every whole event in the content of a segment, in
// order. Frames with a right checksum are trusted; elsewhere every line is
// checked by itself. It returns how many bytes belong to neither.
func rescue(b []byte, line func(l []byte, at int64, id tx.ID)) (lost int) {
	for len(b) > 0 {
		length, sum, ok := parseFrameHeader(b)
		if ok && length <= len(b)-frameLen && crc32.Checksum(b[frameLen:frameLen+length], castagnoli) == sum {
			lost += eachLine(b[frameLen:frameLen+length], false, line)
			b = b[frameLen+length:]
			continue
		}
		// Not a whole frame: go on with the lines up to the next header.
		skip := 0
		if ok {
			skip = frameLen
		}
		end := len(b)
		if i := bytes.Index(b[max(skip, 1):], []byte(frameMark)); i >= 0 {
			end = max(skip, 1) + i
		}
		lost += eachLine(b[skip:end], true, line)
		b = b[end:]
	}
	return lost
}

// eachLine calls fn for every line of b that is an event and returns the bytes
// of the others.
func eachLine(b []byte, check bool, fn func(l []byte, at int64, id tx.ID)) (lost int) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			return lost + len(b)
		}
		l := b[:end]
		b = b[end:]
		at, id, ok := parseHead(l)
		if !ok || end > maxLine || check && !json.Valid(l) {
			lost += end
			continue
		}
		fn(l, at, id)
	}
	return lost
}

// parseHead reads the time (Unix nanoseconds) and the id that appendHead wrote.
func parseHead(l []byte) (at int64, id tx.ID, ok bool) {
	const timeKey, idKey = `{"time":`, `,"id":"`
	rest, found := bytes.CutPrefix(l, []byte(timeKey))
	if !found {
		return 0, id, false
	}
	digits, rest, found := bytes.Cut(rest, []byte(idKey))
	if !found || len(digits) > 19 || len(rest) <= tx.IDLen || rest[tx.IDLen] != '"' {
		return 0, id, false
	}
	at, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || at < 0 || digits[0] == '+' {
		return 0, id, false
	}
	id, err = tx.ParseID(string(rest[:tx.IDLen]))
	return at, id, err == nil
}
