package traffic_test

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"time"

	"sluice/internal/scan"
	"sluice/internal/tx"
)

// wholeBody is a body that lies in the entrance's buffer.
type wholeBody []byte

func (b wholeBody) Prefix() ([]byte, bool) { return b, true }

func (b wholeBody) All(context.Context, int64) (tx.Content, error) { panic("it is all there") }

const someRules = `
rules:
  bypass: [{name: trust, action: allow, match: {all: [{url: trusted.test}]}}]
  access:
    - {name: a, match: {all: [{url: blocked.test}]}}
    - {name: b, from: {any: [{group: Guests}]}, match: {all: [{url: games.test}]}}
    - {name: c, action: allow, from: {any: [{user: alice}]}, match: {all: [{method: GET}]}}
`

func exchangeOf(response bool) *tx.Transaction {
	t := &tx.Transaction{Entrance: "icap", Start: time.Now(), ID: tx.NewID(time.Now())}
	t.Client = tx.Client{Addr: netip.MustParseAddr("10.1.2.3"), User: []byte("alice")}
	t.Request = tx.Request{Method: []byte("GET"), URL: []byte("http://www.example.test/some/path/file.bin?x=1"), Header: tx.Header{
		{Name: []byte("Host"), Value: []byte("www.example.test")}, {Name: []byte("User-Agent"), Value: []byte("Mozilla/5.0 (X11; Linux x86_64)")},
	}}
	if response {
		t.Direction, t.HasBody, t.Length = tx.DirResponse, true, 1024
		t.Response = tx.Response{Status: 200, Header: tx.Header{{Name: []byte("Content-Type"), Value: []byte("application/octet-stream")}}}
	}
	return t
}

func judgeOnce(w tx.Engine, t *tx.Transaction, b tx.Body) tx.Action {
	ctx := context.Background()
	j := w.Begin(ctx, t)
	v := j.Head(ctx)
	if v.Action == tx.Inspect {
		v = j.Body(ctx, b)
	}
	j.End(tx.Delivery{})
	return v.Action
}

// quick is a pipeline with a hash list, alone or behind an engine that takes its
// time: what that one said is remembered.
func quick(tb testing.TB, reports int, alone bool) *world {
	w := build(tb, options{rules: someRules, reports: reports})
	e, err := scan.ReadHashList(tb.Context(), scan.HashListConfig{Name: "lab", CacheDir: tb.TempDir()}, emptyList{})
	if err != nil {
		tb.Fatal(err)
	}
	engines := []scan.Engine{e}
	if !alone {
		engines = append(engines, w.engine)
	}
	snap := *w.Snapshot()
	snap.Chain = scan.NewChain(engines, nil)
	w.Swap(&snap)
	w.log.drop = true
	return w
}

type emptyList struct{}

func (emptyList) Read(p []byte) (int, error) {
	return copy(p, "0000000000000000000000000000000000000000000000000000000000000000\n"), io.EOF
}

// TestOrdinaryExchangesDoNotAllocate counts allocations of the pipeline for what
// passes most: requests without a body, and bodies that were seen before.
func TestOrdinaryExchangesDoNotAllocate(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates itself
	}
	w := quick(t, 100, false)
	for _, response := range []bool{false, true} {
		x, b := exchangeOf(response), tx.Body(wholeBody(make([]byte, 1024)))
		judgeOnce(w, x, b)
		got := testing.AllocsPerRun(500, func() {
			if judgeOnce(w, x, b) != tx.Forward {
				t.Fatal("it did not pass")
			}
		})
		if got > 0 {
			t.Errorf("response %v: %v allocations", response, got)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	for _, c := range []struct {
		name     string
		response bool
		unique   bool
		alone    bool
	}{
		{"request", false, false, false}, {"response-known-1K", true, false, false}, {"response-new-1K", true, true, false},
		{"response-new-1K-hash-list-alone", true, true, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := quick(b, 10_000, c.alone)
			x, body := exchangeOf(c.response), wholeBody(make([]byte, 1024))
			whole := tx.Body(body)
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n++ {
				if c.unique {
					binary.LittleEndian.PutUint64(body, n)
				}
				judgeOnce(w, x, whole)
			}
		})
	}
}
