package content

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
)

const (
	isoMark   = 16*2048 + 1 // "CD001" of the first volume descriptor
	isoSector = 2048
	isoDirMax = 8 << 20 // bytes of one directory
)

// isoTree is one tree of directories: a disc may have one for each name system,
// and they may differ.
type isoTree struct {
	root, size int64
	joliet     bool
}

// expandISO visits the files of an optical disc image (ECMA-119), in all its
// trees; a file that is in several is visited once.
func (k *walk) expandISO(o *Object) error {
	var trees []isoTree
	for n := int64(16); n < 16+64; n++ {
		d := readAt(o.Data, n*isoSector, isoSector)
		if len(d) < isoSector || string(d[1:6]) != "CD001" {
			break
		}
		if d[0] == 255 {
			break
		}
		if d[0] == 1 || d[0] == 2 {
			joliet := d[0] == 2 && d[88] == '%' && d[89] == '/'
			r := d[156:190]
			trees = append(trees, isoTree{int64(binary.LittleEndian.Uint32(r[2:])) * isoSector, int64(binary.LittleEndian.Uint32(r[10:])), joliet})
		}
	}
	if len(trees) == 0 {
		return errors.New("iso: no volume")
	}
	w := isoWalk{k: k, o: o, dirs: map[int64]bool{}, files: map[[2]int64]bool{}}
	for _, t := range trees {
		if err := w.dir(t, "", 0); err != nil {
			return err
		}
	}
	return w.damage
}

type isoWalk struct {
	k      *walk
	o      *Object
	dirs   map[int64]bool
	files  map[[2]int64]bool
	damage error
}

func (w *isoWalk) dir(t isoTree, path string, depth int) error {
	if w.dirs[t.root] {
		return nil
	}
	w.dirs[t.root] = true
	if depth > 64 || len(w.dirs) > w.k.lim.Members {
		return w.k.stopLimit("directories of a disc image nested more than 64 deep, or too many")
	}
	b := readAt(w.o.Data, t.root, min(t.size, isoDirMax))
	if int64(len(b)) < t.size {
		w.damage = errors.New("iso: a directory is cut off")
	}
	for off := 0; off+34 <= len(b); {
		n := int(b[off])
		if n == 0 { // records do not cross sectors
			off = off/isoSector*isoSector + isoSector
			continue
		}
		if n < 34 || off+n > len(b) {
			w.damage = errors.New("iso: damaged directory")
			return nil
		}
		if err := w.record(t, b[off:off+n], path, depth); err != nil {
			return err
		}
		off += n
	}
	return nil
}

func (w *isoWalk) record(t isoTree, r []byte, path string, depth int) error {
	at, size := (int64(binary.LittleEndian.Uint32(r[2:]))+int64(r[1]))*isoSector, int64(binary.LittleEndian.Uint32(r[10:]))
	n := int(r[32])
	if 33+n > len(r) || n == 1 && r[33] <= 1 { // "." and ".."
		return nil
	}
	name := path + isoName(r[33:33+n], t.joliet)
	if r[25]&2 != 0 {
		return w.dir(isoTree{at, size, t.joliet}, name+"/", depth+1)
	}
	key := [2]int64{at, size}
	if size == 0 || w.files[key] {
		return nil
	}
	w.files[key] = true
	if at > w.o.Data.Size() || size > w.o.Data.Size()-at {
		w.damage = errors.New("iso: a file is cut off")
	}
	if r[25]&0x80 != 0 || r[26] != 0 {
		w.damage = errUnsupported("iso: a file in several extents")
	}
	return w.k.member(w.o, child{name: name, data: newView(w.o.Data, at, size)})
}

func isoName(b []byte, joliet bool) string {
	if joliet {
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = binary.BigEndian.Uint16(b[2*i:])
		}
		b = []byte(string(utf16.Decode(u)))
	}
	name, _, _ := bytes.Cut(b, []byte(";"))
	return strings.TrimSuffix(string(name), ".")
}
