package main

import (
	"bytes"
	"strings"
	"testing"

	"sluice/bench/result"
)

func TestParseBenchmarks(t *testing.T) {
	got := parseBenchmarks([]byte("goos: linux\nBenchmarkX/10 	 5	 20.0 ns/op	 3 B/entry\nBenchmarkX/10 	 5	 40.0 ns/op	 3 B/entry\nBenchmarkY 1 7 ns/op\nPASS\n"))
	if len(got) != 2 || got[0].name != "X/10" || middle(got[0].values["ns/op"]) != 30 || got[0].values["B/entry"][1] != 3 || got[1].name != "Y" {
		t.Errorf("got %+v %+v", got[0], got)
	}
}

func TestTableSaysWhatIsMissed(t *testing.T) {
	tab := newTable(config{rounds: 3})
	round := func(v float64) outcome { return outcome{Run: result.Run{PerSecond: v}} }
	// The middle of the rounds' ratios (0.5, 1.5, 2) counts, not the ratio of the middles.
	r := [][]outcome{{round(100), round(100), round(50)}, {round(50), round(150), round(100)}}
	tab.compare("speed", "req/s", r, perSecond, atLeast(1.5))
	tab.compare("speed", "req/s", r, perSecond, atLeast(2))
	var out bytes.Buffer
	tab.write(&out)
	for _, want := range []string{"| speed | req/s | 100 | 100 | 1.50 × | ≥ 1.5 × | yes |", "| speed | req/s | 100 | 100 | 1.50 × | ≥ 2 × | **no** |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
}

func TestPeersWorkersCountAsThePeer(t *testing.T) {
	o := outcome{Run: result.Run{Exchanges: 1_000_000, Watched: map[string]result.Cost{
		"peer": {CPU: 1, Children: 2}, "clamd": {CPU: 4},
	}}}
	o.costs()
	if o.service != 3 || o.helpers != 4 {
		t.Errorf("service %v, helpers %v", o.service, o.helpers)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0.123: "0.12", 12.34: "12.3", 1234.5: "1234"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}
