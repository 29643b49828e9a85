package content

import (
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"

	"sluice/internal/tx"
)

// stream is an open decoder of a single compressed stream.
type stream struct {
	r    io.Reader
	done func()
	name string // the name that the stream carries, if any
	gzip *gzipReader
}

// openStream opens the decoder for a type id (gzip, zlib, deflate, br, zstd,
// bzip2, xz, lzma, lz4, z). stream.done must be called.
func (k *walk) openStream(kind string, src *source) (s stream, err error) {
	s.done = func() {}
	p := k.w.pools
	switch kind {
	case "gzip":
		g, done, err := p.openGzip(src)
		if err != nil {
			return s, err
		}
		return stream{r: g, done: done, name: g.z.Name, gzip: g}, nil
	case "zlib":
		s.r, s.done, err = p.openZlib(src)
	case "deflate":
		s.r, s.done = p.openFlate(src, nil)
	case "br":
		if err := refuseLargeBrotli(src); err != nil {
			return s, err
		}
		s.r, s.done = p.openBrotli(src)
	case "zstd":
		s.r, s.done, err = p.openZstd(src)
		s.r = &zstdReader{s.r}
	case "bzip2":
		s.r = &bzip2Reader{bzip2.NewReader(src)}
	case "xz":
		x := &xzReader{k: k, src: src}
		s.r, s.done = x, x.close
	case "lzma":
		s.r, s.done, err = k.openLZMA(src)
	case "lz4":
		s.r = lz4.NewReader(src)
	case "z":
		s.r = newLZW(src)
	default:
		return s, errUnsupported(kind)
	}
	return s, err
}

// refuseLargeBrotli refuses the large-window extension, which is no part of the
// coding (RFC 7932 section 9.1 reserves its bit pattern).
func refuseLargeBrotli(src *source) error {
	if b := readAt(src.c, src.pos(), 1); len(b) == 1 && b[0]&0x7f == 0x11 {
		return errors.New("brotli: reserved window size")
	}
	return nil
}

type zstdReader struct{ r io.Reader }

func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = limitf("zstd: %v", err)
	}
	return n, err
}

// bzip2Reader ends where no further bzip2 stream follows, as the tool does.
type bzip2Reader struct{ r io.Reader }

func (z *bzip2Reader) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	var s bzip2.StructuralError
	if errors.As(err, &s) && strings.Contains(string(s), "continuation file") {
		err = io.EOF
	}
	return n, err
}

// openLZMA reads the 13 byte header itself to bound the dictionary.
func (k *walk) openLZMA(src *source) (io.Reader, func(), error) {
	nop := func() {}
	h := readAt(src.c, src.pos(), lzma.HeaderLen)
	if len(h) < lzma.HeaderLen {
		return nil, nop, io.ErrUnexpectedEOF
	}
	dict := max(int64(binary.LittleEndian.Uint32(h[1:])), lzma.MinDictCap)
	if size := binary.LittleEndian.Uint64(h[5:]); size < uint64(dict) {
		dict = max(int64(size), lzma.MinDictCap)
	}
	release, err := k.window(dict)
	if err != nil {
		return nil, nop, err
	}
	r, err := lzma.ReaderConfig{DictCap: 1 << 30}.NewReader(src)
	if err != nil {
		release()
		return nil, nop, err
	}
	return r, release, nil
}

// probeStream plans the unpacking of a single compressed stream.
func (k *walk) probeStream(o *Object, kind string) expander {
	return func() error { return k.expandStream(o, o.Data, kind, streamName(o.Name, kind), false) }
}

// expandStream unpacks data, part of o. A guess that turns out wrong from the
// first byte is no damage.
func (k *walk) expandStream(o *Object, data tx.Content, kind, name string, guess bool) error {
	src := newSource(k.ctx, data, 0, data.Size())
	s, err := k.openStream(kind, src)
	if err != nil {
		return err
	}
	bad, err := k.streamChild(o, s, src, name)
	s.done()
	if err != nil {
		return err
	}
	switch {
	case bad == nil:
		return k.trailing(o, data, src)
	case guess && !isLimit(bad):
		return nil
	}
	return bad
}

func (k *walk) streamChild(o *Object, s stream, src *source, name string) (bad, err error) {
	if s.name != "" {
		name = s.name
	}
	start := src.pos()
	return k.child(o, child{name: name, src: s.r, consumed: func() int64 { return src.pos() - start + 64 }})
}

// trailing visits what stands behind the end of a stream unless it is padding.
func (k *walk) trailing(o *Object, data tx.Content, src *source) error {
	if src.left() == 0 || k.blank(data, src.pos(), src.left()) {
		return nil
	}
	return k.member(o, child{name: "trailing data", data: newView(data, src.pos(), src.left())})
}

// blank tells whether the first 64 KiB of a range, at most, are white space and
// zero bytes only and nothing follows them.
func (k *walk) blank(c tx.Content, off, n int64) bool {
	if n > 64<<10 {
		return false
	}
	for _, x := range readAt(c, off, n) {
		if x != 0 && x != '\n' && x != '\r' && x != ' ' && x != '\t' {
			return false
		}
	}
	return true
}

// streamName is the name of what comes out: x.tar for x.tgz, x for x.gz.
func streamName(name, kind string) string {
	ext := strings.ToLower(path.Ext(name))
	base := strings.TrimSuffix(name, path.Ext(name))
	switch ext {
	case ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".taz":
		return base + ".tar"
	case ".gz", ".z", ".bz2", ".xz", ".zst", ".lzma", ".lz4", ".br":
		return base
	}
	if name == "" {
		return "(" + kind + ")"
	}
	return path.Base(name)
}
