package scan

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func intCache(t testing.TB, entries int, bytes int64) *Cache[int] {
	t.Helper()
	c, err := NewCache(CacheConfig[int]{Entries: entries, Bytes: bytes, SizeOf: func(v int) int64 { return int64(v) }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keyOf(n int) (k Key) {
	binary.LittleEndian.PutUint64(k.Sum[8:], uint64(n))
	k.Version = uint64(n)
	return k
}

// Whatever happens, an answer is the last value put, bounds hold, and nothing
// is dropped while there is room.
func TestCacheAnswersAndBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.IntRange(1, 8).Draw(t, "entries")
		bytes := int64(rapid.IntRange(1, 10*entryOverhead).Draw(t, "bytes"))
		c, err := NewCache(CacheConfig[int]{Entries: entries, Bytes: bytes, SizeOf: func(v int) int64 { return int64(v) }})
		if err != nil {
			t.Fatal(err)
		}
		model, dropped := map[int]int{}, false
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			k := rapid.IntRange(0, 12).Draw(t, "key")
			if rapid.Bool().Draw(t, "get") {
				got, ok := c.Get(keyOf(k))
				want, put := model[k]
				if ok && (!put || got != want) || !ok && put && !dropped {
					t.Fatalf("key %d: %d, %v; put %d, %v", k, got, ok, want, put)
				}
				continue
			}
			v := rapid.IntRange(0, 300).Draw(t, "value")
			c.Put(keyOf(k), v)
			model[k] = v
			n, b := c.Len()
			if n > entries || b > bytes {
				t.Fatalf("%d entries of %d bytes are over the bounds", n, b)
			}
			if _, ok := c.Get(keyOf(k)); ok != (int64(v)+entryOverhead <= bytes) {
				t.Fatalf("value of size %d kept: %v", v, ok)
			}
			dropped = dropped || n < len(model)
		}
	})
}

func TestCacheKeepsWhatIsAskedFor(t *testing.T) {
	c := intCache(t, 100, 1<<20)
	c.Put(keyOf(0), 42)
	for i := range 10_000 {
		if _, ok := c.Get(keyOf(0)); !ok {
			t.Fatalf("gone after %d others", i)
		}
		c.Put(keyOf(i+1), 1)
	}
}

func TestCacheStaysWithinBoundsWithManyShards(t *testing.T) {
	c := intCache(t, 10_000, 1<<20)
	for i := range 100_000 {
		c.Put(keyOf(i), i%100)
	}
	n, b := c.Len()
	if n > 10_000 || b > 1<<20 || n < 3000 {
		t.Errorf("%d entries, %d bytes", n, b)
	}
}

func TestCacheForgetsWithAge(t *testing.T) {
	c, err := NewCache(CacheConfig[int]{Entries: 10, Bytes: 10_000, MaxAge: 30 * time.Millisecond, SizeOf: func(int) int64 { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c.Put(keyOf(1), 1)
	if _, ok := c.Get(keyOf(1)); !ok && time.Since(start) < 30*time.Millisecond {
		t.Error("forgotten at once")
	}
	within(t, 5*time.Second, "forgotten", func() bool { _, ok := c.Get(keyOf(1)); return !ok })
	if n, _ := c.Len(); n != 0 {
		t.Errorf("%d entries", n)
	}
}

func TestCacheDoRunsOnceAndSharesEvenWhatItDoesNotKeep(t *testing.T) {
	for _, keep := range []bool{true, false} {
		c := intCache(t, 10, 10_000)
		var runs atomic.Int64
		started, release := make(chan struct{}), make(chan struct{})
		work := func(context.Context) (int, bool) {
			if runs.Add(1) == 1 {
				close(started)
			}
			<-release
			return 7, keep
		}
		var wg sync.WaitGroup
		do := func() {
			if v, err := c.Do(context.Background(), keyOf(1), work); v != 7 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
		}
		wg.Go(do)
		<-started
		waiting := make(chan struct{}, 10)
		for range 10 {
			wg.Go(func() { waiting <- struct{}{}; do() })
		}
		for range 10 {
			<-waiting
		}
		close(release)
		wg.Wait()
		if _, ok := c.Get(keyOf(1)); ok != keep {
			t.Errorf("kept: %v, want %v", ok, keep)
		}
		if keep && runs.Load() != 1 {
			t.Errorf("%d runs", runs.Load())
		}
	}
}

// The first one's client went away: that is no verdict for the second one.
func TestCacheDoPassesTheWorkOn(t *testing.T) {
	c := intCache(t, 10, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	first := make(chan int)
	go func() {
		v, _ := c.Do(ctx, keyOf(1), func(ctx context.Context) (int, bool) {
			close(started)
			<-ctx.Done()
			return -1, false
		})
		first <- v
	}()
	<-started
	second := make(chan int)
	go func() {
		v, _ := c.Do(context.Background(), keyOf(1), func(context.Context) (int, bool) { return 5, true })
		second <- v
	}()
	cancel()
	if v := <-first; v != -1 {
		t.Errorf("first: %d", v)
	}
	if v := <-second; v != 5 {
		t.Errorf("second: %d", v)
	}
}

func TestCacheDoLetsWaitersGo(t *testing.T) {
	c := intCache(t, 10, 10_000)
	started, release := make(chan struct{}), make(chan struct{})
	done := make(chan any)
	go func() {
		defer func() { done <- recover() }()
		_, _ = c.Do(context.Background(), keyOf(1), func(context.Context) (int, bool) {
			close(started)
			<-release
			panic("broken")
		})
	}()
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, keyOf(1), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a waiter without time: %v", err)
	}
	close(release)
	if p := <-done; p == nil {
		t.Error("the panic was lost")
	}
	if v, err := c.Do(t.Context(), keyOf(1), func(context.Context) (int, bool) { return 3, true }); v != 3 || err != nil {
		t.Errorf("after a panic: %d, %v", v, err)
	}
}

func TestCacheBoundsAreChecked(t *testing.T) {
	size := func(int) int64 { return 0 }
	for _, cfg := range []CacheConfig[int]{{}, {Entries: 1, SizeOf: size}, {Bytes: 1, SizeOf: size}, {Entries: 1, Bytes: 1}, {Entries: 1, Bytes: 1, MaxAge: -1, SizeOf: size}} {
		if _, err := NewCache(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

func BenchmarkCacheGet(b *testing.B) {
	c := intCache(b, 100_000, 100<<20)
	for i := range 100_000 {
		c.Put(keyOf(i), 1)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i = (i + 7919) % 50_000
		c.Get(keyOf(i))
	}
}
