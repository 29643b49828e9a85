package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// config is what the command line says.
type config struct {
	bin    string // where sluice, sluice-events and bench-load are
	dir    string // where services keep their files
	mem    string // the same in memory
	out    string // the results, as Markdown
	rounds int
	length time.Duration // of one load
	only   *regexp.Regexp
	log    io.Writer // progress
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // only main ends the process
	}
}

func run(ctx context.Context, args []string) error {
	c := config{log: os.Stderr}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.StringVar(&c.bin, "bin", "bin", "folder of sluice, sluice-events and bench-load")
	f.StringVar(&c.dir, "dir", "", "folder for the services' files; empty: a new one, removed in the end")
	f.StringVar(&c.out, "out", "bench/results.md", "file for the results")
	f.IntVar(&c.rounds, "rounds", 5, "how often each contender gets each load")
	f.DurationVar(&c.length, "d", 4*time.Second, "how long each load is counted")
	only := f.String("only", "", "measure only sections that match this regular expression")
	if err := f.Parse(args); err != nil {
		return err
	}
	var err error
	if c.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if c.bin, err = filepath.Abs(c.bin); err != nil {
		return err
	}
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(c.dir) //nolint:errcheck // a leftover in the temporary folder harms nobody
	}
	if c.mem, err = os.MkdirTemp("/dev/shm", "sluice-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.mem) //nolint:errcheck // see above
	return measure(ctx, c)
}

// measure runs all sections and writes the results after each, so that what was
// measured is kept when a later section fails.
func measure(ctx context.Context, c config) error {
	b := &bench{config: c, table: newTable(c)}
	defer b.stopAll()
	for _, s := range sections {
		if !c.only.MatchString(s.name) {
			continue
		}
		fmt.Fprintf(c.log, "== %s\n", s.name)
		err := s.run(ctx, b)
		b.stopAll()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		var text bytes.Buffer
		b.table.write(&text)
		if err := os.WriteFile(c.out, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	b.table.write(os.Stdout)
	return nil
}
