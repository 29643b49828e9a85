package tx_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/tx"
)

func TestIDReadsBackAndKeepsItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "ms"))
		id := tx.NewID(now)
		if got, err := tx.ParseID(id.String()); err != nil || got != id {
			t.Fatalf("%v: %v, %v", id, got, err)
		}
		if !id.Time().Equal(now) || len(id.String()) != tx.IDLen || string(id.Append(nil)) != id.String() {
			t.Fatalf("%v of %v has the time %v", id, now, id.Time())
		}
	})
}

func TestIDsSortByTimeAndDiffer(t *testing.T) {
	a, b := tx.NewID(time.UnixMilli(1000)), tx.NewID(time.UnixMilli(1001))
	if a.String() >= b.String() {
		t.Errorf("%v does not sort before %v", a, b)
	}
	seen := map[tx.ID]bool{}
	for range 10_000 {
		id := tx.NewID(time.UnixMilli(1000))
		if seen[id] {
			t.Fatalf("%v came twice", id)
		}
		seen[id] = true
	}
}

func TestParseIDRefuses(t *testing.T) {
	for _, s := range []string{"", "0", strings.Repeat("0", 19), strings.Repeat("0", 21), strings.Repeat("u", 20), strings.Repeat("A", 20), strings.Repeat(" ", 20)} {
		if id, err := tx.ParseID(s); err == nil {
			t.Errorf("%q was read as %v", s, id)
		}
	}
}

func TestHeaderLooksUpNamesInAnyCase(t *testing.T) {
	h := tx.Header{
		{Name: []byte("Host"), Value: []byte("a")},
		{Name: []byte("accept"), Value: []byte("1")},
		{Name: []byte("ACCEPT"), Value: []byte("2")},
		{Name: []byte("X-@"), Value: []byte("3")},
	}
	if string(h.Get("Accept")) != "1" || h.Get("missing") != nil || !h.Has("HOST") || h.Has("hos") || h.Has("x-`") {
		t.Errorf("lookups in %v", h)
	}
	var all []string
	for v := range h.Values("Accept") {
		all = append(all, string(v))
	}
	if !slices.Equal(all, []string{"1", "2"}) {
		t.Errorf("values: %v", all)
	}
	for range h.Values("accept") {
		break
	}
}

func TestEqualFoldIsASCIIOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.StringMatching(`[ -~]{0,12}`).Draw(t, "a")
		b := rapid.OneOf(rapid.Just(strings.ToUpper(a)), rapid.Just(strings.ToLower(a)), rapid.StringMatching(`[ -~]{0,12}`)).Draw(t, "b")
		if got, want := tx.EqualFold([]byte(a), b), strings.EqualFold(a, b); got != want {
			t.Fatalf("%q, %q: %v", a, b, got)
		}
	})
	if tx.EqualFold([]byte("\u212a"), "k") || tx.EqualFold([]byte("k"), "\u212a") {
		t.Error("the Kelvin sign is not a k in a field name")
	}
}

func TestNames(t *testing.T) {
	for a := tx.Nothing; a <= tx.Drop; a++ {
		if a.String() == "" {
			t.Errorf("action %d has no name", a)
		}
	}
	seen := map[string]bool{}
	for r := tx.NoReason; r <= tx.Cured; r++ {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("reason %d: %q", r, r)
		}
		seen[r.String()] = true
	}
	d := &tx.Transaction{Direction: tx.DirResponse, Request: tx.Request{Header: tx.Header{{}}}}
	if d.Direction.String() != "response" || tx.DirRequest.String() != "request" || len(d.Header()) != 0 {
		t.Error("direction")
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(tx.NewID(time.Now()).String())
	f.Add(strings.Repeat("z", 20))
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := tx.ParseID(s); err == nil && id.String() != s {
			t.Errorf("%q reads as %v", s, id)
		}
	})
}
