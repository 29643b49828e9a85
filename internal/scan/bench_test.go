package scan

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkClamd scans random objects, every one different, in memory, with
// 20,000 signatures.
func BenchmarkClamd(b *testing.B) {
	dir := b.TempDir()
	var ndb, hdb strings.Builder
	for i := range 10_000 {
		r := make([]byte, 36)
		_, _ = rand.Read(r)
		fmt.Fprintf(&ndb, "N%d:0:*:%x\n", i, r[:20])
		fmt.Fprintf(&hdb, "%x:%d:H%d\n", r[20:], 100+i, i)
	}
	write(b, filepath.Join(dir, "n.ndb"), ndb.String())
	write(b, filepath.Join(dir, "h.hdb"), hdb.String())
	c := startChild(b, ClamdChildConfig{Signatures: dir})
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range c.cfg.Sessions {
				wg.Go(func() {
					body := make([]byte, size)
					for range work {
						_, _ = rand.Read(body)
						ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
						if r := c.Scan(ctx, inMemory(body)); r.Status != Clean {
							b.Errorf("%+v", r)
						}
						cancel()
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}

func BenchmarkChainHit(b *testing.B) {
	c := NewChain([]Engine{says("a", Clean), says("b", Clean)}, resultCache(b))
	o := inMemory([]byte("x"))
	c.Scan(b.Context(), o)
	b.ReportAllocs()
	for b.Loop() {
		if !c.Scan(b.Context(), o)[0].Cached {
			b.Fatal("not cached")
		}
	}
}
