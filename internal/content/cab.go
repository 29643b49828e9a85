package content

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"

	"sluice/internal/tx"
)

// Microsoft cabinet ([MS-CAB] 2.2).

type cabFolder struct {
	off    int64
	blocks int
	method uint16
	files  []cabFile
}

type cabFile struct {
	name      string
	off, size int64
	cut       bool // part of it is in another cabinet
}

type cabinet struct {
	folders     []cabFolder
	dataReserve int
}

var errCab = errors.New("cab: damaged")

func readCab(c tx.Content) (*cabinet, error) {
	h := readAt(c, 0, 36)
	if len(h) < 36 || string(h[:4]) != "MSCF" {
		return nil, errCab
	}
	nFolders, nFiles := int(binary.LittleEndian.Uint16(h[26:])), int(binary.LittleEndian.Uint16(h[28:]))
	flags := binary.LittleEndian.Uint16(h[30:])
	off := int64(36)
	folderReserve := int64(0)
	cab := &cabinet{}
	if flags&4 != 0 {
		r := readAt(c, off, 4)
		if len(r) < 4 {
			return nil, errCab
		}
		folderReserve, cab.dataReserve = int64(r[2]), int(r[3])
		off += 4 + int64(binary.LittleEndian.Uint16(r))
	}
	for bit := uint16(1); bit <= 2; bit <<= 1 {
		if flags&bit != 0 {
			for range 2 {
				s := readAt(c, off, 512)
				i := bytes.IndexByte(s, 0)
				if i < 0 {
					return nil, errCab
				}
				off += int64(i) + 1
			}
		}
	}
	for range nFolders {
		f := readAt(c, off, 8)
		if len(f) < 8 {
			return nil, errCab
		}
		cab.folders = append(cab.folders, cabFolder{
			off: int64(binary.LittleEndian.Uint32(f)), blocks: int(binary.LittleEndian.Uint16(f[4:])), method: binary.LittleEndian.Uint16(f[6:]),
		})
		off += 8 + folderReserve
	}
	return cab, cab.readFiles(c, int64(binary.LittleEndian.Uint32(h[16:])), nFiles)
}

func (cab *cabinet) readFiles(c tx.Content, off int64, n int) error {
	for range n {
		f := readAt(c, off, 16+257)
		if len(f) < 17 {
			return errCab
		}
		i := bytes.IndexByte(f[16:], 0)
		if i < 0 {
			return errCab
		}
		off += 16 + int64(i) + 1
		file := cabFile{name: string(f[16 : 16+i]), size: int64(binary.LittleEndian.Uint32(f)), off: int64(binary.LittleEndian.Uint32(f[4:]))}
		folder := int(binary.LittleEndian.Uint16(f[8:]))
		switch folder {
		case 0xfffd, 0xffff: // continued from the cabinet before
			folder, file.cut = 0, true
		case 0xfffe:
			folder, file.cut = len(cab.folders)-1, true
		}
		if folder < 0 || folder >= len(cab.folders) {
			return errCab
		}
		cab.folders[folder].files = append(cab.folders[folder].files, file)
	}
	return nil
}

func (k *walk) expandCab(o *Object, c tx.Content) error {
	cab, damage := readCab(c)
	if cab == nil {
		return damage
	}
	for i := range cab.folders {
		f := &cab.folders[i]
		slices.SortStableFunc(f.files, func(a, b cabFile) int { return cmp.Compare(a.off, b.off) })
		if err := k.cabFolder(o, c, cab, f); err != nil {
			if isStop(err) {
				return err
			}
			k.fault(o.Path, err)
		}
	}
	return damage
}

func (k *walk) cabFolder(o *Object, c tx.Content, cab *cabinet, f *cabFolder) error {
	var d *cabReader
	for _, file := range f.files {
		if file.cut {
			k.fault(joinPath(o.Path, cleanName(file.name)), errUnsupported("a file that is split over several cabinets"))
			continue
		}
		if d == nil || file.off < d.pos {
			if d != nil {
				d.close()
			}
			var err error
			if d, err = k.openCab(c, cab, f); err != nil {
				return err
			}
		}
		if err := k.skipOver(d, file.off-d.pos); err != nil {
			d.close()
			return err
		}
		bad, err := k.child(o, child{name: file.name, src: io.LimitReader(d, file.size), consumed: func() int64 { return d.off - f.off + 64 }})
		if err != nil {
			d.close()
			return err
		}
		if bad == nil && d.pos < file.off+file.size {
			bad = errors.New("cab: cut off")
		}
		if bad != nil {
			d.close()
			d = nil
			k.fault(joinPath(o.Path, cleanName(file.name)), bad)
		}
	}
	if d != nil {
		d.close()
	}
	return nil
}

// cabReader gives the bytes of one folder.
type cabReader struct {
	k       *walk
	c       tx.Content
	off     int64 // of the next data block
	blocks  int   // left
	reserve int
	method  uint16
	pos     int64 // bytes given
	out     []byte
	history []byte
	inflate io.ReadCloser
	lzx     *lzxDecoder
	release func()
}

func (k *walk) openCab(c tx.Content, cab *cabinet, f *cabFolder) (*cabReader, error) {
	d := &cabReader{k: k, c: c, off: f.off, blocks: f.blocks, reserve: cab.dataReserve, method: f.method & 15, release: func() {}}
	switch d.method {
	case 0, 1:
	case 3:
		bits := uint(f.method >> 8 & 31)
		if bits < 15 || bits > 21 {
			return nil, errCab
		}
		release, err := k.window(1 << bits)
		if err != nil {
			return nil, err
		}
		d.lzx, d.release = newLZX(bits), release
	default:
		return nil, errUnsupported(fmt.Sprintf("cab method %d", d.method))
	}
	return d, nil
}

func (d *cabReader) close() { d.release() }

func (d *cabReader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.blocks == 0 {
			return 0, io.EOF
		}
		if err := d.block(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	d.pos += int64(n)
	return n, nil
}

func (d *cabReader) block() error {
	if err := d.k.ctx.Err(); err != nil {
		return err
	}
	h := readAt(d.c, d.off, 8)
	if len(h) < 8 {
		return io.ErrUnexpectedEOF
	}
	n, want := int64(binary.LittleEndian.Uint16(h[4:])), int(binary.LittleEndian.Uint16(h[6:]))
	b := readAt(d.c, d.off+8+int64(d.reserve), n)
	if int64(len(b)) < n {
		return io.ErrUnexpectedEOF
	}
	d.off += 8 + int64(d.reserve) + n
	d.blocks--
	if want > 32768 || want == 0 {
		return errCab
	}
	switch d.method {
	case 0:
		if len(b) != want {
			return errCab
		}
		d.out = b
		return nil
	case 3:
		out, err := d.lzx.block(b, want)
		d.out = out
		return err
	}
	return d.mszip(b, want)
}

// mszip inflates a block whose window reaches back into the blocks before it.
func (d *cabReader) mszip(b []byte, want int) error {
	if len(b) < 2 || b[0] != 'C' || b[1] != 'K' {
		return errCab
	}
	src := bytes.NewReader(b[2:])
	if d.inflate == nil {
		d.inflate = flate.NewReaderDict(src, d.history)
	} else if err := d.inflate.(flate.Resetter).Reset(src, d.history); err != nil {
		return err
	}
	out := make([]byte, want)
	if _, err := io.ReadFull(d.inflate, out); err != nil {
		return noEOF(err)
	}
	d.history = append(d.history, out...)
	d.history = d.history[max(len(d.history)-32768, 0):]
	d.out = out
	return nil
}
