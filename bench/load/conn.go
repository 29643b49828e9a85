package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one keep-alive connection. It is used by the loop's one thread.
type conn struct {
	fd       int
	index    int
	requests []request
	turn     int
	reply    reply

	busy     bool
	answered bool
	began    time.Time // when the exchange began, or was due
	out      []byte    // to be written before rest
	rest     rest      // what is left of the body
	sending  bool      // whether rest may go out
	waits    bool      // for the socket to take more
	want     uint32    // what epoll was asked for
}

// dial connects to "host:port" or "unix:/path".
func dial(addr string) (int, error) {
	fd, sa, err := socket(addr)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, sa); err != nil {
		return -1, errors.Join(fmt.Errorf("connecting to %s: %w", addr, err), unix.Close(fd))
	}
	return fd, unix.SetNonblock(fd, true)
}

func socket(addr string) (int, unix.Sockaddr, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return fd, &unix.SockaddrUnix{Name: path}, err
	}
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return -1, nil, err
	}
	ip, ok := netip.AddrFromSlice(tcp.IP.To4())
	if !ok {
		return -1, nil, fmt.Errorf("%s is not an IPv4 address", addr)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, err
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return fd, &unix.SockaddrInet4{Port: tcp.Port, Addr: ip.As4()}, err
}

// begin starts the next exchange. It counts from due.
func (c *conn) begin(stamp uint64, due time.Time) error {
	q := &c.requests[c.turn]
	c.turn = (c.turn + 1) % len(c.requests)
	if q.stamp != nil {
		setStamp(q.stamp, stamp)
	}
	c.busy, c.answered, c.began = true, false, due
	c.out, c.rest, c.sending = q.first, q.rest, !q.asks
	c.reply.reset()
	return c.write()
}

// write sends what the socket takes.
func (c *conn) write() error {
	c.waits = false
	for len(c.out) > 0 || c.sending && c.nextOut() {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case errors.Is(err, unix.EAGAIN):
			c.waits = true
			return nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("sending: %w", err)
		default:
			c.out = c.out[n:]
		}
	}
	return nil
}

// nextOut takes the next part of rest.
func (c *conn) nextOut() bool {
	switch {
	case c.rest.times > 0:
		c.rest.times--
		c.out = c.rest.unit
	case len(c.rest.tail) > 0:
		c.out, c.rest.tail = c.rest.tail, nil
	default:
		return false
	}
	return true
}

// read takes in what has arrived.
func (c *conn) read(buf []byte) error {
	n, err := unix.Read(c.fd, buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("receiving: %w", err)
	case n == 0:
		return io.ErrUnexpectedEOF
	}
	for b := buf[:n]; len(b) > 0; {
		if !c.busy || c.answered {
			return fmt.Errorf("%d bytes that nobody asked for, beginning %.40q", len(b), b)
		}
		var p progress
		if b, p, err = c.reply.feed(b); err != nil {
			return err
		}
		switch p {
		case goOn:
			c.sending = true
			if err := c.write(); err != nil {
				return err
			}
		case answer:
			c.answered = true
		case more:
		}
	}
	return nil
}

// finished tells whether the answer is whole and nothing waits to be sent: an
// early answer does not end the exchange while the body is on its way.
func (c *conn) finished() bool {
	return c.answered && len(c.out) == 0 && (!c.sending || c.rest.empty())
}
