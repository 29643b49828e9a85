package content

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"testing"
	"unicode/utf16"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// maker packs one file into a container.
type maker struct {
	name string
	make func(t testing.TB, b []byte) []byte
}

func makers() []maker {
	return []maker{
		{"zip-stored", func(t testing.TB, b []byte) []byte { return makeZip(t, zip.Store, "a.bin", b) }},
		{"zip-deflate", func(t testing.TB, b []byte) []byte { return makeZip(t, zip.Deflate, "a.bin", b) }},
		{"gzip", makeGzip}, {"tar", makeTar}, {"zlib", makeZlib}, {"zstd", makeZstd}, {"xz", makeXZ}, {"lzma", makeLZMA},
		{"bzip2", func(t testing.TB, b []byte) []byte {
			return packWith(t, "-", map[string][]byte{"a": b}, "bzip2", "-c", "a")
		}},
		{"lz4", makeLZ4},
		{"7z", func(t testing.TB, b []byte) []byte { return make7z(t, b) }},
		{"rar4", makeRAR4}, {"rar5", makeRAR5}, {"ar", makeAr}, {"cpio", makeCpio}, {"rpm", makeRPM},
		{"cab-stored", func(_ testing.TB, b []byte) []byte { return makeCab(b, 0) }},
		{"cab-mszip", func(_ testing.TB, b []byte) []byte { return makeCab(b, 1) }},
		{"iso", func(t testing.TB, b []byte) []byte {
			return packWith(t, "x.iso", map[string][]byte{"in/a.bin": b}, "genisoimage", "-quiet", "-J", "-o", "x.iso", "in")
		}},
		{"ole", makeOLEFile}, {"eml", makeMail}, {"html", makeHTML}, {"json", makeJSON}, {"rtf", makeRTF}, {"pdf", makePDF},
		{"sfx", func(t testing.TB, b []byte) []byte { return append(stub(), makeZip(t, zip.Deflate, "a.bin", b)...) }},
		{"sfx-7z", func(t testing.TB, b []byte) []byte { return append(stub(), make7z(t, b)...) }},
		{"z", makeZ},
	}
}

// stub looks like an executable that unpacks what follows it.
func stub() []byte { return append([]byte("MZ\x90\x00"), bytes.Repeat([]byte{0x90, 0x13, 7}, 3000)...) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func makeZip(t testing.TB, method uint16, name string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
	must(t, err)
	_, err = f.Write(b)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

func compress(t testing.TB, b []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := open(&buf)
	must(t, err)
	_, err = w.Write(b)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

func makeGzip(t testing.TB, b []byte) []byte {
	return compress(t, b, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
}

func makeZlib(t testing.TB, b []byte) []byte {
	return compress(t, b, func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil })
}

func makeDeflate(t testing.TB, b []byte) []byte {
	return compress(t, b, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 6) })
}

func makeBrotli(t testing.TB, b []byte) []byte {
	return compress(t, b, func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriter(w), nil })
}

func makeZstd(t testing.TB, b []byte) []byte {
	return compress(t, b, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
}

func makeXZ(t testing.TB, b []byte) []byte {
	return compress(t, b, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
}

func makeLZMA(t testing.TB, b []byte) []byte {
	return compress(t, b, func(w io.Writer) (io.WriteCloser, error) { return lzma.NewWriter(w) })
}

func makeLZ4(t testing.TB, b []byte) []byte {
	return compress(t, b, func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil })
}

func make7z(t testing.TB, b []byte, args ...string) []byte {
	return packWith(t, "x.7z", map[string][]byte{"a.bin": b}, "7z", append(append([]string{"a", "-bd"}, args...), "x.7z", "a.bin")...)
}

func makeTar(t testing.TB, b []byte) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Name: "a.bin", Mode: 0o644, Size: int64(len(b))}))
	_, err := w.Write(b)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

// makeRAR4 writes a stored RAR 2.9 archive.
func makeRAR4(_ testing.TB, b []byte) []byte {
	out := []byte("Rar!\x1a\x07\x00")
	block := func(h []byte) {
		out = binary.LittleEndian.AppendUint16(out, uint16(crc32.ChecksumIEEE(h)))
		out = append(out, h...)
	}
	le16, le32 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32
	block(append([]byte{0x73, 0, 0, 13, 0}, make([]byte, 6)...))
	name := "a.bin"
	h := []byte{0x74}
	h = le16(h, 0x8000)
	h = le16(h, uint16(32+len(name)))
	h = le32(h, uint32(len(b)))
	h = le32(h, uint32(len(b)))
	h = append(h, 3) // Unix
	h = le32(h, crc32.ChecksumIEEE(b))
	h = le32(h, 0x5a000000)
	h = append(h, 29, 0x30)
	h = le16(h, uint16(len(name)))
	h = le32(h, 0o100644)
	block(append(h, name...))
	out = append(out, b...)
	block([]byte{0x7b, 0, 0x40, 7, 0})
	return out
}

// makeRAR5 writes a stored RAR 5 archive.
func makeRAR5(_ testing.TB, b []byte) []byte {
	out := []byte("Rar!\x1a\x07\x01\x00")
	block := func(h []byte) {
		full := append(binary.AppendUvarint(nil, uint64(len(h))), h...)
		out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(full))
		out = append(out, full...)
	}
	block([]byte{1, 0, 0})
	name := "a.bin"
	h := []byte{2, 2}
	h = binary.AppendUvarint(h, uint64(len(b)))
	h = append(h, 4) // a CRC32 follows
	h = binary.AppendUvarint(h, uint64(len(b)))
	h = binary.AppendUvarint(h, 0o100644)
	h = binary.LittleEndian.AppendUint32(h, crc32.ChecksumIEEE(b))
	h = append(h, 0, 1, byte(len(name)))
	block(append(h, name...))
	out = append(out, b...)
	block([]byte{5, 0, 0})
	return out
}

func makeAr(_ testing.TB, b []byte) []byte {
	out := fmt.Appendf([]byte("!<arch>\n"), "%-16s%-12d%-6d%-6d%-8o%-10d`\n", "a.bin/", 0, 0, 0, 0o644, len(b))
	out = append(out, b...)
	if len(b)%2 == 1 {
		out = append(out, '\n')
	}
	return out
}

func makeCpio(_ testing.TB, b []byte) []byte {
	var out []byte
	add := func(name string, b []byte) {
		out = fmt.Appendf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
			1, 0o100644, 0, 0, 1, 0, len(b), 0, 0, 0, 0, len(name)+1, 0, name)
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
		out = append(out, b...)
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
	}
	add("a.bin", b)
	add("TRAILER!!!", nil)
	return out
}

func makeRPM(t testing.TB, b []byte) []byte {
	out := append([]byte("\xed\xab\xee\xdb"), make([]byte, 92)...)
	header := []byte("\x8e\xad\xe8\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	out = append(append(out, header...), header...)
	return append(out, makeGzip(t, makeCpio(t, b))...)
}

func makeCab(b []byte, method uint16) []byte {
	le16, le32 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32
	var data []byte
	blocks := 0
	var history []byte
	for rest := b; len(rest) > 0; blocks++ {
		piece := rest[:min(len(rest), 32768)]
		rest = rest[len(piece):]
		packed := piece
		if method == 1 {
			var buf bytes.Buffer
			w, err := flate.NewWriterDict(&buf, 6, history)
			if err != nil {
				panic(err)
			}
			_, _ = w.Write(piece)
			_ = w.Close()
			packed = append([]byte("CK"), buf.Bytes()...)
			history = piece
		}
		data = le32(data, 0)
		data = le16(data, uint16(len(packed)))
		data = le16(data, uint16(len(piece)))
		data = append(data, packed...)
	}
	return cabAround(len(b), blocks, method, data)
}

func cabAround(size, blocks int, method uint16, data []byte) []byte {
	le16, le32 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32
	name := "a.bin\x00"
	start := 36 + 8 + 16 + len(name)
	out := le32([]byte("MSCF\x00\x00\x00\x00"), uint32(start+len(data)))
	out = le32(le32(le32(out, 0), 44), 0)
	out = append(out, 3, 1)
	out = le16(le16(le16(le16(le16(out, 1), 1), 0), 0), 0)
	out = le16(le16(le32(out, uint32(start)), uint16(blocks)), method)
	out = le32(le32(out, uint32(size)), 0)
	out = le16(le16(le16(le16(out, 0), 0), 0), 0x20)
	out = append(out, name...)
	return append(out, data...)
}

// oleStream is one stream for makeOLE.
type oleStream struct {
	name string
	data []byte
}

func makeOLEFile(_ testing.TB, b []byte) []byte {
	native := binary.LittleEndian.AppendUint32(nil, uint32(len(b)+40))
	native = append(native, 2, 0)
	native = append(native, "a.bin\x00C:\\a.bin\x00\x00\x00\x03\x00"...)
	native = binary.LittleEndian.AppendUint32(native, 7)
	native = append(native, "C:\\tmp\x00"...)
	native = binary.LittleEndian.AppendUint32(native, uint32(len(b)))
	return makeOLE([]oleStream{{"\x01Ole10Native", append(native, b...)}})
}

// makeOLE writes a compound file of version 3 with all streams in ordinary
// sectors, as if the cutoff were 0, or with small ones in the mini stream.
func makeOLE(streams []oleStream) []byte {
	const end, free = 0xfffffffe, 0xffffffff
	le32 := binary.LittleEndian.AppendUint32
	var fat []uint32
	var body []byte
	add := func(b []byte) uint32 {
		if len(b) == 0 {
			return end
		}
		start := uint32(len(fat))
		for i := 0; i < len(b); i += 512 {
			s := make([]byte, 512)
			copy(s, b[i:])
			body = append(body, s...)
			fat = append(fat, uint32(len(fat)+1))
		}
		fat[len(fat)-1] = end
		return start
	}
	var mini []byte
	var miniFAT []uint32
	dirs := []byte{}
	entry := func(name string, kind byte, start uint32, size int, child uint32) {
		e := make([]byte, 128)
		for i, c := range utf16.Encode([]rune(name)) {
			binary.LittleEndian.PutUint16(e[2*i:], c)
		}
		binary.LittleEndian.PutUint16(e[64:], uint16(2*len(utf16.Encode([]rune(name)))+2))
		e[66], e[67] = kind, 1
		binary.LittleEndian.PutUint32(e[68:], free)
		binary.LittleEndian.PutUint32(e[72:], free)
		binary.LittleEndian.PutUint32(e[76:], child)
		binary.LittleEndian.PutUint32(e[116:], start)
		binary.LittleEndian.PutUint64(e[120:], uint64(size))
		dirs = append(dirs, e...)
	}
	var rest []byte
	for _, s := range streams {
		if len(s.data) >= 4096 {
			start := add(s.data)
			entry(s.name, 2, start, len(s.data), free)
			continue
		}
		start := uint32(len(miniFAT))
		for i := 0; i < len(s.data); i += 64 {
			p := make([]byte, 64)
			copy(p, s.data[i:])
			mini = append(mini, p...)
			miniFAT = append(miniFAT, uint32(len(miniFAT)+1))
		}
		if len(s.data) > 0 {
			miniFAT[len(miniFAT)-1] = end
		}
		entry(s.name, 2, start, len(s.data), free)
	}
	rest, dirs = dirs, nil
	entry("Root Entry", 5, add(mini), len(mini), 1)
	dirs = append(dirs, rest...)
	dirStart := add(dirs)
	var mf []byte
	for _, v := range miniFAT {
		mf = le32(mf, v)
	}
	for len(mf)%512 != 0 {
		mf = le32(mf, free)
	}
	mfStart := add(mf)
	n := len(fat)
	sectors := (n + n/127 + 128) / 128
	for range sectors {
		fat = append(fat, 0xfffffffd)
	}
	var fb []byte
	for _, v := range fat {
		fb = le32(fb, v)
	}
	for len(fb)%512 != 0 {
		fb = le32(fb, free)
	}
	h := append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 16)...)
	h = append(h, 0x3e, 0, 3, 0, 0xfe, 0xff, 9, 0, 6, 0, 0, 0, 0, 0, 0, 0)
	h = le32(h, 0)
	h = le32(h, uint32(len(fb)/512))
	h = le32(le32(le32(h, dirStart), 0), 4096)
	h = le32(le32(h, mfStart), uint32(len(mf)/512))
	h = le32(le32(h, end), 0)
	for i := range 109 {
		if i < len(fb)/512 {
			h = le32(h, uint32(n+i))
		} else {
			h = le32(h, free)
		}
	}
	return append(append(h, body...), fb...)
}

func wrap76(s string) string {
	var b []byte
	for len(s) > 76 {
		b = append(b, s[:76]+"\r\n"...)
		s = s[76:]
	}
	return string(append(b, s...))
}

func makeMail(_ testing.TB, b []byte) []byte {
	return []byte("From: a@example.org\r\nTo: b@example.org\r\nSubject: hi\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=\"xyz\"\r\n\r\n--xyz\r\nContent-Type: text/plain\r\n\r\nhello\r\n" +
		"--xyz\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=a.bin\r\n\r\n" + wrap76(base64.StdEncoding.EncodeToString(b)) + "\r\n--xyz--\r\n")
}

func makeHTML(_ testing.TB, b []byte) []byte {
	return []byte("<html><body><a download href=\"data:application/octet-stream;base64," + base64.StdEncoding.EncodeToString(b) + "\">x</a></body></html>")
}

func makeJSON(_ testing.TB, b []byte) []byte {
	return []byte(`{"name":"a.bin","content":"` + base64.StdEncoding.EncodeToString(b) + `"}`)
}

func makeRTF(_ testing.TB, b []byte) []byte {
	ole := binary.LittleEndian.AppendUint32([]byte{1, 5, 0, 0, 2, 0, 0, 0}, 8)
	ole = append(ole, "Package\x00"...)
	ole = append(ole, make([]byte, 8)...)
	ole = binary.LittleEndian.AppendUint32(ole, uint32(len(b)+40))
	ole = append(ole, 2, 0)
	ole = append(ole, "a.bin\x00C:\\a.bin\x00\x00\x00\x03\x00"...)
	ole = binary.LittleEndian.AppendUint32(ole, 7)
	ole = append(ole, "C:\\tmp\x00"...)
	ole = binary.LittleEndian.AppendUint32(ole, uint32(len(b)))
	ole = append(ole, b...)
	return []byte("{\\rtf1{\\object\\objemb{\\*\\objdata " + hex.EncodeToString(ole) + "}}}")
}

func makePDF(t testing.TB, b []byte) []byte {
	z := makeZlib(t, b)
	return append(append(fmt.Appendf(nil, "%%PDF-1.7\n1 0 obj\n<</Type/EmbeddedFile/Filter/FlateDecode/Length %d>>\nstream\n", len(z)), z...),
		"\nendstream\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"...)
}

// makeZ writes the format of compress(1) with 9-bit codes only: the table is
// emptied before it would grow.
func makeZ(_ testing.TB, b []byte) []byte {
	out := []byte{0x1f, 0x9d, 0x80 | 16}
	var acc, have uint
	codes := 0
	put := func(c uint) {
		acc |= c << have
		have += 9
		for have >= 8 {
			out = append(out, byte(acc))
			acc >>= 8
			have -= 8
		}
		codes++
	}
	n := 0
	for _, c := range b {
		put(uint(c))
		if n++; n == 200 {
			put(256)
			for codes%8 != 0 { // the rest of a group of eight codes is skipped
				put(0)
			}
			n = 0
		}
	}
	if have > 0 {
		out = append(out, byte(acc))
	}
	return out
}
