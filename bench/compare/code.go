package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// wanted is one figure of a Go benchmark.
type wanted struct {
	pkg, pattern string // of `go test -bench`
	name, unit   string // in its output
	what, shown  string // in the table
	scale        float64
	goal         goal
}

// manyRules and tenRules are compared with each other, too.
const (
	manyRules = "Varied/rules=100000"
	tenRules  = "Varied/rules=10"
)

var benchmarks = []wanted{
	{"policy", "Varied", tenRules, "cpu-ns/op", "one decision among 10 rules, requests that vary", "ns", 1, none()},
	{"policy", "Varied", manyRules, "cpu-ns/op", "one decision among 100,000 rules, requests that vary", "ns", 1, atMostValue(1500)},
	{"policy", "Decision/rules=1000/request$", "Decision/rules=1000/request", "cpu-ns/op", "one decision among 1,000 rules, one request", "ns", 1, none()},
	{"policy", "Compile/rules=100000", "Compile/rules=100000", "ns/op", "compiling 100,000 rules", "s", 1e-9, none()},
	{"scan", "HashList10M", "HashList10M", "ns/op", "hash list of 10 million entries: a look-up", "ns", 1, below(1000)},
	{"scan", "HashList10M", "HashList10M", "B/entry", "the same, each entry", "B", 1, atMostValue(40)},
	{"scan", "HashList10M", "HashList10M", "s-compile", "the same, compiling it once", "s", 1, none()},
	{"scan", "HashListOpen", "HashListOpen/1000000", "ns/op", "opening a compiled list of 1 million", "µs", 1e-3, none()},
	{"traffic", "Judge", "Judge/request", "ns/op", "the pipeline for a request: decide and record", "ns", 1, none()},
	{"traffic", "Judge", "Judge/response-new-1K-hash-list-alone", "ns/op", "the pipeline for a new body of 1 KiB, hash list", "ns", 1, none()},
	{"event", "Traffic", "Traffic", "ns/op", "an event into the queue", "ns", 1, none()},
	{"icap", "Pipelined204/reqmod", "Pipelined204/reqmod", "ns/op", "ICAP entrance alone, REQMOD -> 204, 32 pipelined, client included", "ns", 1, none()},
	{"icap", "KeepAlive204/tcp/respmod", "KeepAlive204/tcp/respmod", "allocs/op", "ICAP entrance alone, RESPMOD 1 KiB -> 204, allocations", "", 1, atMostValue(0)},
}

// codeSection runs Go benchmarks on the services' processor.
func codeSection(ctx context.Context, b *bench) error {
	seen := map[string][]*measured{}
	figures := map[string]float64{}
	for _, w := range benchmarks {
		run := w.pkg + " " + w.pattern
		if seen[run] == nil {
			out, err := b.goBench(ctx, w.pkg, w.pattern)
			if err != nil {
				return err
			}
			seen[run] = out
		}
		i := slices.IndexFunc(seen[run], func(m *measured) bool { return m.name == w.name })
		if i < 0 || len(seen[run][i].values[w.unit]) == 0 {
			return fmt.Errorf("no figure %s of benchmark %s in package %s", w.unit, w.name, w.pkg)
		}
		figures[w.name] = middle(seen[run][i].values[w.unit]) * w.scale
		b.table.value(w.what, w.shown, figures[w.name], w.goal)
	}
	b.table.value("100,000 rules beside 10", "×", figures[manyRules]/figures[tenRules], atMostValue(6))
	return nil
}

// goBenchRounds is fewer than rounds: making ten million entries takes a while.
const goBenchRounds = "3"

func (b *bench) goBench(ctx context.Context, pkg, pattern string) ([]*measured, error) {
	fmt.Fprintf(b.log, "-- go test -bench %s ./internal/%s\n", pattern, pkg)
	cmd := exec.CommandContext(ctx, "taskset", "-c", serviceCPU, "go", "test", "-run", "^$", "-bench", pattern,
		"-benchmem", "-benchtime", "300ms", "-cpu", "1", "-count", goBenchRounds, "-timeout", "20m", "./internal/"+pkg)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmarks of %s: %w: %.500s", pkg, err, out)
	}
	return parseBenchmarks(out), nil
}

// measured is one benchmark's figures over its repetitions.
type measured struct {
	name   string
	units  []string // in order
	values map[string][]float64
}

// parseBenchmarks reads lines "BenchmarkName  count  value unit  value unit ...".
func parseBenchmarks(out []byte) []*measured {
	var all []*measured
	byName := map[string]*measured{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		m := byName[f[0]]
		if m == nil {
			m = &measured{name: strings.TrimPrefix(f[0], "Benchmark"), values: map[string][]float64{}}
			byName[f[0]] = m
			all = append(all, m)
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				break
			}
			if m.values[f[i+1]] == nil {
				m.units = append(m.units, f[i+1])
			}
			m.values[f[i+1]] = append(m.values[f[i+1]], v)
		}
	}
	return all
}
