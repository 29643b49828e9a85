package content

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// tarReader goes from header to header by itself: members are ranges of the
// archive and are not copied, and a sparse map can ask for nothing.
type tarReader struct {
	k        *walk
	o        *Object
	off      int64
	longName string // from an entry before the member's own
	paxSize  int64  // the same; -1 for none
	sparse   bool   // the same: the member's data is pieces of a file
	zeros    int    // empty blocks in a row
}

// expandTar visits the members of a tar archive: v7, ustar, pax and GNU.
func (k *walk) expandTar(o *Object) error {
	t := &tarReader{k: k, o: o, paxSize: -1}
	for {
		done, err := t.next()
		if done || err != nil {
			return err
		}
	}
}

var (
	errTarCut    = errors.New("tar: cut off")
	errTarSparse = errors.New("tar: a sparse file, whose pieces were looked at but not the whole")
)

// next handles one header with what follows it.
func (t *tarReader) next() (done bool, err error) {
	size := t.o.Data.Size()
	h := readAt(t.o.Data, t.off, 512)
	if len(h) < 512 {
		if t.zeros > 0 || t.k.blank(t.o.Data, t.off, size-t.off) {
			return true, nil
		}
		return true, errTarCut
	}
	if h[0] == 0 && bytes.Equal(h, make([]byte, 512)) {
		t.off += 512
		if t.zeros++; t.zeros == 2 {
			return true, t.end()
		}
		return false, nil
	}
	t.zeros = 0
	if !tarSum(h) {
		return true, t.broken()
	}
	n, ok := tarNumber(h[124:136])
	if t.paxSize >= 0 {
		n, ok, t.paxSize = t.paxSize, true, -1
	}
	if !ok || n > size {
		return true, errors.New("tar: wrong size of a member")
	}
	from := t.off + 512
	if h[156] == 'S' {
		from = t.sparseMap(h, from)
		t.sparse = !onePiece(h, n)
	}
	t.off = from + (n+511)&^511
	if err := t.entry(h, newView(t.o.Data, from, n)); err != nil {
		return true, err
	}
	if from+n > size {
		return true, errTarCut
	}
	return false, nil
}

// sparseMap skips the blocks that continue the map of a GNU sparse file.
func (t *tarReader) sparseMap(h []byte, from int64) int64 {
	more := h[482] == 1
	for more {
		ext := readAt(t.o.Data, from, 512)
		from += 512
		more = len(ext) == 512 && ext[504] == 1
	}
	return from
}

// onePiece tells whether the map of a GNU sparse file of n stored bytes has no hole.
func onePiece(h []byte, n int64) bool {
	at, ok1 := tarNumber(h[386:398])
	piece, ok2 := tarNumber(h[398:410])
	whole, ok3 := tarNumber(h[483:495])
	return ok1 && ok2 && ok3 && at == 0 && piece == n && whole == n
}

// entry keeps what describes the next member, or visits the member.
func (t *tarReader) entry(h []byte, data *view) error {
	switch h[156] {
	case 'L':
		t.longName = strings.TrimRight(string(readAt(data, 0, 4096)), "\x00")
		return nil
	case 'K', 'g':
		return nil
	case 'x':
		b := readAt(data, 0, 1<<20)
		t.longName, t.paxSize = paxRecords(b, t.longName)
		t.sparse = bytes.Contains(b, []byte(" GNU.sparse."))
		return nil
	}
	name := t.longName
	if t.longName = ""; t.sparse {
		t.sparse = false
		t.k.fault(t.o.Path, errTarSparse)
	}
	if name == "" {
		name = tarName(h)
	}
	if data.n == 0 {
		return nil
	}
	return t.k.member(t.o, child{name: name, data: data})
}

// end visits what stands behind the end mark: some readers go on there.
func (t *tarReader) end() error {
	off, size := t.off, t.o.Data.Size()
	for off < size {
		b := readAt(t.o.Data, off, min(size-off, 64<<10))
		if i := len(b) - len(bytes.TrimLeft(b, "\x00")); i < len(b) {
			off += int64(i)
			break
		}
		off += max(int64(len(b)), 1)
		if err := t.k.alive(); err != nil {
			return err
		}
	}
	if off >= size {
		return nil
	}
	return t.k.member(t.o, child{name: "trailing data", data: newView(t.o.Data, off, size-off)})
}

// broken visits everything from a damaged header on as one object.
func (t *tarReader) broken() error {
	if t.off > 0 {
		if err := t.k.member(t.o, child{name: "damaged rest", data: newView(t.o.Data, t.off, t.o.Data.Size()-t.off)}); err != nil {
			return err
		}
	}
	return errors.New("tar: damaged header")
}

func tarName(h []byte) string {
	name, _, _ := bytes.Cut(h[:100], []byte{0})
	if string(h[257:262]) == "ustar" && h[262] == 0 {
		if prefix, _, _ := bytes.Cut(h[345:500], []byte{0}); len(prefix) > 0 {
			return string(prefix) + "/" + string(name)
		}
	}
	return string(name)
}

// tarSum checks the header's checksum, unsigned or signed as old writers did.
func tarSum(h []byte) bool {
	want, ok := parseOctal(h[148:156])
	if !ok {
		return false
	}
	var u, s int64
	for i, c := range h {
		if i >= 148 && i < 156 {
			c = ' '
		}
		u += int64(c)
		s += int64(int8(c))
	}
	return want == u || want == s
}

// tarNumber reads octal or, with the top bit set, base 256.
func tarNumber(b []byte) (int64, bool) {
	if b[0]&0x80 == 0 {
		if len(bytes.Trim(b, " \x00")) == 0 {
			return 0, true
		}
		return parseOctal(b)
	}
	n := int64(b[0] & 0x7f)
	for _, c := range b[1:] {
		if n > 1<<54 {
			return 0, false
		}
		n = n<<8 | int64(c)
	}
	return n, true
}

// paxRecords takes path and size out of "length key=value\n" records.
func paxRecords(b []byte, name string) (string, int64) {
	size := int64(-1)
	for len(b) > 0 {
		i := bytes.IndexByte(b, ' ')
		if i <= 0 || i > 10 {
			break
		}
		n, err := strconv.Atoi(string(b[:i]))
		if err != nil || n <= i || n > len(b) {
			break
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(string(b[i+1:n]), "\n"), "=")
		switch key {
		case "path", "GNU.sparse.name":
			name = value
		case "size":
			if v, err := strconv.ParseInt(value, 10, 64); err == nil && v >= 0 {
				size = v
			}
		}
		b = b[n:]
	}
	return name, size
}
