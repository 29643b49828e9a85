package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"sluice/internal/event"
	"sluice/internal/node"
)

// interruptible ends when the user presses Ctrl-C or the system stops us.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

type eventsCmd struct {
	place
	Words  []string `arg:"" optional:"" help:"What to look for: field=value, field!=value, field~part, since=1h ... (see --fields)."`
	Follow bool     `short:"f" help:"Go on with events as they happen."`
	Limit  int      `short:"n" default:"50" help:"At most so many, the newest."`
	JSON   bool     `help:"One JSON object a line, with every field."`
	Fields bool     `help:"List the fields with their meaning."`
}

// Run prints events, the newest last.
func (c *eventsCmd) Run(s *streams) error {
	if c.Fields {
		return printFields(s.out)
	}
	ctx, stop := interruptible()
	defer stop()
	show := printEvent
	if c.JSON {
		show = func(w io.Writer, line []byte) error {
			_, err := fmt.Fprintf(w, "%s\n", bytes.TrimSpace(line))
			return err
		}
	}
	err := node.NewClient(c.paths()).Events(ctx, c.Words, c.Limit, c.Follow, func(line []byte) error {
		return show(s.out, line)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func printFields(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range event.Fields() {
		fmt.Fprintf(w, "%s\t%s\n", f.Name, f.Meaning)
	}
	return w.Flush()
}

// printEvent writes one event as a line for people.
func printEvent(out io.Writer, line []byte) error {
	out = event.Plain(out)
	var e map[string]string
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("event is not what was expected: %w", err)
	}
	if e["kind"] == "system" {
		_, err := fmt.Fprintf(out, "%s  %-8s %s: %s\n", e["time"], e["severity"], e["code"], e["text"])
		return err
	}
	what := strings.ToUpper(e["action"])
	if e["unscanned"] != "" {
		what += "!"
	}
	_, err := fmt.Fprintf(out, "%s  %-9s %-4s %s  %s%s\n", e["time"], what, e["method"], e["url"], who(e), why(e))
	return err
}

func who(e map[string]string) string {
	if e["user"] != "" {
		return e["user"] + "@" + e["client"]
	}
	return e["client"]
}

// why adds what is remarkable about an event.
func why(e map[string]string) string {
	var b strings.Builder
	for _, f := range []string{"threat", "rule", "reason", "scan_detail", "id"} {
		if v := e[f]; v != "" && v != "none" {
			fmt.Fprintf(&b, "  %s=%s", f, v)
		}
	}
	return b.String()
}

type explainCmd struct {
	place
	ID   string `arg:"" help:"The transaction's number, as on the block page, in X-Sluice-ID or in an event."`
	JSON bool   `help:"Print JSON."`
}

// Run prints the decision as it was made.
func (c *explainCmd) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	raw, err := node.NewClient(c.paths()).Explain(ctx, strings.ToLower(c.ID))
	if err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintf(s.out, "%s\n", raw)
		return err
	}
	var e node.Explanation
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("the node's answer: %w", err)
	}
	return e.Print(s.out)
}
