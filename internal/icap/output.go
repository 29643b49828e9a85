package icap

import (
	"io"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"sluice/internal/tx"
)

// maxWrite is how many bytes are written under one deadline.
const maxWrite = 256 << 10

// flush writes what was collected.
func (x *exchange) flush() error {
	if len(x.out) == 0 {
		return nil
	}
	x.mark = -1
	err := x.c.write(x.out)
	x.out = (*x.box)[:0] // a larger one, made for a long page, is not kept
	return err
}

// put collects p, or writes it together with what was collected when it is too
// large to collect.
func (x *exchange) put(p []byte) error {
	if len(x.out)+len(p) <= cap(x.out) {
		x.out = append(x.out, p...)
		return nil
	}
	x.mark = -1
	for len(p) > 0 {
		part := p[:min(len(p), maxWrite)]
		p = p[len(part):]
		if len(x.out) == 0 {
			if err := x.c.write(part); err != nil {
				return err
			}
			continue
		}
		if err := x.c.setWriteDeadline(); err != nil {
			return err
		}
		x.pair = [2][]byte{x.out, part}
		x.vec = net.Buffers(x.pair[:])
		_, err := x.vec.WriteTo(x.c.nc)
		x.out = (*x.box)[:0]
		if err != nil {
			return err
		}
	}
	return nil
}

// putChunk writes p as one chunk (RFC 9112 section 7.1); nothing when p is empty.
func (x *exchange) putChunk(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := x.putChunkHead(int64(len(p))); err != nil {
		return err
	}
	if err := x.put(p); err != nil {
		return err
	}
	x.sent += int64(len(p))
	return x.put(crlf)
}

var (
	crlf      = []byte("\r\n")
	lastChunk = []byte("0\r\n\r\n")
)

func (x *exchange) putChunkHead(n int64) error {
	if cap(x.out)-len(x.out) < 20 {
		if err := x.flush(); err != nil {
			return err
		}
	}
	x.out = strconv.AppendInt(x.out, n, 16)
	x.out = append(x.out, crlf...)
	return nil
}

// putContent writes the bytes of ct from offset from on as one chunk.
func (x *exchange) putContent(ct tx.Content, from int64) error {
	n := ct.Size() - from
	if n <= 0 {
		return nil
	}
	if b, ok := ct.Bytes(); ok {
		return x.putChunk(b[from:])
	}
	if err := x.putChunkHead(n); err != nil {
		return err
	}
	if err := x.copyContent(ct, from, n); err != nil {
		return err
	}
	x.sent += n
	return x.put(crlf)
}

// copyContent writes n bytes of ct, by sendfile where both ends allow it.
func (x *exchange) copyContent(ct tx.Content, from, n int64) error {
	if f, ok := ct.File(); ok && x.c.raw != nil {
		if err := x.flush(); err != nil {
			return err
		}
		return x.c.sendFile(int(f.Fd()), from, n)
	}
	box := x.c.srv.buffers.get(largeBuffer)
	defer x.c.srv.buffers.put(box)
	for n > 0 {
		p := (*box)[:min(n, int64(len(*box)))]
		if _, err := io.ReadFull(io.NewSectionReader(ct, from, int64(len(p))), p); err != nil {
			return err
		}
		if err := x.put(p); err != nil {
			return err
		}
		from, n = from+int64(len(p)), n-int64(len(p))
	}
	return nil
}

// sendFile lets the kernel move n bytes of file to the socket.
func (c *conn) sendFile(file int, from, n int64) error {
	for n > 0 {
		if err := c.setWriteDeadline(); err != nil {
			return err
		}
		part, left := min(n, maxWrite), 0
		var sendErr error
		left = int(part)
		err := c.raw.Write(func(socket uintptr) bool {
			for left > 0 {
				m, err := unix.Sendfile(int(socket), file, &from, left)
				if m > 0 {
					left -= m
				}
				switch {
				case err == unix.EINTR:
				case err == unix.EAGAIN:
					return false
				case err != nil:
					sendErr = err
					return true
				case m == 0:
					sendErr = io.ErrUnexpectedEOF
					return true
				}
			}
			return true
		})
		if err == nil {
			err = sendErr
		}
		if err != nil {
			return err
		}
		n -= part
	}
	return nil
}
