package content

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/nwaples/rardecode/v2"
)

// probeRAR finds out whether the headers are encrypted; everything else shows
// member by member.
func (k *walk) probeRAR(o *Object) expander {
	if _, err := k.openRAR(o); errors.Is(err, rardecode.ErrArchiveEncrypted) {
		o.Encrypted = true
		return nil
	}
	return func() error { return k.expandRAR(o) }
}

func (k *walk) openRAR(o *Object) (*rarReader, error) {
	src := newSource(k.ctx, o.Data, 0, o.Data.Size())
	// The library tells no dictionary size beforehand: it may take all the room
	// that is left, and expandRAR reserves half of it, which nested archives
	// then do not have.
	room := max(min(maxWindow, windowBudget-k.windows), 1<<18)
	r, err := rardecode.NewReader(src, rardecode.MaxDictionarySize(room))
	if err != nil {
		return nil, err
	}
	return &rarReader{r, src}, nil
}

type rarReader struct {
	*rardecode.Reader
	src *source
}

func (k *walk) expandRAR(o *Object) error {
	r, err := k.openRAR(o)
	if err != nil {
		return rarError(err)
	}
	release, err := k.window(min(maxWindow, windowBudget-k.windows) / 2)
	if err != nil {
		return err
	}
	defer release()
	packed := int64(64) // of the members that this one may copy from
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return k.trailing(o, o.Data, r.src)
		}
		if errors.Is(err, rardecode.ErrArchiveEncrypted) {
			_, err := k.child(o, child{name: "(encrypted)", encrypted: true, data: newView(o.Data, 0, 0)})
			return err
		}
		if err != nil {
			return rarError(err)
		}
		if h.IsDir {
			continue
		}
		if h.Encrypted {
			if _, err := k.child(o, child{name: h.Name, encrypted: true, data: newView(o.Data, 0, 0)}); err != nil {
				return err
			}
			continue
		}
		if !h.Solid {
			packed = 64
		}
		packed += max(h.PackedSize, 0)
		bad, err := k.child(o, child{name: h.Name, src: r, packed: packed})
		if err != nil {
			return err
		}
		if bad != nil {
			k.fault(joinPath(o.Path, cleanName(h.Name)), rarError(bad))
			if isLimit(bad) && h.Solid {
				return limitf("the members after it were not reached")
			}
		}
	}
}

func rarError(err error) error {
	if errors.Is(err, rardecode.ErrDictionaryTooLarge) {
		return limitf("rar: %v", err)
	}
	return err
}

// expandAr visits the members of a Unix archive; a Debian package is one.
func (k *walk) expandAr(o *Object) error {
	size := o.Data.Size()
	var long []byte
	for off := int64(8); off < size; {
		h := readAt(o.Data, off, 60)
		if len(h) < 60 || h[58] != '`' || h[59] != '\n' {
			return errors.New("ar: damaged header")
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil || n < 0 || n > size-off-60 {
			return errors.New("ar: wrong size of a member")
		}
		off += 60
		name := strings.TrimRight(string(h[:16]), " ")
		data := newView(o.Data, off, n)
		off += n + n&1
		if name == "//" {
			long = readAt(data, 0, min(n, 1<<20))
			continue
		}
		name, data = arName(name, data, long)
		if err := k.member(o, child{name: name, data: data}); err != nil {
			return err
		}
	}
	return nil
}

// arName finds the long name of a member: before its data in the BSD form, in
// the table of the member "//" in the GNU form.
func arName(name string, data *view, long []byte) (string, *view) {
	if l, ok := strings.CutPrefix(name, "#1/"); ok {
		if l, err := strconv.ParseInt(l, 10, 32); err == nil && l >= 0 && l <= data.n {
			return strings.TrimRight(string(readAt(data, 0, min(l, maxName))), "\x00"), newView(data, l, data.n-l)
		}
	}
	if len(name) > 1 && name[0] == '/' {
		if i, err := strconv.Atoi(name[1:]); err == nil && i >= 0 && i < len(long) {
			name, _, _ = strings.Cut(string(long[i:min(len(long), i+maxName)]), "\n")
		}
	}
	return strings.TrimSuffix(name, "/"), data
}

// expandCpio visits the members of a cpio archive, "newc" or "odc".
func (k *walk) expandCpio(o *Object) error {
	size := o.Data.Size()
	for off := int64(0); off < size; {
		name, from, n, next, err := cpioHeader(readAt(o.Data, off, 110), off)
		if err != nil {
			if k.blank(o.Data, off, size-off) {
				return nil
			}
			return err
		}
		b := readAt(o.Data, name, min(from-name, 4096))
		text, _, _ := strings.Cut(string(b), "\x00")
		if text == "TRAILER!!!" {
			return k.trailing(o, o.Data, newSource(k.ctx, o.Data, next, size))
		}
		if n > size-from {
			return errors.New("cpio: cut off")
		}
		if n > 0 {
			if err := k.member(o, child{name: text, data: newView(o.Data, from, n)}); err != nil {
				return err
			}
		}
		off = next
	}
	return errors.New("cpio: no end mark")
}

func cpioHeader(h []byte, off int64) (name, from, size, next int64, err error) {
	bad := errors.New("cpio: damaged header")
	field := func(at, n, base int) int64 {
		v, e := strconv.ParseUint(string(h[at:at+n]), base, 40)
		if e != nil {
			err = bad
		}
		return int64(v)
	}
	switch {
	case len(h) == 110 && (string(h[:6]) == "070701" || string(h[:6]) == "070702"):
		nameLen := field(94, 8, 16)
		size = field(54, 8, 16)
		name = off + 110
		from = (name + nameLen + 3) &^ 3
		next = (from + size + 3) &^ 3
	case len(h) >= 76 && string(h[:6]) == "070707":
		nameLen := field(59, 6, 8)
		size = field(65, 11, 8)
		name = off + 76
		from = name + nameLen
		next = from + size
	default:
		err = bad
	}
	return name, from, size, next, err
}

// expandRPM skips the lead and the two headers and visits the payload.
func (k *walk) expandRPM(o *Object) error {
	off := int64(96)
	for i := range 2 {
		h := readAt(o.Data, off, 16)
		if len(h) < 16 || string(h[:3]) != "\x8e\xad\xe8" {
			return errors.New("rpm: damaged header")
		}
		n := 16 + 16*int64(binary.BigEndian.Uint32(h[8:])) + int64(binary.BigEndian.Uint32(h[12:]))
		off += n
		if i == 0 {
			off = (off + 7) &^ 7
		}
	}
	if off >= o.Data.Size() {
		return errors.New("rpm: cut off")
	}
	return k.member(o, child{name: "payload", data: newView(o.Data, off, o.Data.Size()-off)})
}

// probeSWF plans for Flash with a compressed body.
func (k *walk) probeSWF(o *Object, head []byte) expander {
	if len(head) < 12 || head[0] != 'C' {
		return nil
	}
	return func() error {
		return k.expandStream(o, newView(o.Data, 8, o.Data.Size()-8), "zlib", "(body)", false)
	}
}

// carveFront is how far into a picture or a text an archive is looked for, in
// bytes: tools that open such files look no further.
const carveFront = 8 << 20

// carveMarks are the signatures, each with its rarest bytes, by which it is
// found soonest.
var carveMarks = [...]struct{ kind, sig, rare string }{
	{"7z", sevenSig, sevenSig[2:]}, {"rar", "Rar!\x1a\x07", "\x1a\x07"}, {"cab", "MSCF\x00\x00\x00\x00", "MSCF"},
}

// mayCarve tells whether b could hold an archive that probeCarve would find.
func mayCarve(b []byte) bool {
	for _, m := range carveMarks[:2] {
		for rest := b; ; {
			i := bytes.Index(rest, []byte(m.rare))
			if i < 0 {
				break
			}
			if before := rest[:i+len(m.rare)]; bytes.HasSuffix(before, []byte(m.sig)) {
				return true
			}
			rest = rest[i+1:]
		}
	}
	return false
}

// probeCarve looks for an archive up to an offset: one that an executable or a
// script carries to unpack itself, or that stands behind something harmless.
// Cabinets are looked for in the former only.
func (k *walk) probeCarve(o *Object, to int64) expander {
	type find struct {
		kind string
		at   int64
	}
	var found []find
	marks := carveMarks[:]
	if to == carveFront {
		marks = marks[:2]
	}
	for _, m := range marks {
		for from, tries := int64(1), 0; tries < 16; {
			at, err := k.find(o.Data, from, to, []byte(m.rare))
			if err != nil || at < 0 {
				break
			}
			from = at + 1
			at -= int64(len(m.sig) - len(m.rare))
			if m.kind == "cab" {
				at = from - 1
			}
			if string(readAt(o.Data, at, int64(len(m.sig)))) != m.sig {
				continue
			}
			tries++
			if carved(m.kind, readAt(o.Data, at, 64), o.Data.Size()-at) {
				found = append(found, find{m.kind, at})
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return func() error {
		for _, f := range found {
			v := newView(o.Data, f.at, o.Data.Size()-f.at)
			if err := k.member(o, child{name: fmt.Sprintf("%s at %d", f.kind, f.at), data: v}); err != nil {
				return err
			}
		}
		return nil
	}
}

// carved tells whether a signature in the middle of something is followed by a
// header that is right.
func carved(kind string, h []byte, size int64) bool {
	switch kind {
	case "7z":
		return len(h) >= sevenStart && sevenHeaderOK(h[:sevenStart])
	case "rar":
		return len(h) >= 20 && carvedRAR(h)
	case "cab":
		return len(h) >= 36 && h[25] == 1 && h[24] <= 3 && int64(binary.LittleEndian.Uint32(h[8:])) <= size &&
			bytes.Equal(h[12:16], make([]byte, 4))
	}
	return false
}

// carvedRAR checks the header behind the signature of version 4, where the main
// header has type 0x73, or of version 5.
func carvedRAR(h []byte) bool {
	if h[6] == 0 {
		return h[9] == 0x73 && uint16(crc32.ChecksumIEEE(h[9:20])) == binary.LittleEndian.Uint16(h[7:])
	}
	return h[6] == 1 && h[7] == 0 && h[12] > 1 && int(h[12]) < len(h)-13 &&
		crc32.ChecksumIEEE(h[12:13+int(h[12])]) == binary.LittleEndian.Uint32(h[8:])
}
