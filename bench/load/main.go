package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sluice/bench/result"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1) //nolint:forbidigo // only main ends the process
	}
}

func run(args []string, out io.Writer) error {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	var p plan
	var s spec
	mode := f.String("mode", "respmod", "respmod, reqmod, http, or idle: open connections and hold them")
	f.StringVar(&p.addr, "addr", "127.0.0.1:1344", "host:port or unix:/path")
	target := f.String("url", "icap://127.0.0.1:1344/respmod", "of the ICAP service, or the page to get in http mode")
	f.IntVar(&p.conns, "c", 32, "connections")
	f.DurationVar(&p.warm, "warm", time.Second, "how long before counting begins")
	f.DurationVar(&p.length, "d", 4*time.Second, "how long to count; with -n, how long to wait at most")
	f.Float64Var(&p.rate, "rate", 0, "exchanges a second, open loop; 0: as fast as answers come")
	f.IntVar(&p.count, "n", 0, "end after so many exchanges")
	f.Uint64Var(&p.distinct, "distinct", 0, "different bodies; 0: every one is different")
	f.Int64Var(&s.size, "size", 1024, "bytes of a body")
	f.Int64Var(&s.preview, "preview", 1024, "bytes of preview; -1: none")
	f.BoolVar(&s.allow204, "allow204", true, "whether the service may answer 204")
	f.StringVar(&s.ctype, "type", "application/octet-stream", "Content-Type of bodies")
	f.IntVar(&s.variants, "variants", 8, "different requests of each connection")
	watch := f.String("watch", "", "processes to measure: name=pid,name=pid")
	if err := f.Parse(args); err != nil {
		return err
	}
	procs, err := parseWatch(*watch)
	if err != nil {
		return err
	}
	if s.url, err = url.Parse(*target); err != nil {
		return fmt.Errorf("-url: %w", err)
	}
	r := &result.Run{Watched: map[string]result.Cost{}}
	if *mode == "idle" {
		s.mode = "reqmod"
		err = idle(p, &s, procs, r)
	} else {
		s.mode = *mode
		err = load(p, &s, procs, r)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// load runs the plan between two looks at the watched processes.
func load(p plan, s *spec, procs []*watched, r *result.Run) error {
	if err := s.check(); err != nil {
		return err
	}
	l, err := newLoop(p, s)
	if err != nil {
		return err
	}
	var before float64
	var startErr error
	t, err := l.run(func() {
		before = ownCPU()
		startErr = startAll(procs)
	})
	if err != nil {
		return err
	}
	if startErr != nil {
		return startErr
	}
	r.OwnLoad = (ownCPU() - before) / t.seconds
	fill(r, t, s)
	return stopAll(procs, r)
}

// idle opens connections, has one exchange on each, and holds them until the
// service had time to give its buffers back.
func idle(p plan, s *spec, procs []*watched, r *result.Run) error {
	if err := startAll(procs); err != nil {
		return err
	}
	p.count, p.rate = p.conns, 0
	l, err := newLoop(p, s)
	if err != nil {
		return err
	}
	t, err := l.run(func() {})
	if err != nil {
		return err
	}
	fill(r, t, s)
	time.Sleep(p.length)
	r.Idle = p.conns
	return stopAll(procs, r)
}

func startAll(procs []*watched) error {
	for _, w := range procs {
		if err := w.start(); err != nil {
			return err
		}
	}
	return nil
}

func stopAll(procs []*watched, r *result.Run) error {
	for _, w := range procs {
		c, err := w.stop()
		if err != nil {
			return err
		}
		r.Watched[w.name] = c
	}
	return nil
}

func fill(r *result.Run, t *tally, s *spec) {
	us := func(q float64) float64 { return float64(t.lat.quantile(q).Nanoseconds()) / 1e3 }
	r.Exchanges, r.All, r.Seconds = t.lat.total, t.all, t.seconds
	r.PerSecond = float64(t.lat.total) / t.seconds
	r.MBPerS = float64(t.sent) / t.seconds / 1e6
	if s.mode == "http" {
		r.MBPerS = float64(t.got) / t.seconds / 1e6
	}
	r.P50, r.P90, r.P99, r.P999 = us(0.5), us(0.9), us(0.99), us(0.999)
	r.Max = float64(t.lat.max.Nanoseconds()) / 1e3
	r.Fails, r.Behind, r.Status, r.Inner = t.fails, t.behind, t.status, t.inner
	if t.lastErr != nil {
		r.LastError = t.lastErr.Error()
	}
}

// ownCPU is the processor time of this process in seconds.
func ownCPU() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
