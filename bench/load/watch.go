package main

import (
	"fmt"
	"strconv"
	"strings"

	"sluice/bench/proc"
	"sluice/bench/result"
)

// watched is one process whose costs are measured.
type watched struct {
	name      string
	pid       int
	cpu, kids float64 // seconds at the start
	rss       int64   // bytes at the start
}

// parseWatch reads "name=pid,name=pid".
func parseWatch(s string) ([]*watched, error) {
	var out []*watched
	for part := range strings.SplitSeq(s, ",") {
		if part == "" {
			continue
		}
		name, pid, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(pid)
		if err != nil {
			return nil, fmt.Errorf("-watch %q: want name=pid", part)
		}
		out = append(out, &watched{name: name, pid: n})
	}
	return out, nil
}

// start notes what the process has used so far and resets its peak memory.
func (w *watched) start() error {
	if err := proc.ResetPeak(w.pid); err != nil {
		return err
	}
	var err error
	if w.rss, _, err = proc.Memory(w.pid); err != nil {
		return err
	}
	w.cpu, w.kids, err = proc.CPU(w.pid)
	return err
}

func (w *watched) stop() (result.Cost, error) {
	cpu, kids, err := proc.CPU(w.pid)
	if err != nil {
		return result.Cost{}, err
	}
	rss, peak, err := proc.Memory(w.pid)
	return result.Cost{CPU: cpu - w.cpu, Children: kids - w.kids, RSS: rss, Grown: rss - w.rss, Peak: peak}, err
}
