package node

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"sluice/internal/event"
	"sluice/internal/icap"
	"sluice/internal/scan"
)

// Status is how a node is.
type Status struct {
	Node     string `json:"node"`
	Version  string `json:"version"`
	Started  string `json:"started"`
	State    string `json:"state"` // "in service", "draining" or "out: why"
	Revision string `json:"revision"`
	// Problem says why the settings document on disk is not in force.
	Problem string `json:"problem,omitempty"`
	// NeedsRestart names changed settings that act at the next start.
	NeedsRestart []string       `json:"needs_restart,omitempty"`
	Listen       []string       `json:"listen"`
	Engines      []EngineStatus `json:"engines"`
	Events       event.Health   `json:"events"`
	ICAP         icap.Stats     `json:"icap"`
	SpoolMemory  int64          `json:"spool_memory"` // bytes
	SpoolDisk    int64          `json:"spool_disk"`   // bytes
	Rules        []RuleStatus   `json:"rules"`
}

// EngineStatus is how a scan engine is.
type EngineStatus struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Since    string `json:"since"`
	Version  string `json:"version"`
	Error    string `json:"error,omitempty"`
	Busy     int    `json:"busy"`
	Queue    int    `json:"queue"`
	Scans    uint64 `json:"scans"`
	Failures uint64 `json:"failures"`
}

// RuleStatus is how often a rule decided.
type RuleStatus struct {
	Stage     string `json:"stage"`
	Workspace string `json:"workspace,omitempty"`
	Name      string `json:"name"`
	Hits      uint64 `json:"hits"`
}

// Status tells how the node is now.
func (n *Node) Status() Status {
	snap := n.engine.Snapshot()
	memory, disk := n.spool.Usage()
	s := Status{
		Node: n.name, Version: n.cfg.Version, Started: n.started.UTC().Format(time.RFC3339), State: n.state(),
		Revision: snap.Revision, Events: n.events.Health(), ICAP: n.server.Stats(), SpoolMemory: memory, SpoolDisk: disk,
	}
	n.mu.Lock()
	if n.problem != nil {
		s.Problem = n.problem.Error()
	}
	s.NeedsRestart = n.needsRestart()
	for key, l := range n.listeners {
		s.Listen = append(s.Listen, key+" ("+l.Addr().String()+")")
	}
	n.mu.Unlock()
	slices.Sort(s.Listen)
	for _, e := range snap.Chain.Engines() {
		h := e.Health()
		s.Engines = append(s.Engines, EngineStatus{
			Name: e.Name(), State: h.State.String(), Since: h.Since.UTC().Format(time.RFC3339), Version: h.Version,
			Error: h.LastError, Busy: h.Busy, Queue: h.Queue, Scans: h.Scans, Failures: h.Failures,
		})
	}
	for _, r := range snap.Policy.Rules() {
		s.Rules = append(s.Rules, RuleStatus{r.Stage.String(), r.Workspace, r.Name, r.Hits()})
	}
	return s
}

// state is what load balancers need to know. A node whose engine is down and
// whose fail policy blocks for it serves nobody.
func (n *Node) state() string {
	if n.draining.Load() {
		return "draining"
	}
	n.mu.Lock()
	closed := n.current.settings.Protection.On.EngineError == "block"
	n.mu.Unlock()
	for _, e := range n.engine.Snapshot().Chain.Engines() {
		if h := e.Health(); closed && (h.State == scan.Down || h.State == scan.Starting) {
			return fmt.Sprintf("out: engine %s is %s", e.Name(), h.State)
		}
	}
	return inService
}

const inService = "in service"

// Print writes the status for people.
func (s *Status) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "node\t%s, Sluice %s, up since %s\n", s.Node, s.Version, s.Started)
	fmt.Fprintf(w, "state\t%s\n", s.State)
	fmt.Fprintf(w, "settings\trevision %s\n", s.Revision)
	if s.Problem != "" {
		fmt.Fprintf(w, "\tthe document on disk is not in force: %s\n", s.Problem)
	}
	if len(s.NeedsRestart) > 0 {
		fmt.Fprintf(w, "\tact at the next start: %v\n", s.NeedsRestart)
	}
	for _, l := range s.Listen {
		fmt.Fprintf(w, "icap\t%s\n", l)
	}
	fmt.Fprintf(w, "connections\t%d\n", s.ICAP.Connections)
	for _, e := range s.Engines {
		fmt.Fprintf(w, "engine\t%s: %s since %s, %d scans, %d failed, version %s", e.Name, e.State, e.Since, e.Scans, e.Failures, e.Version)
		if e.Error != "" {
			fmt.Fprintf(w, ", last error: %s", e.Error)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "events\t%d recorded, %d waiting, %d dropped, engine running: %v", s.Events.Recorded, s.Events.QueuedLines, s.Events.Dropped, s.Events.EngineRunning)
	if s.Events.LastError != "" {
		fmt.Fprintf(w, ", last error: %s", s.Events.LastError)
	}
	fmt.Fprintf(w, "\nspool\t%d bytes in memory, %d on disk\n", s.SpoolMemory, s.SpoolDisk)
	for name, count := range s.ICAP.UnknownHeaders {
		fmt.Fprintf(w, "unread header\t%s, %d times: is it misspelt in the proxy or in icap.headers?\n", name, count)
	}
	for _, r := range s.Rules {
		fmt.Fprintf(w, "rule\t%s %s%s: %d hits\n", r.Stage, prefix(r.Workspace), r.Name, r.Hits)
	}
	return w.Flush()
}

func prefix(workspace string) string {
	if workspace == "" {
		return ""
	}
	return workspace + " / "
}
