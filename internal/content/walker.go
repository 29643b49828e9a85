package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

// Walker takes messages apart. It is safe for concurrent use.
type Walker struct {
	store  *spool.Store
	limits Limits
	pools  *pools
}

// NewWalker makes a Walker that unpacks into store within limits.
func NewWalker(store *spool.Store, limits Limits) *Walker {
	return &Walker{store: store, limits: limits.withDefaults(), pools: newPools()}
}

// Walk visits the message's root object and then everything inside it, depth
// first, parents before members. Codings are undone first: the root object is
// the decoded body.
//
// An error that visit returns ends the walk and is returned as it is; so is the
// context's error, joined with the faults found until then. Otherwise Walk goes
// on past damage and bounds as far as it can and returns, at the end, one Fault
// of every kind that occurred (ErrLimit, ErrEncoding, ErrDamaged), the first of
// each, or nil when everything was looked into.
func (w *Walker) Walk(ctx context.Context, m Message, visit func(*Object) error) error {
	return w.WalkAround(ctx, m, visit, func(*Object, bool) error { return nil })
}

// WalkAround is Walk with a second call for every container, after its members:
// over tells that a bound stopped what was unpacked from it. An engine that would
// unpack a bomb on its own account can so be spared it. When a bound of the whole
// message ends the walk, the containers around it are left too.
func (w *Walker) WalkAround(ctx context.Context, m Message, visit func(*Object) error, leave func(o *Object, over bool) error) error {
	k := &walk{ctx: ctx, w: w, lim: w.limits, visit: visit, leave: leave, root: max(m.Body.Size(), 1), left: w.limits.ExpandedSize}
	err := k.message(m)
	if err == nil {
		return k.faults.err()
	}
	if v, ok := errors.AsType[*visitError](err); ok {
		return v.err
	}
	if errors.Is(err, errStopLimit) {
		return k.faults.err()
	}
	if s, ok := errors.AsType[*stop](err); ok {
		err = s.cause
	}
	if f := k.faults.err(); f != nil {
		return errors.Join(err, f)
	}
	return err
}

// errStopLimit ends a walk for the reason that stands in its faults.
var errStopLimit = errors.New("a bound of the message")

// visitError carries what visit returned through the decoders.
type visitError struct{ err error }

func (e *visitError) Error() string { return e.err.Error() }

// walk is the state of one Walk.
type walk struct {
	ctx   context.Context
	w     *Walker
	lim   Limits
	visit func(*Object) error
	leave func(o *Object, over bool) error

	faults   faults
	overs    int   // how often a bound was met
	root     int64 // bytes of the message as it came
	members  int
	expanded int64 // bytes unpacked so far
	left     int64 // bytes that may still be unpacked
	windows  int64 // bytes of decoder windows open now
	seen     map[twin]struct{}
	last     chunk
	visiting bool
	gzip     gzipMembers
	loose    int // above 0 inside a piece of something: damage is no fault there
}

// expander unpacks one object; it returns a stop, or what is wrong with the
// object itself.
type expander func() error

// child describes a member about to be visited: either data, or src that is
// unpacked into the spool first.
type child struct {
	name        string
	contentType string // field value, when the container states one
	encrypted   bool
	data        tx.Content
	src         io.Reader
	packed      int64        // packed size in bytes; 0 when unknown
	consumed    func() int64 // packed bytes read so far; preferred to packed
	limit       int64        // bytes to take from src at most; 0 for all
}

// child unpacks c, visits it and expands it. bad says why c could not be
// unpacked whole (what came out was visited); err is a stop.
func (k *walk) child(parent *Object, c child) (bad, err error) {
	o := Object{Name: cleanName(c.name), Depth: parent.Depth + 1, DeclaredMIME: mediaType(c.contentType),
		contentType: c.contentType, Encrypted: c.encrypted}
	o.Path = joinPath(parent.Path, o.Name)
	if c.data != nil {
		if err := k.account(c.data.Size(), false); err != nil {
			return nil, err
		}
		o.Data = c.data
		return nil, k.object(&o)
	}
	body, bad, err := k.spool(&c)
	if err != nil {
		return nil, err
	}
	defer closeBody(body)
	if bad != nil && body.Size() == 0 {
		return bad, nil
	}
	o.Data = body
	return bad, k.object(&o)
}

// member is child for callers to whom a member that is not whole is a fault of
// the container.
func (k *walk) member(parent *Object, c child) error {
	bad, err := k.child(parent, c)
	if err != nil {
		return err
	}
	if bad != nil {
		k.fault(joinPath(parent.Path, cleanName(c.name)), bad)
	}
	return nil
}

// spool unpacks c.src within all bounds. The body is nil only with err.
func (k *walk) spool(c *child) (body *spool.Body, bad, err error) {
	body = k.w.store.New(0)
	buf := k.w.pools.copyBuffer()
	defer k.w.pools.putCopyBuffer(buf)
	var total int64
	for bad == nil && err == nil {
		p := *buf
		if c.limit > 0 {
			p = p[:min(int64(len(p)), c.limit-total)]
		}
		if len(p) == 0 {
			break
		}
		n, rerr := k.read(c.src, p)
		if n > 0 {
			total += int64(n)
			if err = k.account(int64(n), true); err != nil {
				break
			}
			if _, werr := body.Write(p[:n]); werr != nil {
				err = k.spoolFailed(werr)
				break
			}
			bad = k.overSize(c, total)
		}
		if errors.Is(rerr, io.EOF) {
			break
		}
		if rerr != nil && bad == nil {
			bad = rerr
		}
	}
	if cerr := k.ctx.Err(); err == nil && cerr != nil {
		err = &stop{cerr}
	}
	if err != nil {
		return nil, nil, errors.Join(err, body.Close())
	}
	return body, bad, nil
}

// closeBody gives back the room of an unpacked object. It was read to the end by
// then: an error of closing its file says nothing about the verdict.
func closeBody(b *spool.Body) { _ = b.Close() }

// read keeps a panic of a decoder from escaping.
func (k *walk) read(r io.Reader, p []byte) (n int, err error) {
	defer func() {
		if x := recover(); x != nil {
			n, err = 0, decoderPanic(x)
		}
	}()
	n, err = r.Read(p)
	if n < 0 || n > len(p) {
		return 0, errors.New("decoder answered nonsense")
	}
	return n, err
}

func decoderPanic(x any) error {
	if e, ok := x.(runtime.Error); ok {
		return fmt.Errorf("decoder panicked: %w", e)
	}
	return fmt.Errorf("decoder panicked: %v", x)
}

func (k *walk) spoolFailed(err error) error {
	if errors.Is(err, spool.ErrNoRoom) {
		return k.stopLimit("no room on the spool disk")
	}
	return &stop{fmt.Errorf("unpacking: %w", err)}
}

// account counts n unpacked bytes against the bounds of the whole message. Bytes
// that were only pointed at cost no room and do not count for the ratio.
func (k *walk) account(n int64, unpacked bool) error {
	if err := k.ctx.Err(); err != nil {
		return &stop{err}
	}
	k.left -= n
	if unpacked {
		k.expanded += n
	}
	switch {
	case k.left < 0:
		return k.stopLimit("all objects together are over the expanded size of %d bytes, or over what is unpacked after a bomb", k.lim.ExpandedSize)
	case k.expanded > totalRatioFloor && k.expanded/k.lim.Ratio > k.root:
		return k.stopLimit("the message expands more than %d times", k.lim.Ratio)
	}
	return nil
}

func (k *walk) stopLimit(format string, args ...any) error {
	k.overs++
	k.faults[0] = &Fault{Kind: ErrLimit, Path: "message", What: fmt.Sprintf(format, args...)}
	return &stop{errStopLimit}
}

// overSize judges the bounds of one object.
func (k *walk) overSize(c *child, total int64) error {
	if total > k.lim.ObjectSize {
		k.left = min(k.left, afterLimitBudget)
		return limitf("over the object size of %d bytes", k.lim.ObjectSize)
	}
	if total <= ratioFloor {
		return nil
	}
	packed := c.packed
	if c.consumed != nil {
		packed = c.consumed()
	}
	if packed > 0 && total/k.lim.Ratio > packed {
		k.left = min(k.left, afterLimitBudget)
		return limitf("expands more than %d times", k.lim.Ratio)
	}
	return nil
}

// object visits o and then its members.
func (k *walk) object(o *Object) error {
	k.members++
	if k.members > k.lim.Members {
		return k.stopLimit("more than %d objects", k.lim.Members)
	}
	if err := k.ctx.Err(); err != nil {
		return &stop{err}
	}
	plan, err := k.probe(o)
	if err != nil {
		return err
	}
	if len(plan) > 0 && o.Depth >= k.lim.Depth {
		k.fault(o.Path, limitf("containers nested more than %d deep", k.lim.Depth))
		plan = nil
	}
	o.Container = len(plan) > 0
	if err := k.call(func() error { return k.visit(o) }); err != nil || !o.Container {
		return err
	}
	overs := k.overs
	err = k.expand(o, plan)
	if err != nil && !errors.Is(err, errStopLimit) {
		return err
	}
	if err := k.call(func() error { return k.leave(o, k.overs > overs) }); err != nil {
		return err
	}
	return err
}

// expand visits the members of a container.
func (k *walk) expand(o *Object, plan []expander) error {
	if !k.first(o) {
		return nil
	}
	for _, f := range plan {
		if err := k.guard(o.Path, f); err != nil {
			return err
		}
	}
	return nil
}

// twin is what two containers must have in common to hold the same members and
// to be judged alike.
type twin struct {
	sum        [32]byte
	form, mail bool // it is declared to be
	loose      bool // damage was no fault
}

// first tells whether a container with these bytes and this meaning was not
// expanded before in this message: what lies in it was visited then, and a bomb
// that repeats itself costs nothing.
func (k *walk) first(o *Object) bool {
	if !o.Container || isMultipart(o.DeclaredMIME) {
		return true
	}
	if k.seen == nil {
		k.seen = make(map[twin]struct{})
	}
	t := twin{o.Data.SHA256(), o.Type == "form", o.Type == "eml", k.loose > 0}
	if _, ok := k.seen[t]; ok {
		return false
	}
	k.seen[t] = struct{}{}
	return true
}

func (k *walk) call(f func() error) error {
	k.visiting = true
	err := f()
	k.visiting = false
	if err != nil {
		return &stop{&visitError{err}}
	}
	return nil
}

// guard runs f. A panic of a decoder and an error of f become faults; a stop is
// returned. A panic of the caller's visit is the caller's.
func (k *walk) guard(path string, f expander) (err error) {
	defer func() {
		if k.visiting {
			return
		}
		if x := recover(); x != nil {
			k.fault(path, decoderPanic(x))
			err = nil
		}
	}()
	err = f()
	if err == nil || isStop(err) {
		return err
	}
	if cerr := k.ctx.Err(); cerr != nil {
		return &stop{cerr}
	}
	k.fault(path, err)
	return nil
}

// fault records what is wrong with an object: a bound or damage.
func (k *walk) fault(path string, err error) {
	if k.ctx.Err() != nil {
		return // the decoder failed because time is up
	}
	switch {
	case isLimit(err):
		k.overs++
		k.faults.add(ErrLimit, path, err.Error())
	case k.loose == 0:
		k.faults.add(ErrDamaged, path, err.Error())
	}
}

// window reserves n bytes for a decoder's window; release gives them back.
func (k *walk) window(n int64) (release func(), err error) {
	if n > maxWindow || k.windows+n > windowBudget {
		return nil, limitf("a decoder window of %d bytes is over the bound", n)
	}
	k.windows += n
	return func() { k.windows -= n }, nil
}
