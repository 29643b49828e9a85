package icap

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

// errWithheld ends an answer that began before its body was judged and turned
// out bad: its end is never sent.
var errWithheld = errors.New("icap: the rest was withheld")

// trickle is an answer that begins while its body is still being judged. It
// alone writes to the connection until it is stopped.
type trickle struct {
	conn  *conn
	head  []byte // ICAP and HTTP heads
	from  *spool.Body
	after time.Duration
	rate  int64
	stop  chan struct{}
	ended chan struct{}

	// For the exchange once ended is closed.
	started bool
	sent    int64 // body bytes
	err     error
}

// Bounds of one step: what is written at once, and how often.
const (
	trickleStep = 16 << 10
	trickleTick = 250 * time.Millisecond
	// At least this much, or an eighth of what came, stays here until the
	// verdict: an object that was sent whole can't be withheld any more.
	trickleKeep = 4 << 10
)

// startTrickle begins to count down to early sending where that is wanted and
// the response can have a body.
func (x *exchange) startTrickle() error {
	cfg := &x.cfg.StartSending
	status := x.t.Response.Status
	if !cfg.Enabled || x.icap.method != respmod || x.res.raw == nil || string(x.t.Request.Method) == "HEAD" ||
		status < 200 || status == 204 || status == 304 {
		return nil
	}
	if err := x.flush(); err != nil {
		return err
	}
	x.beginAnswer(200)
	x.verdictFields(tx.Verdict{}, "")
	x.endAnswer(resHdr, len(x.res.raw), resBody)
	x.trickle = &trickle{
		conn: x.c, head: append(bytes.Clone(x.out), x.res.raw...), from: x.spooled,
		after: cfg.After - time.Since(x.begun), rate: cfg.Rate, stop: make(chan struct{}), ended: make(chan struct{}),
	}
	x.out = x.out[:0]
	go x.trickle.run()
	return nil
}

// stopTrickle waits until the trickle writes no more and returns it; nil when
// there was none.
func (x *exchange) stopTrickle() *trickle {
	t := x.trickle
	if t != nil {
		close(t.stop)
		<-t.ended
		x.trickle = nil
	}
	return t
}

func (t *trickle) run() {
	defer close(t.ended)
	wait := time.NewTimer(t.after)
	defer wait.Stop()
	select {
	case <-t.stop:
		return
	case <-wait.C:
	}
	t.started = true
	t.conn.srv.stats.answered(200)
	if t.err = t.conn.write(t.head); t.err != nil {
		return
	}
	tick := min(trickleTick, time.Duration(trickleStep*int64(time.Second)/t.rate))
	step := min(trickleStep, max(1, t.rate*int64(tick)/int64(time.Second)))
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	data, frame := make([]byte, step), make([]byte, 0, step+16)
	for {
		select {
		case <-t.stop:
			return
		case <-ticker.C:
			if t.err = t.send(data, frame); t.err != nil {
				return
			}
		}
	}
}

// send writes one chunk of what may go out now.
func (t *trickle) send(data, frame []byte) error {
	size := t.from.Size()
	n := min(int64(len(data)), size-max(trickleKeep, size/8)-t.sent)
	if n <= 0 {
		return nil
	}
	if _, err := t.from.ReadAt(data[:n], t.sent); err != nil {
		return err
	}
	frame = append(strconv.AppendInt(frame, n, 16), crlf...)
	frame = append(append(frame, data[:n]...), crlf...)
	if err := t.conn.write(frame); err != nil {
		return err
	}
	t.sent += n
	return nil
}

// finishTrickle ends an answer that has begun: with the rest where the message
// passes as it is, else by cutting the connection.
func (x *exchange) finishTrickle(t *trickle, v tx.Verdict) error {
	x.committed, x.mark = true, -1
	x.sent = t.sent
	switch {
	case t.err != nil:
		return t.err
	case x.broken != nil:
		return x.broken
	case v.Action != tx.Forward || v.Replacement != nil || x.without(v.RemoveFields):
		return errWithheld
	}
	if err := x.putContent(x.spooled, t.sent); err != nil {
		return err
	}
	return x.echoRest(nil)
}
