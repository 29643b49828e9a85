package scan

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// stub is an engine that says what it was told to say.
type stub struct {
	name    string
	version atomic.Pointer[string]
	scans   atomic.Int64
	say     func(ctx context.Context) Result
}

func says(name string, s Status) *stub {
	e := &stub{name: name, say: func(context.Context) Result { return Result{Engine: name, Status: s} }}
	e.setVersion("1")
	return e
}

func (e *stub) setVersion(v string) { e.version.Store(&v) }
func (e *stub) Name() string        { return e.name }
func (e *stub) Version() string     { return *e.version.Load() }
func (e *stub) Health() Health      { return Health{State: OK} }
func (e *stub) Scan(ctx context.Context, _ *Object) Result {
	e.scans.Add(1)
	return e.say(ctx)
}

var allStatuses = []Status{NotScanned, Clean, Infected, Encrypted, Macro, Error, TimedOut, OverLimit}

func statuses(rs []Result) (ss []Status) {
	for _, r := range rs {
		ss = append(ss, r.Status)
	}
	return ss
}

func TestChainAsksInOrderUntilInfected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		told := rapid.SliceOfN(rapid.SampledFrom(allStatuses), 0, 5).Draw(t, "told")
		var engines []Engine
		for i, s := range told {
			engines = append(engines, says(string(rune('a'+i)), s))
		}
		want := told
		if i := slices.Index(told, Infected); i >= 0 {
			want = told[:i+1]
		}
		rs := NewChain(engines, nil).Scan(t.Context(), inMemory(nil))
		if !slices.Equal(statuses(rs), want) {
			t.Fatalf("told %v, results %v", told, statuses(rs))
		}
		worst := Worst(rs).Status
		switch {
		case (worst == Clean) != (len(rs) > 0 && !slices.ContainsFunc(rs, func(r Result) bool { return r.Status != Clean })):
			t.Fatalf("%v is called %v", statuses(rs), worst)
		case slices.Contains(told, Infected) && worst != Infected:
			t.Fatalf("%v is called %v", statuses(rs), worst)
		case len(rs) > 0 && !slices.Contains(statuses(rs), worst):
			t.Fatalf("%v is called %v", statuses(rs), worst)
		}
	})
}

func TestWorst(t *testing.T) {
	order := [][]Status{{Infected}, {Encrypted}, {Macro}, {Error, TimedOut, OverLimit}, {NotScanned}, {Clean}}
	for i, worse := range order {
		for _, better := range order[i+1:] {
			for _, w := range worse {
				for _, b := range better {
					if got := Worst([]Result{{Status: b}, {Status: w}}).Status; got != w {
						t.Errorf("of %v and %v: %v", b, w, got)
					}
				}
			}
		}
	}
	if got := Worst(nil).Status; got != NotScanned {
		t.Errorf("of nothing: %v", got)
	}
}

func TestChainCachesDefiniteOutcomesOnly(t *testing.T) {
	for _, s := range allStatuses {
		e := says("a", s)
		c := NewChain([]Engine{says("first", Clean), e}, resultCache(t))
		first := c.Scan(t.Context(), inMemory([]byte("x")))
		second := c.Scan(t.Context(), inMemory([]byte("x")))
		cached := s.Definite()
		if n := e.scans.Load(); (n == 1) != cached {
			t.Errorf("%v: scanned %d times", s, n)
		}
		if second[1].Cached != cached || first[1].Cached {
			t.Errorf("%v: cached %v, then %v", s, first[1].Cached, second[1].Cached)
		}
		if diff := cmp.Diff(statuses(first), statuses(second)); diff != "" {
			t.Errorf("%v: %s", s, diff)
		}
	}
}

func TestChainOfHashListsKeepsNothing(t *testing.T) {
	list := listOf(t, strings.Repeat("ab", 32)+"\n")
	for _, c := range []struct {
		engines []Engine
		instant bool
	}{{[]Engine{list, list}, true}, {[]Engine{list, says("other", Clean)}, false}, {nil, true}} {
		cache := resultCache(t)
		chain := NewChain(c.engines, cache)
		chain.Scan(t.Context(), inMemory([]byte("x")))
		if n, _ := cache.Len(); chain.Instant() != c.instant || c.instant && n > 0 {
			t.Errorf("%d engines: instant is %v, %d results are kept", len(c.engines), chain.Instant(), n)
		}
	}
}

func TestChainScansAgainAfterNewVersion(t *testing.T) {
	a, b := says("a", Clean), says("b", Clean)
	c := NewChain([]Engine{a, b}, resultCache(t))
	seen := map[string]bool{}
	for i, v := range []string{"1", "2", "3"} {
		b.setVersion(v)
		c.Scan(t.Context(), inMemory([]byte("x")))
		c.Scan(t.Context(), inMemory([]byte("x")))
		if n := a.scans.Load(); n != int64(i+1) {
			t.Errorf("version %s: %d scans", v, n)
		}
		seen[c.Version()] = true
	}
	if len(seen) != 3 {
		t.Errorf("3 versions of an engine gave %d of the chain", len(seen))
	}
}

func TestChainDoesNotKeepWhatAReloadOvertook(t *testing.T) {
	e := says("a", Clean)
	e.say = func(context.Context) Result {
		e.setVersion("2")
		return Result{Status: Clean}
	}
	c := NewChain([]Engine{e}, resultCache(t))
	c.Scan(t.Context(), inMemory([]byte("x")))
	e.setVersion("1")
	c.Scan(t.Context(), inMemory([]byte("x")))
	if n := e.scans.Load(); n != 2 {
		t.Errorf("%d scans, want 2", n)
	}
}

func TestChainScansOneObjectOnceAtATime(t *testing.T) {
	e := says("a", Clean)
	started, release := make(chan struct{}), make(chan struct{})
	e.say = func(context.Context) Result {
		close(started)
		<-release
		return Result{Engine: "a", Status: Infected, Threat: "T"}
	}
	c := NewChain([]Engine{e}, resultCache(t))
	var wg sync.WaitGroup
	scan := func() {
		if r := Worst(c.Scan(context.Background(), inMemory([]byte("x")))); r.Threat != "T" {
			t.Errorf("%+v", r)
		}
	}
	wg.Go(scan)
	<-started
	for range 20 {
		wg.Go(scan)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if r := Worst(c.Scan(ctx, inMemory([]byte("x")))); r.Status != TimedOut || r.Engine != "a" {
		t.Errorf("a waiter without time: %+v", r)
	}
	close(release)
	wg.Wait()
	if n := e.scans.Load(); n != 1 {
		t.Errorf("%d scans, want 1", n)
	}
}

func TestChainVersionAndHitDoNotAllocate(t *testing.T) {
	c := NewChain([]Engine{says("a", Clean), says("b", Clean)}, resultCache(t))
	key := Key{Version: c.Key()}
	c.cache.Put(key, []Result{{Status: Clean}})
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := c.cache.Get(Key{Version: c.Key()}); !ok || c.Version() == "" {
			t.Fatal("not found")
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}
