package scan

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestMemoryFileHoldsTheLastObjectOnly fills one file again and again: nothing
// of a longer object before may stay.
func TestMemoryFileHoldsTheLastObjectOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m memoryFile
		defer m.close()
		for range rapid.IntRange(1, 8).Draw(t, "objects") {
			n := rapid.SampledFrom([]int{0, 1, 4095, 4096, 4097, memfdKept, memfdKept + 1, 300_000}).Draw(t, "size")
			want := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
			if err := m.set(inMemory(want)); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open("/proc/self/fd/" + strconv.Itoa(m.fd))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			_ = f.Close()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("the file has %d bytes (%v), the object %d, or they differ", len(got), err, n)
			}
			m.shrink()
			if n > memfdKept && m.open {
				t.Fatalf("a file of %d bytes is kept", n)
			}
		}
	})
}
