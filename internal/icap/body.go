package icap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"sluice/internal/tx"
)

// readPrefix takes in the preview whole, or of an unannounced body what lies in
// the input buffer already, and lays it in one piece at x.prefix.
func (x *exchange) readPrefix() error {
	x.chunks.reset(x.cfg.MaxChunkLine, x.cfg.MaxTrailerBytes)
	x.preview = x.icap.preview >= 0
	if !x.icap.enc.hasBody() {
		x.done = true
		return nil
	}
	base, end := x.in.r, x.in.r // of the prefix in the input buffer
	defer func() { x.floor = x.in.r }()
	for {
		data, used, r := x.chunks.next(x.in.bytes())
		if r != nil {
			return r
		}
		at := x.in.r + used - len(data)
		x.in.r += used
		if len(data) > 0 {
			if end == base {
				base, end = at, at
			}
			end += copy(x.in.buf[end:], x.in.buf[at:at+len(data)])
			x.received += int64(len(data))
			x.prefix = x.in.buf[base:end:end]
			if x.preview && len(x.prefix) > x.icap.preview {
				return refuse(badPreview, "preview is longer than the %d bytes announced", x.icap.preview)
			}
			continue
		}
		if x.chunks.done() {
			x.done = !x.preview || x.chunks.ieof
			return nil
		}
		if !x.preview {
			return nil
		}
		if err := x.fillPreview(end); err != nil {
			return err
		}
	}
}

// fillPreview waits for more of the preview. The bytes behind floor that are
// not used yet move down when there is no room behind them.
func (x *exchange) fillPreview(floor int) error {
	if x.in.w == len(x.in.buf) {
		x.in.w = floor + copy(x.in.buf[floor:], x.in.bytes())
		x.in.r = floor
	}
	return x.fillBody(x.c.srv.ctx)
}

// fillBody waits for more body bytes, within the bounds of a slow sender.
func (x *exchange) fillBody(ctx context.Context) error {
	t := &x.cfg.Timeouts
	if x.waited > t.BodyIdle && t.MinRate > 0 && float64(x.received) < float64(t.MinRate)*x.waited.Seconds() {
		return refuse(tooSlow, "body comes slower than %d bytes a second", t.MinRate)
	}
	now := time.Now()
	err := x.fill(ctx, now.Add(t.BodyIdle))
	x.waited += time.Since(now)
	return err
}

// more returns the next bytes of the body behind the prefix, waiting for them;
// empty when the body came to its end. They are valid until the next call.
func (x *exchange) more(ctx context.Context) ([]byte, error) {
	if err := x.askForRest(); err != nil {
		return nil, err
	}
	for !x.done {
		data, used, r := x.chunks.next(x.in.bytes())
		x.in.r += used
		if r != nil {
			x.broken = r
			return nil, r
		}
		if len(data) > 0 {
			x.received += int64(len(data))
			return data, nil
		}
		if x.chunks.done() {
			x.done = true
			return nil, nil
		}
		x.in.roomForBody(x.floor, int(min(x.chunks.remain, largeBuffer)))
		if err := x.fillBody(ctx); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			x.broken = err
			return nil, err
		}
	}
	return nil, nil
}

var goOn = []byte("ICAP/1.0 100 Continue\r\n\r\n")

// askForRest tells a sender that waits behind its preview to go on (RFC 3507
// section 4.5). What follows is a chunked body of its own.
func (x *exchange) askForRest() error {
	if !x.preview || x.done {
		return nil
	}
	x.preview = false
	x.chunks.reset(x.cfg.MaxChunkLine, x.cfg.MaxTrailerBytes)
	x.c.srv.stats.answered(100)
	return x.put(goOn)
}

// body is the exchange as a tx.Body.
type body exchange

// Prefix implements tx.Body.
func (b *body) Prefix() (p []byte, whole bool) { return b.prefix, b.done && b.spooled == nil }

// All implements tx.Body.
func (b *body) All(ctx context.Context, limit int64) (tx.Content, error) {
	x := (*exchange)(b)
	if x.broken != nil {
		return nil, x.broken
	}
	if x.spooled == nil {
		if x.done {
			if int64(len(x.prefix)) > limit {
				return nil, tx.ErrTooLarge
			}
			x.memory = memory{b: x.prefix}
			return &x.memory, nil
		}
		if err := x.startSpool(limit); err != nil {
			return nil, err
		}
	}
	stop := x.watch(ctx)
	defer stop()
	for {
		if x.pending != nil {
			return nil, tx.ErrNoRoom
		}
		if x.spooled.Size() > limit {
			return nil, tx.ErrTooLarge
		}
		if x.done {
			return x.spooled, nil
		}
		p, err := x.more(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := x.spooled.Write(p); err != nil {
			return nil, x.noRoom(p, err)
		}
	}
}

// startSpool opens the spool for a body that did not fit the input buffer. The
// sender is asked for more only once it is sure that more is wanted: an answer
// right behind the 100 would stay unread in Squid until more came.
func (x *exchange) startSpool(limit int64) error {
	x.spooled = x.c.srv.store.New(max(x.t.Length, int64(len(x.prefix))))
	if _, err := x.spooled.Write(x.prefix); err != nil {
		return x.noRoom(x.prefix, err)
	}
	if x.spooled.Size() > limit {
		return tx.ErrTooLarge
	}
	if err := x.askForRest(); err != nil {
		return err
	}
	return x.startTrickle()
}

// noRoom keeps what the spool could not take, so that the message can still be
// passed on should the verdict be so.
func (x *exchange) noRoom(p []byte, err error) error {
	x.pending = bytes.Clone(p)
	return errors.Join(tx.ErrNoRoom, err)
}

// watch makes a blocked read return when ctx ends before the server does. The
// function it returns must be called before anything else is read.
func (x *exchange) watch(ctx context.Context) (stop func()) {
	if ctx.Done() == nil || ctx == x.c.srv.ctx {
		return func() {}
	}
	woken := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = x.c.nc.SetReadDeadline(time.Unix(1, 0)) // fails only when closed, which wakes too
		close(woken)
	})
	return func() {
		if !cancel() {
			<-woken
			x.c.readBy = time.Time{}
		}
	}
}

// memory is a body that lies in the input buffer as a whole; a tx.Content.
type memory struct {
	b    []byte
	once sync.Once
	sum  [32]byte
}

// Size implements tx.Content.
func (m *memory) Size() int64 { return int64(len(m.b)) }

// SHA256 implements tx.Content.
func (m *memory) SHA256() [32]byte {
	m.once.Do(func() { m.sum = sha256.Sum256(m.b) })
	return m.sum
}

// Bytes implements tx.Content.
func (m *memory) Bytes() ([]byte, bool) { return m.b, true }

// File implements tx.Content.
func (m *memory) File() (*os.File, bool) { return nil, false }

// ReadAt implements io.ReaderAt.
func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("icap: negative offset")
	}
	if off >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
