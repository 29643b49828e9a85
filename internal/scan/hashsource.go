package scan

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

const (
	maxHashLine = 4096 // bytes of one line of a hash list
	maxHashName = 200  // bytes of one threat name
	md5Hex      = 32
	sha256Hex   = 64
)

// hashLine is one entry of a list. Its slices are valid until the next line.
type hashLine struct {
	digest []byte // 16 or 32 bytes
	name   []byte // empty when the line has none
}

var (
	errHashLength = errors.New("want an MD5 (32 hexadecimal digits) or a SHA-256 (64), then nothing, or a comma or space and a name")
	errHashHex    = errors.New("the hash has a character that is not a hexadecimal digit")
	errHashName   = fmt.Errorf("the name must be printable UTF-8 of at most %d bytes", maxHashName)
	errHashLong   = fmt.Errorf("line is longer than %d bytes", maxHashLine)
)

// parseHashLine reads one line without its end. ok is false for a blank line
// and a comment. The digest is written to buf.
func parseHashLine(line []byte, buf *[32]byte) (l hashLine, ok bool, err error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' {
		return l, false, nil
	}
	end := bytes.IndexAny(line, ", \t")
	if end < 0 {
		end = len(line)
	}
	if end != md5Hex && end != sha256Hex {
		return l, false, errHashLength
	}
	if _, err := hex.Decode(buf[:], line[:end]); err != nil {
		return l, false, errHashHex
	}
	l.digest = buf[:end/2]
	if end < len(line) {
		l.name = bytes.TrimSpace(line[end+1:])
	}
	if len(l.name) > maxHashName || !printable(l.name) {
		return l, false, errHashName
	}
	return l, true, nil
}

func printable(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			return false
		}
		b = b[n:]
	}
	return true
}

// readHashes gives every entry of a list to each. Any line that is neither an
// entry nor a comment fails the whole list, with its number.
func readHashes(ctx context.Context, r io.Reader, each func(hashLine) error) error {
	in := bufio.NewReaderSize(r, 1<<16)
	var buf [32]byte
	for number, end := 1, false; !end; number++ {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			end = true
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("line %d: %w", number, errHashLong)
		case err != nil:
			return fmt.Errorf("line %d: %w", number, err)
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if err := readHashLine(line, &buf, each); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if number%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func readHashLine(line []byte, buf *[32]byte, each func(hashLine) error) error {
	if len(line) > maxHashLine {
		return errHashLong
	}
	l, ok, err := parseHashLine(line, buf)
	if err != nil || !ok {
		return err
	}
	return each(l)
}
