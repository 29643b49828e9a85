package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sluice/bench/proc"
)

const (
	nodeAddr   = "127.0.0.1:11344"
	adminAddr  = "127.0.0.1:19344"
	nodeRules  = 1_000
	hashDigest = 1_000_000

	// queueMetric counts events that are not with the event engine yet.
	queueMetric = "sluice_events_queued"
)

// node is a Sluice node that was started here.
type node struct {
	*process
	unix string // its Unix socket
}

// nodeConf is the node under test: full policy, every exchange logged, all
// protections as a fresh node has them.
const nodeConf = `node:
  name: bench
  icap: {listen: ["` + nodeAddr + `", "unix:%[1]s"], max_connections: 20000}
  admin: {listen: "` + adminAddr + `"}
engines:
  clamd: {%[2]s}
  hashlists: [{name: bench, file: %[3]s}]
`

// startNode runs a node whose engines are a hash list, and clamd when there is one.
func startNode(ctx context.Context, c config, clamd string) (*node, error) {
	dir := filepath.Join(c.dir, "node")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	n := &node{unix: filepath.Join(dir, "icap.sock")}
	hashes := filepath.Join(c.dir, "hashes.txt")
	if _, err := os.Stat(hashes); err != nil {
		if err := writeHashList(hashes, hashDigest); err != nil {
			return nil, err
		}
	}
	engine := `mode: "off"`
	if clamd != "" {
		engine = fmt.Sprintf("mode: external, socket: %s, sessions: %d", clamd, clamdThreads)
	}
	var text strings.Builder
	fmt.Fprintf(&text, nodeConf, n.unix, engine, hashes)
	writeRules(&text, nodeRules)
	conf := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(conf, []byte(text.String()), 0o644); err != nil {
		return nil, err
	}
	var err error
	if n.process, err = start(c.dir, "sluice", filepath.Join(c.bin, "sluice"), "run", "--data", dir); err != nil {
		return nil, err
	}
	return n, n.until(ctx, func() error { _, err := get("/readyz"); return err })
}

// signalChildren sends a signal to the node's child processes: its event engine.
func (n *node) signalChildren(s syscall.Signal) error {
	kids, err := proc.Children(n.pid())
	for _, pid := range kids {
		err = errors.Join(err, syscall.Kill(pid, s))
	}
	return err
}

// get asks the node's admin port.
func get(path string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second}
	r, err := client.Get("http://" + adminAddr + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, r.Status, body)
	}
	return string(body), err
}

// metric reads one metric of the node.
func metric(name string) (float64, error) {
	text, err := get("/metrics")
	if err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("the node has no metric %s", name)
}

const (
	catchUpTime = 3 * time.Minute
	quietTime   = time.Second
	quietLoad   = 0.1 // of a processor
)

// catchUp waits until all events are with the event engine and both are quiet.
func (n *node) catchUp(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	for deadline := began.Add(catchUpTime); ; {
		queued, err := metric(queueMetric)
		if err != nil {
			return 0, err
		}
		if took == 0 && queued == 0 {
			took = time.Since(began)
		}
		own, kids, err := proc.CPU(n.pid())
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(quietTime):
		}
		own2, kids2, err := proc.CPU(n.pid())
		if err != nil {
			return 0, err
		}
		if took > 0 && own2+kids2-own-kids < quietLoad*quietTime.Seconds() {
			return took, nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%v events still wait %v after the load", queued, catchUpTime)
		}
	}
}
