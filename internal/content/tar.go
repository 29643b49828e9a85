package content

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// expandTar visits the members of a tar archive: v7, ustar, pax and GNU. It
// goes from header to header by itself: members are ranges of the archive and
// are not copied, and a sparse map can ask for nothing.
func (k *walk) expandTar(o *Object) error {
	size := o.Data.Size()
	var longName string
	paxSize := int64(-1)
	zeros := 0
	for off := int64(0); ; {
		h := readAt(o.Data, off, 512)
		if len(h) < 512 {
			if zeros > 0 || k.blank(o.Data, off, size-off) {
				return nil
			}
			return errors.New("tar: cut off")
		}
		if h[0] == 0 && bytes.Equal(h, make([]byte, 512)) {
			off += 512
			if zeros++; zeros == 2 {
				return k.tarEnd(o, off)
			}
			continue
		}
		zeros = 0
		if !tarSum(h) {
			return k.tarBroken(o, off)
		}
		n, ok := tarNumber(h[124:136])
		if paxSize >= 0 {
			n, paxSize = paxSize, -1
		}
		if !ok || n < 0 || n > size {
			return errors.New("tar: wrong size of a member")
		}
		from := off + 512
		for h[156] == 'S' && h[482] == 1 { // more of a sparse map follows
			ext := readAt(o.Data, from, 512)
			from += 512
			if len(ext) < 512 || ext[504] == 0 {
				break
			}
		}
		off = from + (n+511)&^511
		cut := from+n > size
		data := newView(o.Data, from, n)
		switch h[156] {
		case 'L', 'K':
			if h[156] == 'L' {
				longName = strings.TrimRight(string(readAt(data, 0, 4096)), "\x00")
			}
			continue
		case 'x', 'g':
			if h[156] == 'x' {
				longName, paxSize = paxRecords(readAt(data, 0, 1<<20), longName)
			}
			continue
		}
		name := longName
		longName = ""
		if name == "" {
			name = tarName(h)
		}
		if n > 0 {
			if err := k.member(o, child{name: name, data: data}); err != nil {
				return err
			}
		}
		if cut {
			return errors.New("tar: cut off")
		}
	}
}

// tarEnd visits what stands behind the end mark: some readers go on there.
func (k *walk) tarEnd(o *Object, off int64) error {
	rest := o.Data.Size() - off
	for rest > 0 {
		b := readAt(o.Data, off, min(rest, 64<<10))
		if i := len(b) - len(bytes.TrimLeft(b, "\x00")); i < len(b) {
			off += int64(i)
			rest -= int64(i)
			break
		}
		off += int64(len(b))
		rest -= int64(len(b))
		if err := k.alive(); err != nil {
			return err
		}
	}
	if rest <= 0 {
		return nil
	}
	return k.member(o, child{name: "trailing data", data: newView(o.Data, off, rest)})
}

// tarBroken visits everything from a damaged header on as one object.
func (k *walk) tarBroken(o *Object, off int64) error {
	if off == 0 {
		return errors.New("tar: damaged header")
	}
	if err := k.member(o, child{name: "damaged rest", data: newView(o.Data, off, o.Data.Size()-off)}); err != nil {
		return err
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
