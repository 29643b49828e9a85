package content

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
)

// zipMember says what the two headers of a member are to contain.
type zipMember struct {
	name        string
	method      uint16 // in both headers
	localMethod uint16 // in the local header when different is set
	different   bool
	flags       uint16
	raw         []byte // packed bytes
	crc         uint32
	usize       uint32
	noCentral   bool
	localName   string
	badLocal    bool // sizes of 0 in the local header without a descriptor flag
}

func storedMember(name string, b []byte) zipMember {
	return zipMember{name: name, raw: b, crc: crc32.ChecksumIEEE(b), usize: uint32(len(b))}
}

func deflatedMember(name string, b []byte) zipMember {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, 6)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(b)
	_ = w.Close()
	return zipMember{name: name, method: 8, raw: buf.Bytes(), crc: crc32.ChecksumIEEE(b), usize: uint32(len(b))}
}

// rawZip writes members exactly as told. base is added to all offsets.
func rawZip(base int, comment []byte, members ...zipMember) []byte {
	le16, le32 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32
	var out, dir []byte
	n := 0
	for _, m := range members {
		at := len(out) + base
		method, name := m.method, m.name
		if m.different {
			method = m.localMethod
		}
		if m.localName != "" {
			name = m.localName
		}
		csize, usize := uint32(len(m.raw)), m.usize
		if m.badLocal {
			csize, usize = 0, 0
		}
		h := []byte("PK\x03\x04\x14\x00")
		h = le16(le16(le32(h, uint32(m.flags)|uint32(method)<<16), 0), 0)
		h = le32(le32(le32(h, m.crc), csize), usize)
		h = le16(le16(h, uint16(len(name))), 0)
		out = append(append(append(out, h...), name...), m.raw...)
		if m.noCentral {
			continue
		}
		n++
		d := []byte("PK\x01\x02\x14\x00\x14\x00")
		d = le16(le16(le32(d, uint32(m.flags)|uint32(m.method)<<16), 0), 0)
		d = le32(le32(le32(d, m.crc), uint32(len(m.raw))), m.usize)
		d = le16(le16(le16(d, uint16(len(m.name))), 0), 0)
		d = le32(le32(le32(d, 0), 0), uint32(at))
		dir = append(append(dir, d...), m.name...)
	}
	at := len(out) + base
	out = append(out, dir...)
	e := []byte("PK\x05\x06\x00\x00\x00\x00")
	e = le16(le16(e, uint16(n)), uint16(n))
	e = le32(le32(e, uint32(len(dir))), uint32(at))
	e = le16(e, uint16(len(comment)))
	return append(append(out, e...), comment...)
}

func TestMalformedZips(t *testing.T) {
	e := eicar()
	good := rawZip(0, nil, storedMember("readme.txt", []byte("hello")))
	evil := rawZip(0, nil, deflatedMember("evil.txt", e))
	lie := deflatedMember("evil.txt", e)
	lie.method = 0
	lie.usize = uint32(len(lie.raw))
	lie.crc = crc32.ChecksumIEEE(lie.raw)
	storedAsDeflated := storedMember("evil.txt", e)
	storedAsDeflated.method = 8
	disagree := deflatedMember("evil.txt", e)
	disagree.different, disagree.localMethod, disagree.method = true, 8, 0
	disagree2 := deflatedMember("evil.txt", e)
	disagree2.different, disagree2.localMethod = true, 0
	fakeLocked := deflatedMember("evil.txt", e)
	fakeLocked.flags = 1
	fakeLockedStored := storedMember("evil.txt", e)
	fakeLockedStored.flags = 1
	hidden := deflatedMember("evil.txt", e)
	hidden.noCentral = true
	badCRC := deflatedMember("evil.txt", e)
	badCRC.crc++
	zeroLocal := deflatedMember("evil.txt", e)
	zeroLocal.badLocal = true
	unknown := storedMember("evil.txt", e)
	unknown.method = 77
	otherName := deflatedMember("nice.txt", e)
	otherName.localName = "evil.exe"
	tests := []struct {
		name   string
		zip    []byte
		found  bool // EICAR must be visited; else it must be refused
		faults error
	}{
		{"honest", evil, true, nil},
		{"method says stored but is deflated", rawZip(0, nil, lie), true, nil},
		{"method says deflated but is stored", rawZip(0, nil, storedAsDeflated), true, ErrDamaged},
		{"central stored, local deflated", rawZip(0, nil, disagree), true, ErrDamaged},
		{"central deflated, local stored", rawZip(0, nil, disagree2), true, ErrDamaged},
		{"encrypted flag lies, deflated", rawZip(0, nil, fakeLocked), true, nil},
		{"encrypted flag lies, stored", rawZip(0, nil, fakeLockedStored), true, nil},
		{"member only in a local header", rawZip(0, nil, storedMember("a", []byte("hello")), hidden, storedMember("b", []byte("hello"))), true, nil},
		{"last member only in a local header", rawZip(0, nil, storedMember("a", []byte("hello")), hidden), true, nil},
		{"wrong checksum", rawZip(0, nil, badCRC), true, ErrDamaged},
		{"local sizes of zero", rawZip(0, nil, zeroLocal), true, nil},
		{"unknown method", rawZip(0, nil, unknown), true, ErrDamaged},
		{"other name in the local header", rawZip(0, nil, otherName), true, nil},
		{"prepended", append([]byte("some text before"), evil...), true, nil},
		{"prepended, offsets adjusted", append(bytes.Repeat([]byte("x"), 100), rawZip(100, nil, deflatedMember("evil.txt", e))...), true, nil},
		{"appended", append(slices.Clone(evil), bytes.Repeat([]byte("tail "), 100)...), true, nil},
		{"appended 100 KiB", append(slices.Clone(evil), bytes.Repeat([]byte("tail "), 20<<10)...), true, nil},
		{"two zips, evil first", append(slices.Clone(evil), good...), true, nil},
		{"two zips, evil last", append(slices.Clone(good), evil...), true, nil},
		{"zip in the comment", rawZip(0, evil, storedMember("a", []byte("hello"))), true, nil},
		{"end record in the comment", rawZip(0, good[bytes.Index(good, sigEOCD):], deflatedMember("evil.txt", e)), true, ErrDamaged},
		{"duplicate names", rawZip(0, nil, storedMember("a.txt", []byte("hello")), deflatedMember("a.txt", e)), true, nil},
		{"duplicate names, evil first", rawZip(0, nil, deflatedMember("a.txt", e), storedMember("a.txt", []byte("hello"))), true, nil},
		{"no central directory", evil[:bytes.Index(evil, sigCentral)], true, ErrDamaged},
		{"cut in the directory", evil[:len(evil)-30], true, ErrDamaged},
		{"cut in the member", evil[:60], false, ErrDamaged},
		{"directory counts too many", func() []byte { b := slices.Clone(evil); b[len(b)-12]++; return b }(), true, ErrDamaged},
		{"empty archive", rawZip(0, nil), false, nil},
		{"appended to a picture", append([]byte("\x89PNG\r\n\x1a\n0000IHDR"), evil...), true, nil},
		{"appended to a page", append([]byte("<html>hello</html>"), evil...), true, nil},
		{"path tricks in the name", rawZip(0, nil, deflatedMember("../../\x00etc/\u202ecod.exe", e)), true, nil},
		{"absurd name", rawZip(0, nil, deflatedMember(strings.Repeat("a/", 30000), e)), true, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, m := range []Message{{Body: bytesView(test.zip)}, {Body: onDisk(t, test.zip)}} {
				r := walkMessage(t, NewWalker(newStore(t, 1<<20), Limits{}), m)
				if r.has(e) != test.found {
					t.Errorf("%d: found: %v\n%s", i, r.has(e), r.paths())
				}
				if !errors.Is(r.err, test.faults) {
					t.Errorf("%d: error %v, want %v", i, r.err, test.faults)
				}
				for _, o := range r.objects {
					if len(o.Name) > 512+4 || strings.ContainsAny(o.Path, "\x00\u202e\n") {
						t.Errorf("name is not fit to show: %q", o.Path)
					}
				}
			}
		})
	}
}

func TestZipMethodsOf7z(t *testing.T) {
	text := bytes.Repeat(eicar(), 500)
	for _, method := range []string{"Copy", "Deflate", "Deflate64", "BZip2", "LZMA"} {
		t.Run(method, func(t *testing.T) {
			b := packWith(t, "x.zip", map[string][]byte{"a.txt": text}, "7z", "a", "-bd", "-tzip", "-mm="+method, "x.zip", "a.txt")
			if r := walkBytes(t, b); !r.has(text) || r.err != nil {
				t.Errorf("%v\n%s", r.err, r.paths())
			}
		})
	}
}

func TestRareZipMethods(t *testing.T) {
	text := bytes.Repeat(eicar(), 50)
	for method, pack := range map[uint16]func(testing.TB, []byte) []byte{20: makeZstd, 93: makeZstd, 95: makeXZ, 12: func(t testing.TB, b []byte) []byte {
		return packWith(t, "-", map[string][]byte{"a": b}, "bzip2", "-c", "a")
	}} {
		m := storedMember("a.txt", text)
		m.method, m.raw = method, pack(t, text)
		if r := walkBytes(t, rawZip(0, nil, m)); !r.has(text) || r.err != nil {
			t.Errorf("method %d: %v\n%s", method, r.err, r.paths())
		}
	}
}

func TestZip64AndStreams(t *testing.T) {
	b := packWith(t, "x.zip", map[string][]byte{"a.txt": eicar()}, "zip", "-q", "-fz", "x.zip", "a.txt")
	if r := walkBytes(t, b); !r.has(eicar()) || r.err != nil {
		t.Errorf("zip64: %v\n%s", r.err, r.paths())
	}
	b = packWith(t, "-", map[string][]byte{"a.txt": bytes.Repeat(eicar(), 100)}, "sh", "-c", "zip -q - a.txt | cat")
	if r := walkBytes(t, b); !r.has(bytes.Repeat(eicar(), 100)) || r.err != nil {
		t.Errorf("streamed: %v\n%s", r.err, r.paths())
	}
}

func TestEncryptedArchives(t *testing.T) {
	e := map[string][]byte{"a.txt": bytes.Repeat(eicar(), 20)}
	tests := []struct {
		name   string
		data   []byte
		member bool // a member is marked, not the archive
	}{
		{"zip", packWith(t, "x.zip", e, "zip", "-q", "-P", "secret", "x.zip", "a.txt"), true},
		{"zip AES", packWith(t, "x.zip", e, "7z", "a", "-bd", "-psecret", "-mem=AES256", "x.zip", "a.txt"), true},
		{"7z", packWith(t, "x.7z", e, "7z", "a", "-bd", "-psecret", "x.7z", "a.txt"), true},
		{"7z with headers", packWith(t, "x.7z", e, "7z", "a", "-bd", "-psecret", "-mhe=on", "x.7z", "a.txt"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := walkBytes(t, test.data)
			if r.err != nil {
				t.Error(r.err)
			}
			if test.member {
				if o := r.find("a.txt"); o == nil || !o.Encrypted || r.objects[0].Encrypted {
					t.Errorf("member not marked\n%s", r.paths())
				}
			} else if !r.objects[0].Encrypted {
				t.Error("archive not marked")
			}
		})
	}
}

// There is no writer of RAR here: headers are set by hand.
func TestEncryptedRAR(t *testing.T) {
	fix := func(b []byte, at, n int) []byte { // a header's own checksum
		binary.LittleEndian.PutUint16(b[at:], uint16(crc32.ChecksumIEEE(b[at+2:at+n])))
		return b
	}
	member := makeRAR4(t, eicar())
	member[20+3] |= 4 // the file's flags
	fix(member, 20, 37)
	headers := makeRAR4(t, eicar())
	headers[7+3] |= 0x80
	fix(headers, 7, 13)
	five := []byte("Rar!\x1a\x07\x01\x00")
	lock := append([]byte{4, 0, 0, 0, 15}, make([]byte, 16)...)
	lock = append(binary.AppendUvarint(nil, uint64(len(lock))), lock...)
	five = binary.LittleEndian.AppendUint32(five, crc32.ChecksumIEEE(lock))
	five = append(append(five, lock...), randomBytes(1, 200)...)
	for name, b := range map[string][]byte{"member": member, "headers": headers, "headers of version 5": five} {
		r := walkBytes(t, b)
		locked := false
		for _, o := range r.objects {
			locked = locked || o.Encrypted
		}
		if !locked || r.err != nil {
			t.Errorf("%s: not marked, %v\n%s", name, r.err, r.paths())
		}
	}
}

func TestSevenZipMethods(t *testing.T) {
	text := bytes.Repeat(eicar(), 3000)
	for _, args := range [][]string{{"-mx0"}, {"-mx9"}, {"-m0=LZMA"}, {"-m0=LZMA2:d=64m"}, {"-m0=PPMd"}, {"-m0=BZip2"}, {"-m0=Deflate"}, {"-m0=Deflate64"},
		{"-m0=BCJ", "-m1=LZMA2"}, {"-m0=Delta:4", "-m1=LZMA2"}, {"-mhc=off"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			if r := walkBytes(t, make7z(t, text, args...)); !r.has(text) || r.err != nil {
				t.Errorf("%v\n%s", r.err, r.paths())
			}
		})
	}
}

// A file that lies twice in a solid archive is no bomb.
func TestTwiceTheSameIsNoBomb(t *testing.T) {
	big := randomBytes(7, 9<<20)
	b := packWith(t, "x.7z", map[string][]byte{"a.bin": big, "b.bin": big}, "7z", "a", "-bd", "-mx1", "-md=32m", "x.7z", "a.bin", "b.bin")
	if len(b) > 12<<20 {
		t.Fatal("7z did not find them alike")
	}
	r := walkBytes(t, b)
	if len(r.objects) != 3 || r.err != nil {
		t.Errorf("%v\n%s", r.err, r.paths())
	}
}

// The machine's own programs go through the filters for executables.
func TestSevenZipExecutables(t *testing.T) {
	program := readProgram(t)
	for _, args := range [][]string{{"-mf=BCJ2"}, {"-mf=BCJ"}, {"-m0=ARM64", "-m1=LZMA2"}, {"-m0=ARM", "-m1=LZMA2"}, {"-m0=PPC", "-m1=LZMA2"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			if args[0] == "-m0=ARM64" && !bytes.Contains(runTool(t, "", "7z", "i"), []byte("ARM64")) {
				return // this 7z is older than the filter
			}
			if r := walkBytes(t, make7z(t, program, args...)); !r.has(program) || r.err != nil {
				t.Errorf("%v\n%s", r.err, r.paths())
			}
		})
	}
	b := packWith(t, "-", map[string][]byte{"a": program}, "xz", "-c", "--x86", "--lzma2", "a")
	if r := walkBytes(t, b); !r.has(program) || r.err != nil {
		t.Errorf("xz with x86: %v\n%s", r.err, r.paths())
	}
}

func TestCureKeepsTheRest(t *testing.T) {
	store := newStore(t, 1<<20)
	locked := storedMember("c.bin", []byte("cannot be read"))
	locked.flags = 1
	b := rawZip(0, nil, deflatedMember("a.txt", []byte("hello")), deflatedMember("evil.txt", eicar()), locked, storedMember("d/e.txt", []byte("world")))
	cured, removed, err := Cure(context.Background(), store, bytesView(b), func(n string) bool { return n == "evil.txt" })
	must(t, err)
	defer cured.Close()
	if !slices.Equal(removed, []string{"evil.txt"}) {
		t.Errorf("removed %q", removed)
	}
	r := walkMessage(t, NewWalker(store, Limits{}), Message{Body: cured})
	if r.err != nil || r.has(eicar()) || !r.has([]byte("hello")) || !r.has([]byte("world")) || r.find("c.bin") == nil {
		t.Errorf("%v\n%s", r.err, r.paths())
	}
	z, err := zip.NewReader(cured, cured.Size())
	must(t, err)
	f, err := z.Open("a.txt")
	must(t, err)
	got, err := io.ReadAll(f)
	if err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCureRefuses(t *testing.T) {
	store := newStore(t, 1<<20)
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("hello"), "cut": rawZip(0, nil, storedMember("a", eicar()))[40:]} {
		if _, _, err := Cure(context.Background(), store, bytesView(b), func(string) bool { return false }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Cure(ctx, store, bytesView(makeZip(t, 8, "a", eicar())), func(string) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if m, d := store.Usage(); m != 0 || d != 0 {
		t.Errorf("%d bytes of memory and %d of disk were not given back", m, d)
	}
}
