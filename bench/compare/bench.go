package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sluice/bench/proc"
	"sluice/bench/result"
)

// bench is the state of one comparison.
type bench struct {
	config
	table   *table
	running []*process
	peak    float64 // exchanges a second of the node in the first section

	generators float64 // processor seconds of all load generators so far
}

func (b *bench) stopAll() {
	for _, p := range slices.Backward(b.running) {
		p.stop()
	}
	b.running = nil
}

// contender is one service under one kind of load.
type contender struct {
	name  string
	args  []string // of the load generator
	watch string   // of the load generator
	node  *node    // nil for a peer

	paused bool // whether the event engine stands still meanwhile
}

// outcome is what one contender showed in one round.
type outcome struct {
	result.Run
	service float64       // µs of processor an exchange, of the service itself with its workers
	helpers float64       // the same of what it works with: the event engine and clamd
	whole   float64       // µs an exchange of all of it until all events are stored
	catchUp time.Duration // from the end of the load until all events are stored
}

const (
	// maxOthers is the share of one processor that programs which are no part
	// of the comparison may take while a load lasts.
	maxOthers = 0.1
	// maxRepeats is how often a disturbed load is repeated; the last counts.
	maxRepeats = 2
)

// others is the processor time so far of all that is no part of the comparison.
func (b *bench) others() (float64, error) {
	busy, err := proc.Busy()
	if err != nil {
		return 0, err
	}
	for _, p := range b.running {
		own, kids, err := proc.CPU(p.pid())
		if err != nil {
			return 0, err
		}
		busy -= own + kids
	}
	return busy - b.generators, nil
}

// load runs the generator once.
func (b *bench) load(ctx context.Context, args ...string) (result.Run, error) {
	var r result.Run
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", loadCPU, filepath.Join(b.bin, "bench-load")}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if s := cmd.ProcessState; s != nil {
		b.generators += (s.UserTime() + s.SystemTime()).Seconds()
	}
	if err != nil {
		return r, fmt.Errorf("load %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return r, fmt.Errorf("reading what load says: %w", err)
	}
	if r.Fails > 0 {
		return r, fmt.Errorf("load %s: %d exchanges failed: %s", strings.Join(args, " "), r.Fails, r.LastError)
	}
	for code, n := range r.Status {
		if code != 200 && code != 204 {
			return r, fmt.Errorf("load %s: %d exchanges were answered with status %d", strings.Join(args, " "), n, code)
		}
	}
	b.table.bodies += r.Exchanges
	for code, n := range r.Inner {
		if code == 200 {
			continue
		}
		if b.table.blocked += n; n > r.Exchanges/10_000 {
			return r, fmt.Errorf("load %s: %d clean messages were answered with status %d", strings.Join(args, " "), n, code)
		}
	}
	return r, nil
}

// round gives every contender the same load in turn, again when others took the
// processors meanwhile: what is repeated does not depend on the figures.
func (b *bench) round(ctx context.Context, who []contender, args []string) ([]outcome, error) {
	out := make([]outcome, len(who))
	for i, c := range who {
		for n := 0; ; n++ {
			others, err := b.turn(ctx, c, args, &out[i])
			if err != nil {
				return nil, err
			}
			if others <= maxOthers || n == maxRepeats {
				b.table.counted(others > maxOthers)
				break
			}
			fmt.Fprintf(b.log, "  (others took %.0f %% of a processor: again)\n", 100*others)
		}
	}
	return out, nil
}

// turn gives one contender one load, and tells what share of a processor all
// else took meanwhile.
func (b *bench) turn(ctx context.Context, c contender, args []string, o *outcome) (others float64, err error) {
	*o = outcome{}
	before, err := b.others()
	if err != nil {
		return 0, err
	}
	own, kids := 0.0, 0.0
	if c.node != nil {
		if own, kids, err = proc.CPU(c.node.pid()); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if o.Run, err = b.loadOn(ctx, c, args); err != nil {
		return 0, err
	}
	took := time.Since(began).Seconds()
	after, err := b.others()
	if err != nil {
		return 0, err
	}
	o.costs()
	fmt.Fprintf(b.log, "  %-18s %8.0f/s %7.1f MB/s  cpu %6.1f+%.1f µs  p50 %.0f p99 %.0f µs  load %.2f\n",
		c.name, o.PerSecond, o.MBPerS, o.service, o.helpers, o.P50, o.P99, o.OwnLoad)
	if c.node == nil {
		return (after - before) / took, nil
	}
	if o.catchUp, err = c.node.catchUp(ctx); err != nil {
		return 0, err
	}
	own2, kids2, err := proc.CPU(c.node.pid())
	if err != nil {
		return 0, err
	}
	o.whole = (own2 + kids2 - own - kids) / float64(o.All) * 1e6
	return (after - before) / took, nil
}

// loadOn runs the generator for a contender.
func (b *bench) loadOn(ctx context.Context, c contender, args []string) (result.Run, error) {
	if c.paused {
		if err := c.node.signalChildren(syscall.SIGSTOP); err != nil {
			return result.Run{}, err
		}
		defer c.node.signalChildren(syscall.SIGCONT) //nolint:errcheck // it runs again, or catching up fails
	}
	return b.load(ctx, slices.Concat(args, c.args, []string{"-watch", c.watch})...)
}

// costs spreads processor time over exchanges. A peer forks its workers; a
// node's children, and whatever is watched as a helper, are not the service.
func (o *outcome) costs() {
	n := float64(o.Exchanges) / 1e6
	for name, c := range o.Watched {
		switch name {
		case "peer":
			o.service += (c.CPU + c.Children) / n
		case "node":
			o.service += c.CPU / n
			o.helpers += c.Children / n
		default:
			o.helpers += (c.CPU + c.Children) / n
		}
	}
}

// rounds runs all rounds of one load. The result is indexed by contender, then round.
func (b *bench) rounds(ctx context.Context, who []contender, args ...string) ([][]outcome, error) {
	fmt.Fprintf(b.log, "-- %s\n", strings.Join(args, " "))
	all := make([][]outcome, len(who))
	args = append([]string{"-d", b.length.String()}, args...)
	for range b.config.rounds {
		out, err := b.round(ctx, who, args)
		if err != nil {
			return nil, err
		}
		for i := range out {
			all[i] = append(all[i], out[i])
		}
	}
	return all, nil
}

// median of one figure over all rounds.
func median(os []outcome, of func(*outcome) float64) float64 {
	v := make([]float64, len(os))
	for i := range os {
		v[i] = of(&os[i])
	}
	return middle(v)
}

// ratio is the median of the rounds' ratios: neighbours in time are compared.
func ratio(ours, peer []outcome, of func(*outcome) float64) float64 {
	v := make([]float64, len(ours))
	for i := range ours {
		v[i] = of(&ours[i]) / of(&peer[i])
	}
	return middle(v)
}

func middle(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func perSecond(o *outcome) float64 { return o.PerSecond }
func megabytes(o *outcome) float64 { return o.MBPerS }
func serviceUs(o *outcome) float64 { return o.service }
func withHelp(o *outcome) float64  { return o.service + o.helpers }
func wholeUs(o *outcome) float64   { return o.whole }
func p50(o *outcome) float64       { return o.P50 }
func p99(o *outcome) float64       { return o.P99 }
func ownLoad(o *outcome) float64   { return o.OwnLoad }
func behindBy(o *outcome) float64  { return o.catchUp.Seconds() }
