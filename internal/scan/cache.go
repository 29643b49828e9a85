package scan

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// Key names one object as seen by one state of the engines. Version is a digest
// of whatever else the value depends on: engines, databases, options.
type Key struct {
	Sum     [32]byte // SHA-256 of the object
	Version uint64
}

// CacheConfig bounds a Cache.
type CacheConfig[V any] struct {
	Entries int   // most entries, at least 1
	Bytes   int64 // most bytes: the values' sizes and entryOverhead for each
	// MaxAge is how long an entry is used; 0 for as long as it stays. It
	// bounds what an engine costs whose database changes unseen.
	MaxAge time.Duration
	SizeOf func(V) int64 // memory of a value, in bytes
}

const (
	entryOverhead = 160 // slot, map share and slack of one entry, in bytes
	maxShards     = 64
)

// Cache keeps values by Key and runs the work for one key once at a time. What
// was not asked for since the clock's hand last came by goes first. It is safe
// for concurrent use; Get does not allocate.
type Cache[V any] struct {
	cfg    CacheConfig[V]
	seed   maphash.Seed
	start  time.Time
	shards []shard[V] // a power of two]shard[V]
}

type shard[V any] struct {
	mu      sync.Mutex
	index   map[uint64]int32 // by the key's hash
	slots   []slot[V]
	hand    int
	free    []int32
	bytes   int64
	flights map[Key]*flight[V]
	_       [32]byte // keeps neighbours' locks off one cache line
}

// slot is free while its size is 0.
type slot[V any] struct {
	key   Key
	value V
	size  int64
	added time.Duration
	asked bool // since the hand came by
}

// flight is work that runs; done is closed at its end.
type flight[V any] struct {
	done   chan struct{}
	value  V
	failed bool // the worker's context ended or it panicked: no value
}

// NewCache makes an empty cache. Memory is taken as entries come.
func NewCache[V any](cfg CacheConfig[V]) (*Cache[V], error) {
	if cfg.Entries < 1 || cfg.Bytes < 1 || cfg.MaxAge < 0 || cfg.SizeOf == nil {
		return nil, fmt.Errorf("scan: cache bounds out of range: %d entries, %d bytes, age %s", cfg.Entries, cfg.Bytes, cfg.MaxAge)
	}
	n := 1
	for n < maxShards && cfg.Entries/(2*n) >= 64 {
		n *= 2
	}
	c := &Cache[V]{cfg: cfg, seed: maphash.MakeSeed(), start: time.Now(), shards: make([]shard[V], n)}
	for i := range c.shards {
		c.shards[i].index = map[uint64]int32{}
		c.shards[i].flights = map[Key]*flight[V]{}
	}
	return c, nil
}

// place hashes with a seed, so that nobody can aim at one shard or index entry.
func (c *Cache[V]) place(k *Key) (*shard[V], uint64) {
	h := fold(maphash.Bytes(c.seed, k.Sum[:])^k.Version, 0x9e3779b97f4a7c15)
	return &c.shards[h&uint64(len(c.shards)-1)], h
}

// Get returns the value of k.
func (c *Cache[V]) Get(k Key) (V, bool) {
	s, h := c.place(&k)
	s.mu.Lock()
	v, ok := c.get(s, h, &k)
	s.mu.Unlock()
	return v, ok
}

func (c *Cache[V]) get(s *shard[V], h uint64, k *Key) (v V, ok bool) {
	i, ok := s.index[h]
	if !ok {
		return v, false
	}
	e := &s.slots[i]
	if e.key != *k {
		return v, false // two keys with one hash: the later one lives
	}
	if c.cfg.MaxAge > 0 && time.Since(c.start)-e.added > c.cfg.MaxAge {
		s.remove(h, i)
		return v, false
	}
	e.asked = true
	return e.value, true
}

// Put keeps v for k, and drops others for it. A value that alone is over the
// bounds is not kept.
func (c *Cache[V]) Put(k Key, v V) {
	s, h := c.place(&k)
	s.mu.Lock()
	c.put(s, h, &k, v)
	s.mu.Unlock()
}

func (c *Cache[V]) put(s *shard[V], h uint64, k *Key, v V) {
	if i, ok := s.index[h]; ok {
		s.remove(h, i)
	}
	size := c.cfg.SizeOf(v) + entryOverhead
	maxBytes := c.cfg.Bytes / int64(len(c.shards))
	if size > maxBytes {
		return
	}
	maxEntries := max(1, c.cfg.Entries/len(c.shards))
	for len(s.index) >= maxEntries || s.bytes+size > maxBytes {
		c.evict(s)
	}
	var i int32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		i = int32(len(s.slots)) //nolint:gosec // at most Entries slots
		s.slots = append(s.slots, slot[V]{})
	}
	s.slots[i] = slot[V]{key: *k, value: v, size: size, added: time.Since(c.start)}
	s.index[h] = i
	s.bytes += size
}

// evict drops the next entry that was not asked for since the last round. The
// shard must not be empty.
func (c *Cache[V]) evict(s *shard[V]) {
	for {
		s.hand++
		if s.hand >= len(s.slots) {
			s.hand = 0
		}
		e := &s.slots[s.hand]
		if e.size == 0 {
			continue
		}
		if !e.asked {
			_, h := c.place(&e.key)
			s.remove(h, int32(s.hand)) //nolint:gosec // at most Entries slots
			return
		}
		e.asked = false
	}
}

// Do returns the value of k; when there is none, it runs fn, or waits for an fn
// that runs for the same key. fn returns a value and whether to keep it; a
// value that is not kept still goes to those who wait now, unless fn's context
// was done, which says nothing about the next one's: then one of them runs its
// own. err is the context's error of a caller whose wait was over too early.
func (c *Cache[V]) Do(ctx context.Context, k Key, fn func(context.Context) (V, bool)) (v V, err error) {
	s, h := c.place(&k)
	for {
		s.mu.Lock()
		if v, ok := c.get(s, h, &k); ok {
			s.mu.Unlock()
			return v, nil
		}
		f, running := s.flights[k]
		if !running {
			f = &flight[V]{done: make(chan struct{}), failed: true}
			s.flights[k] = f
			s.mu.Unlock()
			return c.run(ctx, k, f, fn), nil
		}
		s.mu.Unlock()
		select {
		case <-f.done:
			if !f.failed {
				return f.value, nil
			}
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// run does the work of a flight. Waiters are let go even when fn panics.
func (c *Cache[V]) run(ctx context.Context, k Key, f *flight[V], fn func(context.Context) (V, bool)) V {
	keep := false
	s, h := c.place(&k)
	defer func() {
		s.mu.Lock()
		delete(s.flights, k)
		if keep {
			c.put(s, h, &k, f.value)
		}
		s.mu.Unlock()
		close(f.done)
	}()
	v, ok := fn(ctx)
	f.value, keep = v, ok
	f.failed = !ok && ctx.Err() != nil
	return v
}

// Len is how many entries the cache holds and the bytes they count for.
func (c *Cache[V]) Len() (entries int, bytes int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries += len(s.index)
		bytes += s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}

func (s *shard[V]) remove(h uint64, i int32) {
	delete(s.index, h)
	s.bytes -= s.slots[i].size
	s.slots[i] = slot[V]{}
	s.free = append(s.free, i)
}
