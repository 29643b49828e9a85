package traffic

import (
	"crypto/sha256"
	"io"
	"os"
)

// held is a body that lies whole in the entrance's buffer, as tx.Content.
type held struct {
	b   []byte
	sum [32]byte
}

func hold(b []byte) held { return held{b, sha256.Sum256(b)} }

// ReadAt reads from the buffer (io.ReaderAt).
func (h *held) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(h.b)) {
		return 0, io.EOF
	}
	n := copy(p, h.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Size in bytes.
func (h *held) Size() int64 { return int64(len(h.b)) }

// SHA256 of the bytes.
func (h *held) SHA256() [32]byte { return h.sum }

// Bytes is the buffer itself.
func (h *held) Bytes() ([]byte, bool) { return h.b, true }

// File says that there is none.
func (h *held) File() (*os.File, bool) { return nil, false }
