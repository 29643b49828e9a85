package icap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

// maxRefusing is how many refused connections are told why at the same time;
// more are just closed.
const maxRefusing = 64

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("icap: server closed")

// Server serves ICAP on any number of listeners. It is safe for concurrent use.
type Server struct {
	engine   tx.Engine
	store    *spool.Store
	cfg      atomic.Pointer[Config]
	stats    counters
	buffers  bufferPool
	idle     sync.Pool // of *exchange
	ctx      context.Context
	cut      context.CancelFunc
	draining atomic.Bool
	refusing atomic.Int32

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	running   sync.WaitGroup // connections
}

// NewServer checks cfg and returns a server that serves nothing yet.
func NewServer(engine tx.Engine, store *spool.Store, cfg Config) (*Server, error) {
	s := &Server{engine: engine, store: store, listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{}}
	if err := s.SetConfig(cfg); err != nil {
		return nil, err
	}
	s.ctx, s.cut = context.WithCancel(context.Background())
	return s, nil
}

// SetConfig replaces the configuration as a whole. Requests that run keep the
// one they began with; open connections stay, whatever ClientNetworks says now.
func (s *Server) SetConfig(cfg Config) error {
	checked, err := cfg.checked()
	if err != nil {
		return err
	}
	s.cfg.Store(checked)
	return nil
}

func (s *Server) config() *Config { return s.cfg.Load() }

// Serve accepts connections from l until Shutdown, and then returns
// ErrServerClosed. It closes l. For ICAP over TLS, l is a tls.NewListener.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		return errors.Join(ErrServerClosed, l.Close())
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		_ = l.Close() // Shutdown may have been first
	}()
	pause := 5 * time.Millisecond
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			s.admit(nc)
		case s.draining.Load():
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of file descriptors, mostly: others will be closed
			s.config().Log.Warn("icap: accept failed", "err", err)
			select {
			case <-s.ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
		}
	}
}

// admit starts a connection, or refuses it.
func (s *Server) admit(nc net.Conn) {
	s.stats.accepted.Add(1)
	cfg := s.config()
	c := newConn(s, nc)
	switch {
	case c.peer.IsValid() && !allowed(cfg.ClientNetworks, c.peer):
		s.turnAway(c, forbiddenClient)
		return
	case s.stats.connections.Load() >= int64(cfg.MaxConnections):
		s.turnAway(c, overloaded)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		_ = nc.Close() // never used
		return
	}
	s.conns[c] = struct{}{}
	s.stats.connections.Add(1)
	s.running.Go(func() {
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		s.stats.connections.Add(-1)
	})
}

// allowed tells whether addr is in one of the networks.
func allowed(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// turnAway tells a client why it is refused, where that costs next to nothing.
func (s *Server) turnAway(c *conn, k kind) {
	s.stats.refusals[k].Add(1)
	if c.raw == nil || s.refusing.Add(1) > maxRefusing {
		if c.raw != nil {
			s.refusing.Add(-1)
		}
		_ = c.nc.Close() // under TLS the reason would cost a handshake
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		s.refusing.Add(-1)
		_ = c.nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.running.Go(func() {
		defer func() {
			_ = c.nc.Close() // done with it
			s.refusing.Add(-1)
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
		if c.write(s.turnedAway(kinds[k].status)) == nil {
			s.stats.answered(kinds[k].status)
			c.lingerClose()
		}
	})
}

// turnedAway is the answer to a connection that is refused as such.
func (s *Server) turnedAway(status int) []byte {
	b := append([]byte("ICAP/1.0 "+strconv.Itoa(status)+" "+phrase(status)+"\r\nISTag: \""), appendTag(nil, s.config().ISTag())...)
	return append(b, "\"\r\nConnection: close\r\nEncapsulated: null-body=0\r\n\r\n"...)
}

// Shutdown stops accepting, closes idle connections, lets running requests come
// to their end (answered with "Connection: close"), and cuts what is left when
// ctx ends, whose error it then returns. No goroutine of the server is left
// when it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	for l := range s.listeners {
		_ = l.Close() // Serve closes it too
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	wake := time.NewTicker(10 * time.Millisecond)
	defer wake.Stop()
	for {
		s.wakeIdle()
		select {
		case <-done:
			s.cut()
			return nil
		case <-ctx.Done():
			s.cutAll()
			<-done
			return ctx.Err()
		case <-wake.C:
		}
	}
}

// wakeIdle makes idle connections look whether they shall close. One that just
// sets its own deadline may miss it, so it is repeated.
func (s *Server) wakeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if !c.busy.Load() {
			_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // a closed one needs no waking
		}
	}
}

func (s *Server) cutAll() {
	s.cut()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.nc.Close() // on purpose in the middle
	}
}

func (s *Server) getExchange() *exchange {
	if x, ok := s.idle.Get().(*exchange); ok {
		return x
	}
	return new(exchange)
}

func (s *Server) putExchange(x *exchange) { s.idle.Put(x) }
