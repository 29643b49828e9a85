package content

import (
	"math/rand/v2"
	"testing"
)

// TestChanceIsNoArchive: the short marks of compress(1) and ARJ turn up in random
// bytes, which must not be called a damaged archive.
func TestChanceIsNoArchive(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, 1024)
	bad := 0
	for range 200_000 {
		_, _ = r.Read(b)
		mark := "\x1f\x9d\x90"
		if r.Uint64()%2 == 0 {
			mark = "\x60\xea\x80\x01"
		}
		if copy(b, mark); Sniff(b) != "data" {
			bad++
		}
	}
	if bad > 1000 { // a clear code behind a plain byte is all it takes for compress
		t.Errorf("%d of 200,000 random objects with a mark were taken for archives", bad)
	}
}
