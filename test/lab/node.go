package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Node is a running Sluice.
type Node struct {
	Name   string
	Dir    string // its --data
	ICAP   int
	Admin  int
	Insert string // more lines for the icap part of the node section, indented by four
	binary string
	lab    *Lab
	client *http.Client
	*Process
}

// Build builds the node and its event engine where they are stale.
func (l *Lab) Build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "make", "-s", "build")
	cmd.Dir = l.Repo
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	return nil
}

// StartNode starts a node with settings (YAML, all but the node section, which
// the lab writes) and waits until it is ready.
func (l *Lab) StartNode(ctx context.Context, name, settings string) (*Node, error) {
	n := &Node{
		Name: name, Dir: filepath.Join(l.Dir, name), binary: filepath.Join(l.Repo, "bin", "sluice"), lab: l,
		client: &http.Client{Timeout: 10 * time.Second},
	}
	if err := freePorts(&n.ICAP, &n.Admin); err != nil {
		return nil, err
	}
	signatures := filepath.Join(n.Dir, "signatures")
	if err := os.MkdirAll(signatures, 0o755); err != nil {
		return nil, err
	}
	marker := fmt.Sprintf("Lab.Marker:0:*:%x\n", Marker)
	if err := os.WriteFile(filepath.Join(signatures, "lab.ndb"), []byte(marker), 0o644); err != nil {
		return nil, err
	}
	if err := n.write(settings); err != nil {
		return nil, err
	}
	return n, n.Restart(ctx)
}

// Restart starts the node's program, again or for the first time, and waits
// until it is ready.
func (n *Node) Restart(ctx context.Context) error {
	p, err := n.lab.start(n.Name, n.binary, "run", "--data", n.Dir)
	if err != nil {
		return err
	}
	n.Process = p
	return p.ready(ctx, n.Ready)
}

// Settings is the path of the node's settings.
func (n *Node) Settings() string { return filepath.Join(n.Dir, "sluice.yaml") }

// Socket is the path of the node's ICAP Unix socket.
func (n *Node) Socket() string { return filepath.Join(n.Dir, "icap.sock") }

// Text is the whole settings document for the part after the node section.
func (n *Node) Text(settings string) string {
	return fmt.Sprintf(`node:
  name: %s
  icap:
    listen: ["127.0.0.1:%d", "unix:%s"]
%s  admin:
    listen: 127.0.0.1:%d
%s`, n.Name, n.ICAP, n.Socket(), n.Insert, n.Admin, settings)
}

// write replaces the settings file in one step.
func (n *Node) write(settings string) error {
	tmp := n.Settings() + ".new"
	if err := os.WriteFile(tmp, []byte(n.Text(settings)), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, n.Settings())
}

// Write replaces the settings file and does not wait.
func (n *Node) Write(settings string) error { return n.write(settings) }

// Apply replaces the settings and waits until the node runs them.
func (n *Node) Apply(ctx context.Context, settings string) error {
	if err := n.write(settings); err != nil {
		return err
	}
	out, _, err := n.Run(ctx, "settings", "validate", n.Settings())
	if err != nil {
		return err
	}
	_, after, ok := strings.Cut(out, "revision ")
	revision := strings.Trim(after, " )\n")
	if !ok || revision == "" {
		return fmt.Errorf("settings validate names no revision: %q", out)
	}
	return Poll(ctx, comeUp, func() error {
		now, err := n.Revision(ctx)
		if err == nil && now != revision {
			err = fmt.Errorf("the node runs revision %s, not %s", now, revision)
		}
		return err
	})
}

// Revision is the settings revision that the node runs.
func (n *Node) Revision(ctx context.Context) (string, error) {
	out, _, err := n.Run(ctx, "status", "--data", n.Dir, "--json")
	if err != nil {
		return "", err
	}
	var s struct {
		Revision string `json:"revision"`
	}
	return s.Revision, json.Unmarshal([]byte(out), &s)
}

// Get fetches a page of the admin port.
func (n *Node) Get(path string) (int, string, error) {
	resp, err := n.client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", n.Admin, path))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String(), err
}

// Ready tells whether the node is in service.
func (n *Node) Ready() error {
	code, body, err := n.Get("/readyz")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("readyz: %d %s", code, body)
	}
	return err
}

// Metric sums the samples of a metric whose labels hold all the given texts.
func (n *Node) Metric(name string, labels ...string) (float64, error) {
	_, body, err := n.Get("/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		all := true
		for _, l := range labels {
			all = all && strings.Contains(rest, l)
		}
		f := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if !all || len(f) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %q: %w", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s %v", name, labels)
	}
	return sum, nil
}

// Run runs a command of the node's program and returns what it wrote.
func (n *Node) Run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, n.binary, args...)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("sluice %s: %w: %s%s", strings.Join(args, " "), err, out.Bytes(), bad.Bytes())
	}
	return out.String(), bad.String(), err
}

// Event is one event as `sluice events --json` prints it.
type Event map[string]any

// Str is a field's text; empty when the event does not have it.
func (e Event) Str(field string) string {
	switch v := e[field].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
}

// Events asks `sluice events` with words of its filter language.
func (n *Node) Events(ctx context.Context, limit int, words ...string) ([]Event, error) {
	args := append([]string{"events", "--data", n.Dir, "--json", "--limit", strconv.Itoa(limit)}, words...)
	out, _, err := n.Run(ctx, args...)
	if err != nil {
		return nil, err
	}
	var all []Event
	for line := range strings.Lines(out) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("event %q: %w", line, err)
		}
		all = append(all, e)
	}
	return all, nil
}
