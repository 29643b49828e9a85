package content

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// codingsTried are the streams without a mark that unknown data is tried as.
var codingsTried = [...]string{"zlib", "deflate", "br"}

// probeGuess tries unknown data as zlib, raw deflate and brotli, because a
// client that knows better can decode what was sent without saying so.
func (k *walk) probeGuess(o *Object, head []byte) expander {
	for _, kind := range codingsTried {
		if mayBe(kind, head, o.Data.Size()) && k.w.pools.trial(kind, head, o.Data.Size()) {
			if kind == "zlib" { // the others have no mark to be sure by
				o.Type = kind
			}
			return func() error { return k.expandGuess(o, kind) }
		}
	}
	return nil
}

// mayBe is a look at the first bytes only: almost all data that is not such a
// stream fails it or the first steps of its decoder.
func mayBe(kind string, b []byte, size int64) bool {
	if len(b) < 4 {
		return false
	}
	switch kind {
	case "zlib": // RFC 1950 section 2.2
		return b[0]&0x0f == 8 && b[0]>>4 <= 7 && binary.BigEndian.Uint16(b)%31 == 0 && b[1]&0x20 == 0
	case "deflate": // RFC 1951 section 3.2.3
		switch b[0] >> 1 & 3 {
		case 0:
			return b[0]>>3 == 0 && len(b) >= 5 && binary.LittleEndian.Uint16(b[1:]) == ^binary.LittleEndian.Uint16(b[3:])
		case 1:
			return size > 8
		case 2:
			hlit := int(b[0]>>3) + 257
			hdist := int(b[1]&0x1f) + 1
			return hlit <= 286 && hdist <= 30 && size > 16
		}
	case "br":
		return mayBeBrotli(b, size)
	}
	return false
}

// mayBeBrotli reads the window size and the first meta-block header (RFC 7932
// sections 9.1 and 9.2).
func mayBeBrotli(b []byte, size int64) bool {
	if len(b) < 8 {
		return false
	}
	v := binary.LittleEndian.Uint64(b)
	if v&0x7f == 0x11 {
		return false
	}
	switch {
	case v&1 == 0:
		v >>= 1
	case v&0xe != 0:
		v >>= 4
	default:
		v >>= 7
	}
	last := v&1 == 1
	v >>= 1
	if last {
		if v&1 == 1 { // an empty stream
			return false
		}
		v >>= 1
	}
	nibbles := v&3 + 4
	v >>= 2
	if nibbles == 7 { // metadata: no honest encoder starts with it
		return false
	}
	n := v & (1<<(4*nibbles) - 1)
	v >>= 4 * nibbles
	if nibbles > 4 && n>>(4*(nibbles-1)) == 0 {
		return false
	}
	if !last && v&1 == 1 {
		return int64(n) < size
	}
	return int64(n)/2000 <= size
}

const trialOut = 1 << 10

// trial decodes the beginning of b, cheaply, to see whether a guess holds. size
// is that of the whole object, of which b is the beginning.
func (p *pools) trial(kind string, b []byte, size int64) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	src, _ := p.trials.Get().(*bytes.Reader)
	if src == nil {
		src = new(bytes.Reader)
	}
	defer p.trials.Put(src)
	src.Reset(b)
	r, done, err := p.openTrial(kind, src)
	if err != nil {
		return false
	}
	defer done()
	buf := p.copyBuffer()
	defer p.putCopyBuffer(buf)
	n, err := io.ReadFull(r, (*buf)[:trialOut])
	switch {
	case err == nil:
		return true
	case int64(len(b)) < size: // the decoder may have wanted more
		return n > 0 && src.Len() == 0
	}
	return n > 0 && errors.Is(err, io.ErrUnexpectedEOF) && src.Len() == 0 && p.atEnd(r)
}

// atEnd tells a clean end from an input that ends too early.
func (p *pools) atEnd(r io.Reader) bool {
	var b [1]byte
	_, err := r.Read(b[:])
	return errors.Is(err, io.EOF)
}

func (p *pools) openTrial(kind string, src io.Reader) (r io.Reader, done func(), err error) {
	switch kind {
	case "zlib":
		return p.openZlib(src)
	case "deflate":
		r, done = p.openFlate(src, nil)
	default:
		r, done = p.openBrotli(src)
	}
	return r, done, nil
}

// expandGuess unpacks a guess. Output that ends in an error is thrown away:
// then it was not such a stream; but a bound that was reached counts.
func (k *walk) expandGuess(o *Object, kind string) error {
	src := newSource(k.ctx, o.Data, 0, o.Data.Size())
	s, err := k.openStream(kind, src)
	if err != nil {
		return nil
	}
	body, bad, err := k.spool(&child{src: s.r, consumed: func() int64 { return src.pos() + 64 }})
	s.done()
	if err != nil {
		return err
	}
	defer closeBody(body)
	if isLimit(bad) {
		return bad
	}
	if bad != nil || src.left() > 0 || body.Size() == 0 {
		return nil
	}
	c := Object{Name: streamName(o.Name, kind), Depth: o.Depth + 1, Data: body}
	c.Path = joinPath(o.Path, c.Name)
	return k.object(&c)
}
