package scan

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	streamChunk = 64 << 10 // bytes of one INSTREAM chunk
	memfdMax    = 8 << 20  // bytes that are copied to a memory file at most
	memfdKept   = 64 << 10 // bytes of a memory file that waits for the next object
	lateAnswer  = time.Second
)

// errStale says that clamd had closed the session before it took the command.
var errStale = errors.New("clamd closed the session")

// session is one IDSESSION with clamd. One command runs at a time: measured
// with random objects of 1 KiB, sessions with FILDES do 5,000 a second where a
// connection each with INSTREAM does 3,000 to 4,000.
type session struct {
	conn   net.Conn
	unix   *net.UnixConn // nil over TCP
	id     uint64        // of the last command
	buf    []byte
	answer []byte // of the last command, and its length
	memory memoryFile
	used   time.Time
}

func openSession(ctx context.Context, d *net.Dialer, network, address string) (*session, error) {
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, answer: make([]byte, 0, maxAnswer)}
	s.unix, _ = conn.(*net.UnixConn)
	s.buf = append(s.buf, "zIDSESSION\x00"...)
	return s, nil
}

// scan runs one command. The session is of no use after an error. It fails with
// errStale only when clamd did not answer a single byte.
func (s *session) scan(ctx context.Context, o *Object) (Result, error) {
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetDeadline(deadline); err != nil {
		return Result{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer s.memory.shrink()
	s.id++
	want, err := s.send(o)
	if err != nil && !closedByPeer(err) {
		return Result{}, err
	}
	if err != nil { // clamd may have said why before it closed
		if err := s.conn.SetReadDeadline(time.Now().Add(lateAnswer)); err != nil {
			return Result{}, err
		}
	}
	if rerr := s.receive(); rerr != nil {
		return Result{}, rerr
	}
	if !stop() {
		return Result{}, ctx.Err()
	}
	r, perr := parseScanAnswer(s.answer, s.id, want)
	if perr == nil && (err != nil || r.Status == OverLimit && r.Threat == "") {
		return r, errSessionOver
	}
	return r, perr
}

// errSessionOver comes with a result: it is good, the session is not.
var errSessionOver = errors.New("clamd ended the session after its answer")

func closedByPeer(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// send picks the cheapest way that the transport and the object have.
func (s *session) send(o *Object) (label, error) {
	if s.unix == nil {
		return labelStream, s.stream(o)
	}
	if f, ok := o.Data.File(); ok {
		// A file of its own: clamd gets neither our offset nor the right to
		// write.
		ro, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return labelFile, fmt.Errorf("open the spooled object for clamd: %w", err)
		}
		return labelFile, errors.Join(s.pass(ro), unix.Close(ro))
	}
	if o.Data.Size() > memfdMax {
		return labelStream, s.stream(o)
	}
	if err := s.memory.set(o); err != nil {
		return labelFile, err
	}
	return labelFile, s.pass(s.memory.fd)
}

// pass sends FILDES with the descriptor.
func (s *session) pass(fd int) error {
	s.buf = append(s.buf, "zFILDES\x00\x00"...)
	_, _, err := s.unix.WriteMsgUnix(s.buf, unix.UnixRights(fd), nil)
	s.buf = s.buf[:0]
	return err
}

func readFull(o *Object, b []byte, off int64) error {
	n, err := o.Data.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s at %d: %w", o.Name, off, err)
}

// stream sends INSTREAM: chunks with their length, ended by an empty one.
func (s *session) stream(o *Object) error {
	s.buf = append(s.buf, "zINSTREAM\x00"...)
	size := o.Data.Size()
	for off := int64(0); off < size; {
		n := int(min(size-off, streamChunk))
		s.buf = binary.BigEndian.AppendUint32(s.buf, uint32(n)) //nolint:gosec // at most streamChunk
		at := len(s.buf)
		s.buf = append(s.buf, make([]byte, n)...)
		if err := readFull(o, s.buf[at:], off); err != nil {
			return err
		}
		if off += int64(n); off < size {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	s.buf = append(s.buf, 0, 0, 0, 0)
	return s.flush()
}

func (s *session) flush() error {
	_, err := s.conn.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// receive reads one answer up to its NUL, which is dropped.
func (s *session) receive() error {
	s.answer = s.answer[:0]
	for {
		n, err := s.conn.Read(s.answer[len(s.answer):cap(s.answer)])
		s.answer = s.answer[:len(s.answer)+n]
		if i := bytes.IndexByte(s.answer, 0); i >= 0 {
			if i != len(s.answer)-1 {
				return badAnswer(s.answer)
			}
			s.answer = s.answer[:i]
			return nil
		}
		switch {
		case err == nil && len(s.answer) == cap(s.answer):
			return badAnswer(s.answer)
		case err == nil:
		case len(s.answer) == 0 && (errors.Is(err, io.EOF) || closedByPeer(err)), string(s.answer) == idleNotice:
			return errStale
		case errors.Is(err, io.EOF):
			return fmt.Errorf("clamd broke off in its answer after %q", s.answer[:min(len(s.answer), 100)])
		default:
			return err
		}
	}
}

func (s *session) close() {
	s.memory.close()
	_ = s.conn.Close() // nothing of ours is in flight
}

// command sends one command on a connection of its own, which clamd answers
// beside the scans, and returns the answer and, where the transport tells it,
// clamd's process id.
func command(ctx context.Context, d *net.Dialer, network, address, cmd string) (answer []byte, pid int, err error) {
	s, err := openSession(ctx, d, network, address)
	if err != nil {
		return nil, 0, err
	}
	defer s.close()
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetDeadline(deadline); err != nil {
		return nil, 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	s.buf = append(append(append(s.buf[:0], 'z'), cmd...), 0)
	if err := s.flush(); err != nil {
		return nil, 0, err
	}
	if err := s.receive(); err != nil {
		return nil, 0, err
	}
	return s.answer, peerPID(s.unix), nil
}

func peerPID(c *net.UnixConn) int {
	if c == nil {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	if err != nil {
		return 0
	}
	return pid
}

// timedOut tells whether an error is a deadline of the connection.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
