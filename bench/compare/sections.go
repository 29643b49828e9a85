package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// section is a part of the comparison with services of its own.
type section struct {
	name string
	run  func(context.Context, *bench) error
}

var sections = []section{
	{"hash", hashSection},
	{"latency", latencySection},
	{"clamd", clamdSection},
	{"connections", connectionsSection},
	{"squid", squidSection},
	{"code", codeSection},
}

// fields are the requests' URLs by service.
const (
	echoURL    = "icap://" + cicapAddr + "/echo"
	scanURL    = "icap://" + cicapAddr + "/avscan"
	scan2URL   = "icap://" + cicap2Addr + "/avscan"
	respmodURL = "icap://" + nodeAddr + "/respmod"
	reqmodURL  = "icap://" + nodeAddr + "/reqmod"
)

func peer(p *process, url, helpers string) contender {
	return contender{name: "c-icap", args: []string{"-addr", cicapAddr, "-url", url}, watch: fmt.Sprintf("peer=%d%s", p.pid(), helpers)}
}

func (n *node) tcp(url, helpers string) contender {
	return contender{name: "Sluice", args: []string{"-addr", nodeAddr, "-url", url}, watch: fmt.Sprintf("node=%d%s", n.pid(), helpers), node: n}
}

func (n *node) socket(url string) contender {
	c := n.tcp(url, "")
	c.name, c.args[1] = "Sluice, Unix socket", "unix:"+n.unix
	return c
}

// both starts c-icap and a node, clamd beside them when it is asked for.
func (b *bench) both(ctx context.Context, withClamd bool) (*process, *node, *process, error) {
	var clamd *process
	socket := ""
	var err error
	if withClamd {
		if clamd, socket, err = startClamd(ctx, b.dir, b.mem); err != nil {
			return nil, nil, nil, err
		}
		b.running = append(b.running, clamd)
	}
	c, err := startCicap(ctx, b.dir, cicapAddr, filepath.Join(b.dir, "tmp"), socket)
	if err != nil {
		return nil, nil, nil, err
	}
	b.running = append(b.running, c)
	n, err := startNode(ctx, b.config, socket)
	if err != nil {
		return nil, nil, nil, err
	}
	b.running = append(b.running, n.process)
	return c, n, clamd, nil
}

func hashSection(ctx context.Context, b *bench) error {
	c, n, _, err := b.both(ctx, false)
	if err != nil {
		return err
	}
	small := []contender{peer(c, echoURL, ""), n.tcp(respmodURL, "")}
	r, err := b.rounds(ctx, small, "-mode", "respmod", "-size", "1024")
	if err != nil {
		return err
	}
	b.table.compare("RESPMOD 1 KiB, preview 1024, 32 connections", "req/s", r, perSecond, atLeast(1))
	b.table.compare("the same, CPU without the event engine", "µs", r, serviceUs, atMost(1))
	b.table.alone("the same, CPU until every event is stored", "µs", r[1], wholeUs, none())
	b.table.alone("the same, the log is complete this long after the load", "s", r[1], behindBy, none())
	b.table.detail("RESPMOD 1 KiB", small, r)
	b.peak = median(r[1], perSecond)

	reqmod := []contender{peer(c, echoURL, ""), n.tcp(reqmodURL, ""), n.socket(reqmodURL)}
	if r, err = b.rounds(ctx, reqmod, "-mode", "reqmod"); err != nil {
		return err
	}
	b.table.compare("REQMOD -> 204, full policy, CPU", "µs", r[:2], serviceUs, atMost(0.75))
	b.table.compare("the same over a Unix socket, CPU", "µs", [][]outcome{r[0], r[2]}, serviceUs, atMost(0.5))
	b.table.compare("REQMOD -> 204", "req/s", r[:2], perSecond, none())
	b.table.detail("REQMOD", reqmod, r)
	return b.large(ctx, small)
}

func (b *bench) large(ctx context.Context, who []contender) error {
	for _, l := range []struct {
		name string
		size int
	}{{"64 KiB", 64 << 10}, {"1 MiB", 1 << 20}} {
		r, err := b.rounds(ctx, who, "-mode", "respmod", "-size", strconv.Itoa(l.size))
		if err != nil {
			return err
		}
		b.table.compare("RESPMOD "+l.name+", 204 allowed", "MB/s", r, megabytes, atLeast(1))
		b.table.detail("RESPMOD "+l.name, who, r)
		if r, err = b.rounds(ctx, who, "-mode", "respmod", "-size", strconv.Itoa(l.size), "-preview", "-1", "-allow204=false"); err != nil {
			return err
		}
		b.table.compare("RESPMOD "+l.name+", all sent back (no preview, no 204)", "MB/s", r, megabytes, atLeast(1))
		b.table.detail("RESPMOD "+l.name+", all sent back", who, r)
	}
	return nil
}

// latencySection gives a quarter of the node's peak to both. The node gets it
// once more with its event engine paused, as if that had a processor of its own.
func latencySection(ctx context.Context, b *bench) error {
	c, n, _, err := b.both(ctx, false)
	if err != nil {
		return err
	}
	who := []contender{peer(c, echoURL, ""), n.tcp(respmodURL, ""), n.tcp(respmodURL, "")}
	who[2].name, who[2].paused = "Sluice, event engine paused", true
	if b.peak == 0 { // the hash section was left out
		peak, err := b.load(ctx, slices.Concat([]string{"-mode", "respmod"}, who[1].args)...)
		if err != nil {
			return err
		}
		b.peak = peak.PerSecond
		if _, err := n.catchUp(ctx); err != nil {
			return err
		}
	}
	rate := int(b.peak / 4)
	r, err := b.rounds(ctx, who, "-mode", "respmod", "-rate", strconv.Itoa(rate))
	if err != nil {
		return err
	}
	b.table.compare(fmt.Sprintf("RESPMOD 1 KiB at %d/s, a quarter of Sluice's peak: p99 added", rate), "µs", r[:2], p99, below(1000))
	b.table.compare("the same, the event engine not on the same processor", "µs", [][]outcome{r[0], r[2]}, p99, below(1000))
	b.table.compare("the same, p50", "µs", r[:2], p50, none())
	b.table.detail("RESPMOD 1 KiB at a quarter of the peak", who, r)
	return nil
}

func clamdSection(ctx context.Context, b *bench) error {
	c, n, clamd, err := b.both(ctx, true)
	if err != nil {
		return err
	}
	helper := fmt.Sprintf(",clamd=%d", clamd.pid())
	inMemory, err := startCicap(ctx, b.dir, cicap2Addr, filepath.Join(b.mem, "tmp"), filepath.Join(b.dir, clamdSocket))
	if err != nil {
		return err
	}
	b.running = append(b.running, inMemory)
	second := peer(inMemory, scan2URL, helper)
	second.name, second.args[1] = "c-icap, its files in memory", cicap2Addr
	who := []contender{peer(c, scanURL, helper), n.tcp(respmodURL, helper), second}
	for _, l := range []struct {
		name     string
		size     int
		distinct int
		goal     goal
	}{
		{"1 KiB, every body different", 1 << 10, 0, atLeast(1.5)},
		{"64 KiB, every body different", 64 << 10, 0, none()},
		{"1 KiB, 100 bodies that repeat", 1 << 10, 100, atLeast(10)},
		{"64 KiB, 100 bodies that repeat", 64 << 10, 100, none()},
	} {
		r, err := b.rounds(ctx, who, "-mode", "respmod", "-size", strconv.Itoa(l.size), "-distinct", strconv.Itoa(l.distinct))
		if err != nil {
			return err
		}
		b.table.compare("clamd, RESPMOD "+l.name, "req/s", r[:2], perSecond, l.goal)
		b.table.compare("the same, c-icap's temporary files in memory", "req/s", [][]outcome{r[2], r[1]}, perSecond, none())
		b.table.detail("clamd, "+l.name, who, r)
	}
	return nil
}

const (
	idleConnections = 5000
	idleMore        = 15000 // the difference between the two is what connections take
	bigBodies       = 200
	bigBody         = 100 << 20
)

func connectionsSection(ctx context.Context, b *bench) error {
	n, err := startNode(ctx, b.config, "")
	if err != nil {
		return err
	}
	b.running = append(b.running, n.process)
	watch := fmt.Sprintf("node=%d", n.pid())
	var resident [2]float64
	for i, count := range []int{idleConnections, idleMore} {
		r, err := b.load(ctx, "-mode", "idle", "-addr", nodeAddr, "-url", reqmodURL, "-c", strconv.Itoa(count), "-d", "10s", "-watch", watch)
		if err != nil {
			return err
		}
		resident[i] = float64(r.Watched["node"].RSS)
	}
	b.table.value(fmt.Sprintf("%d idle ICAP connections, resident memory of the node", idleConnections), "MiB", resident[0]/(1<<20), none())
	b.table.value(fmt.Sprintf("each more, up to %d", idleMore), "KiB", (resident[1]-resident[0])/1024/(idleMore-idleConnections), none())
	if _, err := n.catchUp(ctx); err != nil {
		return err
	}
	// All of it is sent back: nothing is spared by a 204.
	big, err := b.load(ctx, "-mode", "respmod", "-addr", nodeAddr, "-url", respmodURL, "-c", strconv.Itoa(bigBodies), "-n", strconv.Itoa(bigBodies),
		"-size", strconv.Itoa(bigBody), "-preview", "1024", "-allow204=false", "-variants", "1", "-d", "10m", "-watch", watch)
	if err != nil {
		return err
	}
	b.table.value(fmt.Sprintf("%d bodies of 100 MiB at once, resident memory at most", bigBodies), "MiB", float64(big.Watched["node"].Peak)/(1<<20), below(512))
	b.table.value("the same, through the node", "MB/s", big.MBPerS, none())
	return os.RemoveAll(b.dir + "/node/spool")
}
