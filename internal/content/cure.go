package content

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"sluice/internal/spool"
	"sluice/internal/tx"
)

const maxCureMembers = 100_000

// Cure makes a new ZIP of the members of body for which drop answers false,
// copied as they are packed. drop is asked with names as Object.Name has them,
// once for every entry of the central directory; what only a local header, a
// gap or prepended data holds is never copied. removed lists the names left
// out.
//
// It fails when body is no ZIP that can be read without doubt, when ctx ends or
// when the store has no room. The caller closes the new body, and should Walk
// it before it passes on: two views of a member may share a name.
func Cure(ctx context.Context, store *spool.Store, body tx.Content, drop func(memberName string) bool) (cured *spool.Body, removed []string, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = decoderPanic(x)
		}
		if err != nil {
			if cured != nil {
				_ = cured.Close() // the error that led here counts
			}
			cured, removed, err = nil, nil, fmt.Errorf("curing a zip: %w", err)
		}
	}()
	if err := curable(body); err != nil {
		return nil, nil, err
	}
	r, err := zip.NewReader(body, body.Size())
	if err != nil {
		return nil, nil, err
	}
	cured = store.New(body.Size())
	w := zip.NewWriter(cured)
	for _, f := range r.File {
		if err := ctx.Err(); err != nil {
			return cured, nil, err
		}
		if name := cleanName(f.Name); drop(name) {
			removed = append(removed, name)
			continue
		}
		if err := copyMember(ctx, w, f, body.Size()); err != nil {
			return cured, nil, err
		}
	}
	return cured, removed, w.Close()
}

// curable bounds the directory before a library reads it into memory.
func curable(body tx.Content) error {
	if !hasEOCD(body) {
		return errors.New("there is no central directory")
	}
	d := zipDir{}
	from := max(body.Size()-eocdSearch, 0)
	tail := readAt(body, from, body.Size()-from)
	i := bytes.LastIndex(tail, sigEOCD)
	if i+eocdLen > len(tail) {
		return errors.New("the end record is cut off")
	}
	d.readEnd(body, from+int64(i), tail[i:i+eocdLen], maxCureMembers)
	if d.over {
		return fmt.Errorf("more than %d members", maxCureMembers)
	}
	return d.damage
}

func copyMember(ctx context.Context, w *zip.Writer, f *zip.File, size int64) error {
	if f.CompressedSize64 > uint64(size) {
		return errors.New("a member is larger than the file")
	}
	h := f.FileHeader
	h.Flags &^= 8 // sizes are known: no data descriptor follows
	raw, err := f.OpenRaw()
	if err != nil {
		return err
	}
	out, err := w.CreateRaw(&h)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, &ctxReader{ctx, raw})
	if err == nil && uint64(n) != f.CompressedSize64 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
