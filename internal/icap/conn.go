package icap

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

// linger is how long an idle connection keeps its buffers, and how long a
// connection that is closed after an error waits for its peer to notice.
const linger = time.Second

// errQuiet ends a connection without an answer and without a word: the peer
// went away or stayed idle.
var errQuiet = errors.New("icap: connection is over")

// conn is one connection of a client. Everything but busy and nc's deadlines
// belongs to its goroutine.
type conn struct {
	srv  *Server
	nc   net.Conn
	raw  syscall.RawConn // for sendfile; nil under TLS
	peer netip.Addr
	busy atomic.Bool
	x    *exchange // nil while idle for long
	one  [1]byte

	readBy, writeBy time.Time // the deadlines in force, set coarsely
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, peer: peerAddr(nc)}
	if sc, ok := nc.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn() // without it bodies are copied
	}
	return c
}

// serve runs the connection to its end.
func (c *conn) serve() {
	defer func() {
		if p := recover(); p != nil {
			c.srv.stats.panics.Add(1)
			c.srv.config().Log.Error("icap: connection failed", "peer", c.peer, "panic", p, "stack", string(debug.Stack()))
		}
		_ = c.nc.Close() // nothing is left to be done about it
		c.giveBack()
	}()
	if !c.handshake() {
		return
	}
	for c.await() {
		if !c.x.handle() {
			return
		}
	}
}

// handshake makes TLS ready within the header timeout.
func (c *conn) handshake() bool {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return true
	}
	ctx, cancel := context.WithTimeout(c.srv.ctx, c.srv.config().Timeouts.Header)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.srv.stats.handshakes.Add(1)
		return false
	}
	return true
}

// await waits until bytes of the next request are there; false ends the
// connection. After a while it gives the buffers back and waits for one byte.
func (c *conn) await() bool {
	if c.x != nil && c.x.in.len() > 0 {
		return len(c.x.out) < smallBuffer/2 || c.x.flush() == nil
	}
	if c.x != nil && c.x.flush() != nil {
		return false
	}
	// The others first: by our next turn the next request is often there, and
	// reading it then takes one system call instead of two and a wait.
	runtime.Gosched()
	c.busy.Store(false)
	defer c.busy.Store(true)
	if c.srv.draining.Load() {
		return false
	}
	idle := c.srv.config().Timeouts.Idle
	now := time.Now()
	if c.x != nil {
		c.x.in.begin()
		n, err := c.read(c.srv.ctx, c.x.in.buf, now.Add(min(linger, idle)))
		c.x.in.w = n
		if n > 0 {
			return true
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.srv.draining.Load() {
			return false
		}
		c.giveBack()
	}
	c.srv.stats.resting.Add(1)
	defer c.srv.stats.resting.Add(-1)
	n, err := c.read(c.srv.ctx, c.one[:], now.Add(idle))
	if n == 0 || err != nil {
		return false
	}
	c.take()
	c.x.in.w = copy(c.x.in.buf, c.one[:])
	return true
}

func (c *conn) take() {
	c.x = c.srv.getExchange()
	c.x.open(c)
}

func (c *conn) giveBack() {
	if c.x != nil {
		c.x.close()
		c.srv.putExchange(c.x)
		c.x = nil
	}
}

// read reads into p until the deadline. Setting a deadline costs a system-wide
// timer, so one that is at most a quarter early (a second at the most) is kept;
// one that fires before its time is set again. Shutdown wakes idle connections
// by such a deadline, Body.All's context wakes the others.
func (c *conn) read(ctx context.Context, p []byte, until time.Time) (int, error) {
	for range 100 {
		if early := until.Sub(c.readBy); early < 0 || early > linger/4 {
			c.readBy = until
			if err := c.nc.SetReadDeadline(until); err != nil {
				return 0, err
			}
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n, err := c.nc.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return 0, err
			}
			c.readBy = time.Time{}
			if !time.Now().Before(until.Add(-linger/4)) || !c.busy.Load() && c.srv.draining.Load() {
				return 0, err
			}
		}
	}
	return 0, io.ErrNoProgress
}

// write writes p whole, or fails.
func (c *conn) write(p []byte) error {
	if err := c.setWriteDeadline(); err != nil {
		return err
	}
	_, err := c.nc.Write(p)
	return err
}

// setWriteDeadline gives the next write its time; one that is at most a quarter
// short is kept.
func (c *conn) setWriteDeadline() error {
	wait := c.srv.config().Timeouts.Write
	until := time.Now().Add(wait)
	if until.Sub(c.writeBy) <= wait/4 {
		return nil
	}
	c.writeBy = until
	return c.nc.SetWriteDeadline(until)
}

// lingerClose tells the peer that nothing more comes, and throws away what it
// still sends for a moment: closing at once would reset the connection and
// could take the answer with it (RFC 9112 section 9.6).
func (c *conn) lingerClose() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(linger)
	if c.nc.SetReadDeadline(end) != nil {
		return
	}
	buf := c.srv.buffers.get(smallBuffer)
	defer c.srv.buffers.put(buf)
	for range 1024 {
		if _, err := c.nc.Read(*buf); err != nil || c.srv.ctx.Err() != nil {
			return
		}
	}
}

func peerAddr(nc net.Conn) netip.Addr {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
