package traffic

import (
	"context"
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/content"
	"sluice/internal/event"
	"sluice/internal/page"
	"sluice/internal/policy"
	"sluice/internal/scan"
	"sluice/internal/spool"
	"sluice/internal/tx"
)

// Snapshot is one revision of the settings, compiled for the data path. It is
// immutable and shared by all transactions that began while it was in force.
type Snapshot struct {
	Revision string // hash of the settings
	Policy   *policy.Policy
	Walker   *content.Walker
	Chain    *scan.Chain
	Pages    *page.Set
	Fail     FailPolicy
	// BodyLimit is the largest body that is taken in for scanning, in bytes.
	BodyLimit int64
	// TimeLimit bounds scanning one message, its arrival not counted.
	TimeLimit time.Duration
}

// Log takes one event per transaction. It must not block.
type Log interface {
	Traffic(e *event.Traffic)
}

// bytesPerReport is the room in the cache for one report: a few objects.
const bytesPerReport = 2 << 10

// Config is what an Engine is made of.
type Config struct {
	Node    string // stands on pages
	Version string // stands on pages
	Log     Log
	// Spool keeps bodies that Sluice makes itself.
	Spool *spool.Store
	// Panic is told of a fault that was caught while judging; nil is silent.
	Panic func(what string, stack []byte)
	// CachedReports bounds how many bodies are remembered with what was found
	// in them; 0 remembers none.
	CachedReports int
	// ReportAge is how long such a body is remembered; 0 for as long as the
	// engines tell of no change. It bounds what an engine costs whose database
	// changes unseen.
	ReportAge time.Duration
}

// Engine is the pipeline. It implements tx.Engine and is safe for concurrent use.
type Engine struct {
	cfg     Config
	snap    atomic.Pointer[Snapshot]
	reports *scan.Cache[*report] // nil: none are remembered
	seed    maphash.Seed
	walks   chan struct{} // one token per body that is being taken apart
	judges  sync.Pool
	stats   Stats
}

// New makes a pipeline that judges by snap until Swap.
func New(cfg Config, snap *Snapshot) (*Engine, error) {
	e := &Engine{cfg: cfg, seed: maphash.MakeSeed(), walks: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
	if cfg.CachedReports > 0 {
		reports, err := scan.NewCache(scan.CacheConfig[*report]{
			Entries: cfg.CachedReports, Bytes: int64(cfg.CachedReports) * bytesPerReport, MaxAge: cfg.ReportAge, SizeOf: reportSize,
		})
		if err != nil {
			return nil, fmt.Errorf("remember reports: %w", err)
		}
		e.reports = reports
	}
	e.judges.New = func() any { return new(judge) }
	e.snap.Store(snap)
	return e, nil
}

// Swap puts another snapshot in force. Transactions that began before keep theirs.
func (e *Engine) Swap(snap *Snapshot) { e.snap.Store(snap) }

// Snapshot is the one in force.
func (e *Engine) Snapshot() *Snapshot { return e.snap.Load() }

// Stats are the pipeline's counters.
func (e *Engine) Stats() *Stats { return &e.stats }

// Begin pins the snapshot and starts a judge for the transaction.
func (e *Engine) Begin(_ context.Context, t *tx.Transaction) tx.Judge {
	j := e.judges.Get().(*judge)
	j.begin(e, t)
	return j
}
