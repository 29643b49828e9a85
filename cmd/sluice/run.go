package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"sluice/internal/node"
)

type runCmd struct {
	place
	EventsProgram string        `help:"The event engine's program; default sluice-events beside this one." type:"path" env:"SLUICE_EVENTS"`
	Drain         time.Duration `help:"How long running exchanges get to end at a stop." default:"30s"`
	Quiet         time.Duration `help:"At a stop: how long no request must have come before the listeners close." default:"2s"`
	LogJSON       bool          `help:"Write the process's own log as JSON."`
}

// gcPercent trades memory for time: the data path makes little garbage, and the
// soft memory limit below bounds what is kept.
const gcPercent = 300

// Run starts the node and stops it on SIGINT or SIGTERM.
func (c *runCmd) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	tuneMemory()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	log := c.logger(s)
	program, err := c.eventsProgram()
	if err != nil {
		return err
	}
	n, err := node.Start(ctx, node.Config{
		Paths: c.paths(), Document: c.document(), Version: version, EventsProgram: program, Quiet: c.Quiet, Log: log,
	})
	if err != nil {
		return err
	}
	failed := n.Run(ctx, hup)
	drain, cancel := context.WithTimeout(context.Background(), c.Drain)
	defer cancel()
	if err := n.Shutdown(drain); err != nil {
		log.Warn("not all ended well", "error", err)
	}
	return failed
}

func (c *runCmd) logger(s *streams) *slog.Logger {
	if c.LogJSON {
		return slog.New(slog.NewJSONHandler(s.err, nil))
	}
	return slog.New(slog.NewTextHandler(s.err, nil))
}

func (c *runCmd) eventsProgram() (string, error) {
	if c.EventsProgram != "" {
		return c.EventsProgram, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find sluice-events: %w", err)
	}
	return filepath.Join(filepath.Dir(self), "sluice-events"), nil
}

// tuneMemory sets the collector's pace, and a soft limit of 70 % of the
// machine's memory, unless the environment says otherwise.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var info syscall.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") == "" && syscall.Sysinfo(&info) == nil {
		debug.SetMemoryLimit(int64(info.Totalram) * int64(info.Unit) / 10 * 7) //nolint:gosec // memory sizes fit
	}
}
