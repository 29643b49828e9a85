// Command sluice is the whole product: it runs a node and talks to a running
// one. It constructs and shuts down; it never judges or decodes traffic itself.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "unknown"

// cli is every command with its flags.
type cli struct {
	Run      runCmd      `cmd:"" help:"Run a node in the foreground."`
	Check    checkCmd    `cmd:"" help:"Tell which rule decides about a URL, and why those above it do not."`
	Scan     scanCmd     `cmd:"" help:"Scan files with the engines of the running node."`
	Events   eventsCmd   `cmd:"" help:"Search the event log, or follow it."`
	Explain  explainCmd  `cmd:"" help:"Show the whole decision about one transaction."`
	Status   statusCmd   `cmd:"" help:"Show the state of the running node: engines, events, connections, rules' hits."`
	Settings settingsCmd `cmd:"" help:"Write or check a settings document."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// streams are where a command writes.
type streams struct{ out, err io.Writer }

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(s *streams) error {
	_, err := fmt.Fprintln(s.out, "sluice", version)
	return err
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// exitError carries an exit status that is not 1: `scan` and `check` tell their
// result by it.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	s := &streams{stdout, stderr}
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("sluice"),
		kong.Description("An open secure web gateway: judges and scans web traffic behind a proxy."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintln(stderr, "sluice:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "sluice: %v\nRun \"sluice --help\" or \"sluice COMMAND --help\".\n", err)
		return 2
	}
	err = k.Run(s)
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return code.code
	}
	fmt.Fprintln(stderr, "sluice:", err)
	return 1
}
