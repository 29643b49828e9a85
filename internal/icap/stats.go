package icap

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats is what a Server counted since it was made.
type Stats struct {
	Connections int64  // open now
	Resting     int64  // of these, idle ones that hold no buffers
	Accepted    uint64 // connections ever, refused ones included
	Handshakes  uint64 // TLS handshakes that failed
	Panics      uint64 // connections cut because of a fault of ours
	// Requests by ICAP method, Answers by ICAP status ("100" included).
	Requests map[string]uint64
	Answers  map[int]uint64
	// Refusals by reason: "bad-header", "too-slow", "forbidden-client", ...
	Refusals map[string]uint64
	// UnknownHeaders counts ICAP header names that nothing reads, which often
	// are misspelt ones; at most 64 names are kept.
	UnknownHeaders map[string]uint64
	// Cut counts answers whose end was withheld: a body that began early
	// turned out bad, or its sender broke off.
	Cut uint64
}

// statuses are the ICAP statuses that the server answers with.
var statuses = [...]int{100, 200, 204, 206, 400, 403, 404, 405, 408, 500, 501, 503, 505}

const maxUnknownHeaders = 64

type counters struct {
	connections atomic.Int64
	resting     atomic.Int64
	accepted    atomic.Uint64
	handshakes  atomic.Uint64
	panics      atomic.Uint64
	cut         atomic.Uint64
	requests    [numMethods]atomic.Uint64
	answers     [len(statuses)]atomic.Uint64
	refusals    [numKinds]atomic.Uint64

	// unknown is replaced as a whole when a new name comes, so that counting
	// a known one takes no lock.
	unknown   atomic.Pointer[map[string]*atomic.Uint64]
	unknownMu sync.Mutex
}

func (s *counters) answered(status int) {
	for i, st := range statuses {
		if st == status {
			s.answers[i].Add(1)
			return
		}
	}
}

// note counts an ICAP header name that nothing reads.
func (s *counters) note(name []byte) {
	name = name[:min(len(name), 64)]
	if m := s.unknown.Load(); m != nil {
		if n := (*m)[string(name)]; n != nil {
			n.Add(1)
			return
		}
		if len(*m) >= maxUnknownHeaders {
			return
		}
	}
	s.unknownMu.Lock()
	defer s.unknownMu.Unlock()
	next := map[string]*atomic.Uint64{}
	if m := s.unknown.Load(); m != nil {
		next = maps.Clone(*m)
	}
	if next[string(name)] == nil {
		if len(next) >= maxUnknownHeaders {
			return
		}
		next[string(name)] = new(atomic.Uint64)
	}
	next[string(name)].Add(1)
	s.unknown.Store(&next)
}

// Stats returns the counters of this moment.
func (s *Server) Stats() Stats {
	c := &s.stats
	st := Stats{
		Connections: c.connections.Load(), Resting: c.resting.Load(), Accepted: c.accepted.Load(), Handshakes: c.handshakes.Load(),
		Panics: c.panics.Load(), Cut: c.cut.Load(),
		Requests: map[string]uint64{}, Answers: map[int]uint64{}, Refusals: map[string]uint64{}, UnknownHeaders: map[string]uint64{},
	}
	for m := range numMethods {
		st.Requests[methodNames[m]] = c.requests[m].Load()
	}
	for i, status := range statuses {
		st.Answers[status] = c.answers[i].Load()
	}
	for k := range numKinds {
		st.Refusals[kinds[k].name] = c.refusals[k].Load()
	}
	if m := c.unknown.Load(); m != nil {
		for name, n := range *m {
			st.UnknownHeaders[name] = n.Load()
		}
	}
	return st
}
