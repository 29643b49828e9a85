package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// benchmark names Go benchmarks of one package.
type benchmark struct {
	pkg, pattern string
}

var benchmarks = []benchmark{
	{"./internal/policy", "Decide"},
	{"./internal/scan", "HashList"},
	{"./internal/icap", "204"},
}

// codeSection runs Go benchmarks on the services' processor.
func codeSection(ctx context.Context, b *bench) error {
	for _, g := range benchmarks {
		fmt.Fprintf(b.log, "-- go test -bench %s %s\n", g.pattern, g.pkg)
		cmd := exec.CommandContext(ctx, "taskset", "-c", serviceCPU, "go", "test", "-run", "^$", "-bench", g.pattern,
			"-benchmem", "-cpu", "1", "-count", strconv.Itoa(b.config.rounds), "-timeout", "20m", g.pkg)
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("benchmarks of %s: %w: %.500s", g.pkg, err, out)
		}
		for _, l := range parseBenchmarks(out) {
			for _, u := range l.units {
				b.table.value("Go benchmark "+l.name, u, middle(l.values[u]), none())
			}
		}
	}
	return nil
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
