package icap

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

// exchange is one ICAP request and its answer, with all the memory that takes.
// It is reused for the requests of a connection, and pooled while the
// connection idles.
type exchange struct {
	c   *conn
	cfg *Config // pinned for this request

	in  input
	box *[]byte // out's buffer as the pool knows it
	out []byte

	icap     request
	req, res head

	// The body, as far as it was taken in.
	chunks   chunkReader
	prefix   []byte        // the first bytes, in the input buffer
	floor    int           // where in the input buffer heads and prefix end
	begun    time.Time     // when the request began to arrive
	received int64         // body bytes so far
	waited   time.Duration // for body bytes
	sent     int64         // body bytes passed on so far
	preview  bool          // the sender waits behind its preview
	done     bool          // the body came to its end, or there is none
	memory   memory        // All's answer when the prefix is all
	spooled  *spool.Body
	pending  []byte // came from the wire, but the spool had no room for it
	broken   error  // the sender stopped or broke the protocol
	trickle  *trickle

	t       tx.Transaction
	url     []byte // room for a composed URL
	names   []byte // room for decoded user and groups
	groups  [][]byte
	edited  []byte // room for a changed head
	pair    [2][]byte
	vec     net.Buffers
	goAway  bool // the connection ends after this answer
	judged  bool
	outcome error

	committed bool // a message's answer was begun
	mark      int  // where in out it began; -1 once that was written
}

func (x *exchange) open(c *conn) {
	x.c = c
	x.in.pool = &c.srv.buffers
	x.in.open()
	x.box = c.srv.buffers.get(smallBuffer)
	x.out = (*x.box)[:0]
}

func (x *exchange) close() {
	x.closeBody()
	x.in.close()
	x.c.srv.buffers.put(x.box)
	x.c, x.cfg, x.box, x.out = nil, nil, nil, nil
	x.pair, x.vec = [2][]byte{}, nil
}

func (x *exchange) closeBody() {
	if x.spooled != nil {
		_ = x.spooled.Close() // an unnamed file: nothing is lost
		x.spooled = nil
	}
}

// begin forgets the last request.
func (x *exchange) begin() {
	x.closeBody()
	x.in.begin()
	x.cfg = x.c.srv.config()
	x.begun = time.Now()
	x.prefix, x.pending = nil, nil
	x.received, x.sent, x.waited = 0, 0, 0
	x.preview, x.done, x.goAway = false, false, false
	x.broken, x.outcome, x.trickle = nil, nil, nil
	x.memory = memory{}
	x.committed, x.judged = false, false
}

// handle serves one request; false ends the connection.
func (x *exchange) handle() (keep bool) {
	x.begin()
	if err := x.readRequest(); err != nil {
		return x.refuse(err)
	}
	x.c.srv.stats.requests[x.icap.method].Add(1)
	x.goAway = x.icap.closes
	switch x.icap.method {
	case options:
		keep = x.answerOptions()
	default:
		keep = x.judge()
	}
	if keep && x.goAway {
		if x.flush() == nil {
			x.c.lingerClose()
		}
		return false
	}
	return keep
}

// readRequest takes in the heads, and of the body the preview, or what is here
// already. What it refuses, no judge has seen.
func (x *exchange) readRequest() error {
	if err := x.readHeads(); err != nil {
		return err
	}
	if err := x.describe(); err != nil {
		return err
	}
	return x.readPrefix()
}

// judge asks the engine and does what it says.
func (x *exchange) judge() (keep bool) {
	if x.cfg.SkipConnect && x.icap.method == reqmod && string(x.t.Request.Method) == "CONNECT" {
		return x.finish(x.forward(tx.Verdict{Action: tx.Forward}))
	}
	ctx := x.c.srv.ctx
	x.judged = true
	j := x.c.srv.engine.Begin(ctx, &x.t)
	x.outcome = errAborted // until it is known better
	defer func() {
		j.End(tx.Delivery{Received: x.received, Sent: x.sent, Err: x.outcome})
	}()
	defer x.stopTrickle() // should the engine panic
	v := j.Head(ctx)
	if v.Action == tx.Inspect {
		v = j.Body(ctx, (*body)(x))
	}
	return x.finish(x.answer(v))
}

// errAborted is the outcome of a transaction whose judge never returned.
var errAborted = errors.New("icap: judging was aborted")

// finish records the outcome of the answer; false ends the connection.
func (x *exchange) finish(err error) (keep bool) {
	x.outcome = err
	switch {
	case err == nil && (x.done || x.preview):
		return true // behind a preview nothing follows without our 100
	case err == nil:
		// The rest of the body was more than is worth waiting for.
		x.goAway = true
		if x.flush() == nil {
			x.c.lingerClose()
		}
		return false
	case x.committed && x.mark < 0:
		x.c.srv.stats.cut.Add(1)
		return false
	case x.committed:
		x.out = x.out[:x.mark]
	}
	return x.refuse(err)
}

// refuse answers with the error's status and closes.
func (x *exchange) refuse(err error) (keep bool) {
	r := new(refusal)
	switch {
	case errors.As(err, &r):
	case errors.Is(err, os.ErrDeadlineExceeded):
		r = refuse(tooSlow, "the rest of the request did not come in time")
	case errors.Is(err, io.EOF):
		r = refuse(truncated, "connection ended within a request")
	default:
		return false
	}
	x.c.srv.stats.refusals[r.kind].Add(1)
	status := kinds[r.kind].status
	if status == 0 {
		return false
	}
	x.goAway = true
	x.beginAnswer(status)
	x.field("X-Response-Desc: ", r.what)
	x.endAnswer(noSection, 0, nullBody)
	x.c.srv.stats.answered(status)
	if x.flush() == nil {
		x.c.lingerClose()
	}
	return false
}

// fill waits for more input behind what is there, after writing what the peer
// may be waiting for.
func (x *exchange) fill(ctx context.Context, until time.Time) error {
	if x.trickle == nil {
		if err := x.flush(); err != nil {
			return errQuiet
		}
	}
	n, err := x.c.read(ctx, x.in.buf[x.in.w:], until)
	x.in.w += n
	return err
}
