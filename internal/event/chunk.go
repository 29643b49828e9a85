package event

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/klauspost/compress/s2"

	"sluice/internal/tx"
)

// chunk is a packed batch on its way to the engine. It belongs to one goroutine
// at a time: first the writer, then the shipper. After it was handed on, seq,
// lines, from, to and size do not change any more.
type chunk struct {
	seq      uint64 // of the batch; 0 for a whole segment of a former run
	lines    int
	from, to int64  // earliest and latest event, Unix nanoseconds
	size     int64  // of the frame in bytes
	frame    []byte // nil when it is only on disk

	seg *segment // nil when not on disk
	off int64    // of the frame in seg

	// suspect tells that some of its lines may have reached the engine, so it
	// must be asked before they are sent.
	suspect    bool
	generation uint64    // of the engine that took it
	taken      time.Time // when the engine took it
	takenRows  int64     // lines that the engine was given in all by then
}

// A frame is a header and the lines of one batch as a Snappy block, which the
// engine takes as it is:
//
//	0xff "sluice1 LLLLLLLL CCCCCCCC\n"    length and CRC-32C of the block, hexadecimal
//
// 0xff occurs in no JSON text, so that a frame is found again after damage.
const (
	frameMark = "\xffsluice1 "
	frameLen  = len(frameMark) + 8 + 1 + 8 + 1
)

// maxLine bounds a line that is read back, in bytes. What appendLine makes is
// shorter: the sum of its bounds with every byte escaped.
const maxLine = 256 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errBroken = errors.New("the frame is broken")

// packer turns lines into frames. It is for one goroutine.
type packer struct{ room []byte }

func (p *packer) pack(lines []byte) []byte {
	if n := s2.MaxEncodedLen(len(lines)); len(p.room) < n {
		p.room = make([]byte, n)
	}
	block := s2.EncodeSnappy(p.room, lines)
	b := make([]byte, 0, frameLen+len(block))
	b = append(b, frameMark...)
	b = appendHex32(b, uint32(len(block)))
	b = append(b, ' ')
	b = appendHex32(b, crc32.Checksum(block, castagnoli))
	b = append(b, '\n')
	return append(b, block...)
}

func appendHex32(b []byte, v uint32) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[v>>shift&15])
	}
	return b
}

// cutFrame returns the block of the whole and undamaged frame that b begins with.
func cutFrame(b []byte) (block, rest []byte, err error) {
	if len(b) < frameLen || string(b[:len(frameMark)]) != frameMark ||
		b[len(frameMark)+8] != ' ' || b[frameLen-1] != '\n' {
		return nil, nil, errBroken
	}
	length, err1 := strconv.ParseUint(string(b[len(frameMark):len(frameMark)+8]), 16, 32)
	sum, err2 := strconv.ParseUint(string(b[len(frameMark)+9:frameLen-1]), 16, 32)
	if err1 != nil || err2 != nil || length > uint64(len(b)-frameLen) {
		return nil, nil, errBroken
	}
	block = b[frameLen : frameLen+int(length)]
	if crc32.Checksum(block, castagnoli) != uint32(sum) {
		return nil, nil, errBroken
	}
	return block, b[frameLen+int(length):], nil
}

// unpack returns the lines of a block, in room where that is large enough.
func unpack(block, room []byte) ([]byte, error) {
	n, err := s2.DecodedLen(block)
	if err != nil || n > chunkSize {
		return nil, fmt.Errorf("%w: block of %d bytes unpacked", errBroken, n)
	}
	lines, err := s2.Decode(room[:cap(room)], block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return lines, nil
}

// rescue calls frame for the block of every whole frame in the content of a
// segment, in order, and returns how many bytes belong to none.
func rescue(b []byte, frame func(block []byte) error) (lost int64, err error) {
	for len(b) > 0 {
		block, rest, err := cutFrame(b)
		if err == nil {
			if err := frame(block); err != nil {
				return lost, err
			}
			b = rest
			continue
		}
		next := len(b)
		if i := bytes.Index(b[1:], []byte(frameMark)); i >= 0 {
			next = 1 + i
		}
		lost += int64(next)
		b = b[next:]
	}
	return lost, nil
}

// eachLine calls fn for every line of b that is an event.
func eachLine(b []byte, fn func(l []byte, at int64, id tx.ID)) {
	for l := range bytes.Lines(b) {
		if at, id, ok := parseHead(l); ok && l[len(l)-1] == '\n' {
			fn(l, at, id)
		}
	}
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
