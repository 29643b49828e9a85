package tx

import (
	"context"
	"errors"
	"io"
	"os"
)

// Engine judges transactions. Implementations are safe for concurrent use.
type Engine interface {
	// Begin pins the running snapshot, identifies the user and starts the
	// clock. It never fails: whatever goes wrong becomes a verdict. The
	// transaction must stay unchanged until the judge's End returned.
	Begin(ctx context.Context, t *Transaction) Judge
}

// Judge judges one transaction. Its methods are called from one goroutine, in
// the order Head, Body (only after Inspect), End; End exactly once, deferred
// right after Begin.
type Judge interface {
	// Head judges on the header alone. Inspect asks for Body.
	Head(ctx context.Context) Verdict
	// Body judges with the body at hand; it never answers Inspect.
	Body(ctx context.Context, b Body) Verdict
	// End records the one event of this transaction.
	End(d Delivery)
}

// Body is the body of the judged message, given piece by piece by the entrance.
type Body interface {
	// Prefix returns the bytes that have arrived so far without waiting for
	// more; whole tells that they are all there is. The slice is valid until
	// All is called or the verdict was returned.
	Prefix() (b []byte, whole bool)
	// All takes in the whole body, in bounded memory, and returns it. It
	// fails with ErrTooLarge once more than limit bytes have arrived (limit
	// is above 0), with ErrNoRoom when it cannot be kept, with the context's
	// error when its time is up, and with another error when the sender
	// stopped or broke the protocol.
	// The content is valid until the entrance has delivered the message.
	All(ctx context.Context, limit int64) (Content, error)
}

// ErrTooLarge says that a body is larger than the limit given to Body.All.
var ErrTooLarge = errors.New("body is larger than the limit")

// Content is a whole body, or one object taken out of it, that can be read as
// often as wanted. It is safe for concurrent readers.
type Content interface {
	io.ReaderAt
	// Size in bytes.
	Size() int64
	// SHA256 of all bytes; computed while the content arrived.
	SHA256() [32]byte
	// Bytes returns all bytes without copying when they lie in memory.
	Bytes() (b []byte, ok bool)
	// File returns the file that holds exactly this content, when there is
	// one. The caller must neither write, seek nor close it.
	File() (f *os.File, ok bool)
}

// ErrNoRoom says that the entrance could not keep a body: the disk failed, or
// its bounds are reached. The message can still be passed on.
var ErrNoRoom = errors.New("no room to keep the body")

// Delivery tells a judge how the transaction ended at the wire.
type Delivery struct {
	// Received counts body bytes that arrived from the sender.
	Received int64
	// Sent counts body bytes that were passed on; 0 where the peer was told
	// to use what it already has.
	Sent int64
	// Err says why the transaction did not come to its end; nil when it did.
	Err error
}
