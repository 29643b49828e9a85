package content

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// pools keeps decoders, whose windows are costly to make.
type pools struct {
	copies, gzip, zlib, flate, brotli, zstd, trials sync.Pool
}

func newPools() *pools {
	return &pools{copies: sync.Pool{New: func() any { b := make([]byte, sourceBuffer); return &b }}}
}

func (p *pools) copyBuffer() *[]byte     { return p.copies.Get().(*[]byte) }
func (p *pools) putCopyBuffer(b *[]byte) { p.copies.Put(b) }

// nothing is what idle decoders read from, so that they keep no body alive.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }

func (nothing) ReadByte() (byte, error) { return 0, io.EOF }

// openFlate reads raw deflate. done must be called once, also after an error of
// the reader.
func (p *pools) openFlate(src io.Reader, dict []byte) (r io.Reader, done func()) {
	fr, ok := p.flate.Get().(io.ReadCloser)
	if !ok {
		fr = flate.NewReader(nothing{})
	}
	// Resetting a flate reader cannot fail.
	_ = fr.(flate.Resetter).Reset(src, dict)
	return fr, func() {
		_ = fr.(flate.Resetter).Reset(nothing{}, nil)
		p.flate.Put(fr)
	}
}

func (p *pools) openZlib(src io.Reader) (r io.Reader, done func(), err error) {
	if zr, ok := p.zlib.Get().(io.ReadCloser); ok {
		if err := zr.(zlib.Resetter).Reset(src, nil); err != nil {
			return nil, nil, err
		}
		return zr, func() { p.zlib.Put(zr) }, nil
	}
	zr, err := zlib.NewReader(src)
	if err != nil {
		return nil, nil, err
	}
	return zr, func() { p.zlib.Put(zr) }, nil
}

func (p *pools) openBrotli(src io.Reader) (r io.Reader, done func()) {
	br, ok := p.brotli.Get().(*brotli.Reader)
	if !ok {
		br = brotli.NewReader(src)
	} else if err := br.Reset(src); err != nil {
		br = brotli.NewReader(src)
	}
	return br, func() { p.brotli.Put(br) }
}

// openZstd reads all frames. Windows above 32 MiB are refused: RFC 9659 allows
// 8 MiB for HTTP, and only --ultra or --long files need more than 8.
func (p *pools) openZstd(src io.Reader) (r io.Reader, done func(), err error) {
	d, ok := p.zstd.Get().(*zstd.Decoder)
	if !ok {
		d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(32<<20), zstd.WithDecodeBuffersBelow(0))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
	}
	if err := d.Reset(src); err != nil {
		return nil, nil, err
	}
	return d, func() {
		if d.Reset(nil) == nil {
			p.zstd.Put(d)
		}
	}, nil
}

// gzipReader reads gzip members one after another (RFC 1952 section 2.2) and
// stops before bytes that do not start another one.
type gzipReader struct {
	z     *gzip.Reader
	src   *source
	first bool // stop behind the first member
	many  bool // there is another one
}

func (p *pools) openGzip(src *source) (r *gzipReader, done func(), err error) {
	z, ok := p.gzip.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	if err := z.Reset(src); err != nil {
		p.gzip.Put(z)
		return nil, nil, err
	}
	z.Multistream(false)
	return &gzipReader{z: z, src: src}, func() { p.gzip.Put(z) }, nil
}

func (g *gzipReader) Read(b []byte) (int, error) {
	for {
		n, err := g.z.Read(b)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, ignoreEOF(err) // the end shows again at the next call
		}
		if next := readAt(g.src.c, g.src.pos(), 2); len(next) < 2 || next[0] != 0x1f || next[1] != 0x8b || g.src.left() < 18 {
			return 0, io.EOF
		}
		if g.many = true; g.first {
			return 0, io.EOF
		}
		if err := g.z.Reset(g.src); err != nil {
			return 0, err
		}
		g.z.Multistream(false)
	}
}
