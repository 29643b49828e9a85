package content

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// probeOLE finds out which document a compound file is, whether it is encrypted
// and whether it carries macros, and plans a visit of its streams.
func (k *walk) probeOLE(o *Object) expander {
	f, err := readCFB(o.Data)
	if err != nil {
		return func() error { return err }
	}
	for i := range f.entries {
		f.learn(o, &f.entries[i])
	}
	return func() error { return k.expandOLE(o, f) }
}

// learn looks at the name of an entry, and at the first bytes of the streams
// that tell more.
func (f *cfbFile) learn(o *Object, e *cfbEntry) {
	name := strings.ToLower(e.name)
	switch e.kind {
	case 1:
		o.Macros = o.Macros || name == "_vba_project_cur" || name == "macros" || name == "vba"
	case 2:
		f.learnStream(o, e, name)
	case 5:
		if e.dir == 0 && f.isMSI() {
			o.Type = "msi"
		}
	}
}

func (f *cfbFile) learnStream(o *Object, e *cfbEntry, name string) {
	switch name {
	case "worddocument":
		o.Type = "doc"
		// FibBase, bit fEncrypted ([MS-DOC] 2.5.2).
		if h := f.head(e, 32); len(h) == 32 && binary.LittleEndian.Uint16(h) == 0xa5ec && h[11]&1 != 0 {
			o.Encrypted = true
		}
	case "workbook", "book":
		o.Type = "xls"
		f.biff(o, e)
	case "powerpoint document":
		o.Type = "ppt"
	case "current user":
		// CurrentUserAtom.headerToken ([MS-PPT] 2.3.2).
		if h := f.head(e, 16); len(h) == 16 && binary.LittleEndian.Uint32(h[12:]) == 0xf3d1c4df {
			o.Encrypted = true
		}
	case "encryptedpackage", "encryptedsummary":
		o.Encrypted = true
	case "_vba_project", "projectwm":
		o.Macros = true
	case "__properties_version1.0":
		o.Type = "msg"
	}
}

// isMSI knows the CLSID 000C1084-0000-0000-C000-000000000046 of the root entry.
func (f *cfbFile) isMSI() bool {
	h := readAt(f.c, 48, 4)
	if len(h) < 4 {
		return false
	}
	id := readAt(f.c, f.at(binary.LittleEndian.Uint32(h))+80, 16)
	return len(id) == 16 && id[1] == 0x10 && id[2] == 0x0c && id[3] == 0 && (id[0] == 0x84 || id[0] == 0x86) && id[8] == 0xc0 && id[15] == 0x46
}

const biffLook = 4 << 20 // bytes of a workbook that are searched for records

// biff looks for the records FILEPASS and BOUNDSHEET of a macro sheet
// ([MS-XLS] 2.4.117 and 2.4.28) in the globals of a workbook.
func (f *cfbFile) biff(o *Object, e *cfbEntry) {
	b := f.head(e, biffLook)
	for len(b) >= 4 {
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		b = b[4:]
		if n > len(b) {
			return
		}
		switch {
		case id == 0x2f:
			o.Encrypted = true
			return // what follows is encrypted
		case id == 0x85 && n >= 6 && b[5] == 1:
			o.Macros = true
		case id == 0x0a:
			return
		}
		b = b[n:]
	}
}

// expandOLE visits all streams. Encrypted packages hold nothing to see.
func (k *walk) expandOLE(o *Object, f *cfbFile) error {
	for i := range f.entries {
		e := &f.entries[i]
		if e.kind != 2 || e.size == 0 || o.Encrypted && strings.EqualFold(e.name, "EncryptedPackage") {
			continue
		}
		name := e.name
		if o.Type == "msi" {
			name = msiName(name)
		}
		s := f.open(e)
		bad, err := k.child(o, child{name: name, src: s, packed: max(o.Data.Size(), 1)})
		if err != nil {
			return err
		}
		if bad != nil && f.damage == nil {
			f.damage = errCFB
		}
		if strings.HasSuffix(strings.ToLower(name), "ole10native") {
			if err := k.ole10Native(o, f, e); err != nil {
				return err
			}
		}
	}
	return f.damage
}

// msiName undoes the packing of two characters into one that Windows Installer
// uses for stream names.
func msiName(s string) string {
	const set = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 0x3800 && r < 0x4800:
			b.WriteByte(set[(r-0x3800)&63])
			b.WriteByte(set[(r-0x3800)>>6&63])
		case r >= 0x4800 && r < 0x4840:
			b.WriteByte(set[r-0x4800])
		case r == 0x4840:
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ole10Native visits the file in a packager object: a length, and then either
// label, path, flags, temporary path and the data, or data at once ([MS-OLEDS]
// 2.3.6).
func (k *walk) ole10Native(o *Object, f *cfbFile, e *cfbEntry) error {
	h := f.head(e, 4<<10)
	if len(h) < 10 {
		return nil
	}
	name, at := "embedded", int64(4)
	p := h[6:]
	label, p, ok1 := bytes.Cut(p, []byte{0})
	_, p, ok2 := bytes.Cut(p, []byte{0})
	if ok1 && ok2 && len(p) > 8 {
		p = p[4:]
		n := int(binary.LittleEndian.Uint32(p))
		if n >= 0 && n <= len(p)-8 {
			p = p[4+n:]
			name, at = string(label), int64(len(h)-len(p)+4)
		}
	}
	s := f.open(e)
	if n, _ := io.CopyN(io.Discard, s, at); n < at {
		return nil // cut off before the file: the stream itself was visited
	}
	return k.member(o, child{name: name, src: s})
}
