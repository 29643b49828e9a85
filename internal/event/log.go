package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"sluice/internal/tx"
)

// Config describes where events go. Zero values mean the defaults given here.
type Config struct {
	// Dir holds the queue and, with a supervised engine, its data. One process
	// at a time uses it.
	Dir string
	// Engine is the base URL of an external VictoriaLogs, with name and
	// password where it wants them; empty runs Binary as a child.
	Engine string
	// Binary is the path of the engine program.
	Binary string

	// RetentionDays and RetentionBytes bound what a supervised engine keeps;
	// the older goes first. 0 means 30 days and no bound on bytes. The engine
	// deletes whole days and never the last two, so that RetentionBytes is no
	// hard bound.
	RetentionDays  int
	RetentionBytes int64

	// QueueMemory and QueueDisk bound what waits for the engine, in bytes:
	// 64 MiB and 2 GiB. What comes when both are full is dropped and counted.
	QueueMemory, QueueDisk int64

	// EngineMemory is the soft memory limit of a supervised engine in bytes
	// (256 MiB), EngineProcs how many CPUs it may use at once (0: all),
	// EngineNice its priority (10, so that traffic goes first).
	EngineMemory int64
	EngineProcs  int
	EngineNice   int

	// Node is this node's name in events.
	Node string
	Log  *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.QueueMemory, 64<<20)
	set(&c.QueueDisk, 2<<30)
	set(&c.EngineMemory, 256<<20)
	if c.RetentionDays <= 0 {
		c.RetentionDays = 30
	}
	if c.EngineNice == 0 {
		c.EngineNice = 10
	}
	if c.Node == "" {
		c.Node = "node"
	}
	if c.Log == nil {
		c.Log = discard()
	}
	return c
}

// maxScratch bounds the buffers that are kept for encoding, in bytes.
const maxScratch = 32 << 10

// Log is the traffic log and the system log of one node. Its methods are safe
// for concurrent use.
type Log struct {
	cfg     Config
	in      *intake
	store   *store
	engine  *engine
	ship    *shipper
	client  *client
	packer  packer    // of the writer
	scratch sync.Pool // *[]byte
	traffic string    // what follows the id in a line
	system  string

	stopShip context.CancelFunc
	writing  sync.WaitGroup
	shipping sync.WaitGroup
	closing  sync.Once
	closeErr error
	stopped  chan struct{} // closed: the writer is to end
}

// Open starts the log. It does not wait for the engine. What a former run left
// in the queue is shipped first. Ending ctx does not end the log; Close does.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if cfg.Dir == "" {
		return nil, errors.New("event log: no directory is configured")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	cfg.Dir = dir
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	store, left, err := openStore(filepath.Join(cfg.Dir, "queue"), cfg.QueueDisk)
	if err != nil {
		return nil, err
	}
	engine, err := newEngine(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, store.finish(nil))
	}
	l := &Log{cfg: cfg, in: newIntake(cfg.QueueMemory / 4), store: store, engine: engine, stopped: make(chan struct{})}
	l.scratch.New = func() any { b := make([]byte, 0, 4<<10); return &b }
	l.traffic = headTail(KindTraffic, cfg.Node)
	l.system = headTail(KindSystem, cfg.Node)
	l.ship = newShipper(store, engine, cfg.QueueMemory/4*3, l.System)
	l.client = l.ship.client
	for _, seg := range left {
		l.ship.push(&chunk{seg: seg, size: seg.size, suspect: true})
	}
	var shipping context.Context
	shipping, l.stopShip = context.WithCancel(context.WithoutCancel(ctx))
	l.writing.Go(l.write)
	l.shipping.Go(func() { l.ship.run(shipping) })
	return l, nil
}

func headTail(k Kind, node string) string {
	return string(appendField([]byte(`","kind":"`+string(k)+`"`), `,"node":"`, node, maxName))
}

// Traffic records one exchange. It never waits for a disk or the engine, never
// fails, does not allocate for ASCII values, and keeps nothing of e.
func (l *Log) Traffic(e *Traffic) {
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	p := l.scratch.Get().(*[]byte)
	*p = e.appendLine((*p)[:0], at, l.traffic)
	l.in.add(*p, at.UnixNano())
	if cap(*p) <= maxScratch {
		l.scratch.Put(p)
	}
}

// System records an event about Sluice itself. Like Traffic it never waits.
func (l *Log) System(e System) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	l.in.add(e.appendLine(nil, tx.NewID(e.Time), l.system), e.Time.UnixNano())
}

// write packs batches, stores them and hands them to the shipper until the log
// is closed.
func (l *Log) write() {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	var batches []*batch
	for {
		stopped := false
		select {
		case <-l.in.full:
		case <-l.in.some:
			t.Reset(maxAge)
			select {
			case <-t.C:
			case <-l.in.full:
			case <-l.stopped:
			}
		case <-l.stopped:
			stopped = true
		}
		batches = l.in.take(batches[:0])
		for _, b := range batches {
			l.keep(b)
		}
		clear(batches)
		l.reportLoss()
		if stopped {
			return
		}
	}
}

// keep packs and stores one batch and hands it on.
func (l *Log) keep(b *batch) {
	frame := l.packer.pack(b.buf)
	c := &chunk{seq: b.seq, lines: b.lines, from: b.from, to: b.to, frame: frame, size: int64(len(frame))}
	l.in.recycle(b)
	_ = l.store.write(c, time.Now()) // else it is in memory only; Health tells
	if !l.ship.push(c) {
		l.in.lose(uint64(c.lines), c.from, c.to)
	}
}

// reportLoss turns lines that had to be dropped into a system event.
func (l *Log) reportLoss() {
	d := l.in.unreported()
	if d.lines == 0 {
		return
	}
	_, err := l.store.state()
	why := "the queue in memory was full"
	if err != nil {
		why = err.Error()
	}
	l.System(System{
		Severity: Critical, Code: "events-dropped",
		Text: "Events had to be dropped because the queue was full.",
		Attributes: []Attribute{
			{"lines", strconv.FormatUint(d.lines, 10)},
			{"from", time.Unix(0, d.from).UTC().Format(time.RFC3339Nano)},
			{"to", time.Unix(0, d.to).UTC().Format(time.RFC3339Nano)},
			{"cause", why},
		},
	})
}

// Flush returns once the engine has everything that was logged before the call
// and finds it in queries, or ctx ends.
func (l *Log) Flush(ctx context.Context) error {
	last := l.in.last()
	notify(l.in.full)
	if err := l.ship.wait(ctx, last); err != nil {
		return fmt.Errorf("flush events: %w", err)
	}
	at, ok := l.engine.current()
	if !ok {
		return nil
	}
	if err := l.client.show(ctx, at); err != nil && !l.engine.external {
		return err
	}
	return nil
}

// Close writes what is in memory to disk, ships what it can in the time that
// ctx gives and at most two seconds, and ends a supervised engine. What was not
// shipped stays on disk for the next run.
func (l *Log) Close(ctx context.Context) error {
	l.closing.Do(func() { l.closeErr = l.close(ctx) })
	return l.closeErr
}

func (l *Log) close(ctx context.Context) error {
	l.in.close()
	close(l.stopped)
	l.writing.Wait()
	if _, ok := l.engine.current(); ok {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		_ = l.ship.wait(short, l.in.last()) // the rest stays on disk
		cancel()
	}
	l.stopShip()
	l.shipping.Wait()
	at, _ := l.engine.current()
	stopErr := l.engine.close(ctx)
	if now, _ := l.engine.current(); stopErr == nil && now.generation == at.generation {
		// It ended in order, so all that it took is on its disk.
		l.ship.settleWhere(func(c *chunk) bool { return c.generation == at.generation })
	}
	l.client.http.CloseIdleConnections()
	left := slices.Concat(l.ship.unsettled, l.ship.pending)
	inMemory := 0
	for _, c := range left {
		if c.seg == nil {
			inMemory += c.lines
		}
	}
	err := l.store.finish(left)
	if inMemory > 0 {
		err = errors.Join(err, fmt.Errorf("close event log: %d events could neither be shipped nor written to disk", inMemory))
	}
	return err
}
