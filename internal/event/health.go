package event

// Health is the state of the event log at one moment.
type Health struct {
	EngineRunning  bool   // an external engine counts as running until it fails
	EnginePID      int    // 0 for an external one
	EngineRestarts int    // since Open
	QueuedLines    uint64 // not yet taken by the engine, as far as known
	QueuedBytes    int64  // of these, packed
	MemoryBytes    int64  // of these, in memory
	DiskBytes      int64  // of the queue, with what waits to be settled
	Recorded       uint64 // events accepted since Open
	Dropped        uint64 // events dropped since Open because the queue was full
	LostBytes      uint64 // that could not be read back from the queue
	LastError      string // of the engine, or of writing to disk; empty when all is well
}

// Health tells how the event log is.
func (l *Log) Health() Health {
	var h Health
	var err error
	h.EngineRunning, h.EnginePID, h.EngineRestarts, err = l.engine.state()
	s := l.ship
	s.mu.Lock()
	for _, c := range s.pending {
		h.QueuedLines += uint64(c.lines)
		h.QueuedBytes += c.size
	}
	if err == nil {
		err = s.lastErr
	}
	if s.failing && l.engine.external {
		h.EngineRunning = false
	}
	h.LostBytes = s.lost
	s.mu.Unlock()
	h.MemoryBytes = s.held.Load()
	in := l.in
	in.mu.Lock()
	h.Recorded = in.total
	h.Dropped = in.lost
	if in.cur != nil {
		h.QueuedLines += uint64(in.cur.lines)
		h.QueuedBytes += int64(len(in.cur.buf))
	}
	in.mu.Unlock()
	var diskErr error
	h.DiskBytes, diskErr = l.store.state()
	if diskErr != nil {
		err = diskErr
	}
	if err != nil {
		h.LastError = err.Error()
	}
	return h
}
