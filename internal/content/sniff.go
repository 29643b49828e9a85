package content

import (
	"bytes"
	"encoding/binary"
)

// sniffLen is how many leading bytes Sniff wants to see; an ISO image, whose
// mark stands at 32769, is found by the walker itself.
const sniffLen = 1 << 10

type magic struct {
	id  string
	off int
	sig string
}

// magics is tried in order; the first byte picks candidates where off is 0.
var magics = [...]magic{
	{"zip", 0, "PK\x03\x04"}, {"zip", 0, "PK\x05\x06"}, {"zip", 0, "PK\x07\x08PK\x03\x04"}, {"zip", 0, "PK00PK\x03\x04"},
	{"7z", 0, "7z\xbc\xaf\x27\x1c"}, {"rar", 0, "Rar!\x1a\x07\x00"}, {"rar", 0, "Rar!\x1a\x07\x01\x00"}, {"rar", 0, "RE~^"},
	{"gzip", 0, "\x1f\x8b\x08"}, {"z", 0, "\x1f\x9d"}, {"xz", 0, "\xfd7zXZ\x00"}, {"zstd", 0, "\x28\xb5\x2f\xfd"},
	{"lz4", 0, "\x04\x22\x4d\x18"}, {"lz4", 0, "\x02\x21\x4c\x18"}, {"cab", 0, "MSCF\x00\x00\x00\x00"}, {"ole", 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
	{"ar", 0, "!<arch>\n"}, {"rpm", 0, "\xed\xab\xee\xdb"}, {"xar", 0, "xar!\x00\x1c"}, {"crx", 0, "Cr24"},
	{"cpio", 0, "070701"}, {"cpio", 0, "070702"}, {"cpio", 0, "070707"}, {"chm", 0, "ITSF\x03\x00\x00\x00"},
	{"elf", 0, "\x7fELF"}, {"macho", 0, "\xfe\xed\xfa\xce"}, {"macho", 0, "\xfe\xed\xfa\xcf"}, {"macho", 0, "\xce\xfa\xed\xfe"},
	{"macho", 0, "\xcf\xfa\xed\xfe"}, {"wasm", 0, "\x00asm"}, {"lnk", 0, "\x4c\x00\x00\x00\x01\x14\x02\x00"},
	{"png", 0, "\x89PNG\r\n\x1a\n"}, {"jpeg", 0, "\xff\xd8\xff"}, {"gif", 0, "GIF87a"}, {"gif", 0, "GIF89a"},
	{"tiff", 0, "II*\x00"}, {"tiff", 0, "MM\x00*"}, {"ico", 0, "\x00\x00\x01\x00"}, {"flac", 0, "fLaC"}, {"ogg", 0, "OggS"},
	{"mp3", 0, "ID3"}, {"mkv", 0, "\x1aE\xdf\xa3"}, {"flv", 0, "FLV\x01"}, {"wmv", 0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"},
	{"swf", 0, "FWS"}, {"swf", 0, "CWS"}, {"swf", 0, "ZWS"}, {"woff", 0, "wOFF"}, {"woff", 0, "wOF2"}, {"otf", 0, "OTTO"},
	{"otf", 0, "\x00\x01\x00\x00\x00"}, {"ps", 0, "%!PS"}, {"sqlite", 0, "SQLite format 3\x00"}, {"rtf", 0, "{\\rt"},
	{"tnef", 0, "\x78\x9f\x3e\x22"}, {"pst", 0, "!BDN"}, {"vhd", 0, "conectix"}, {"vhd", 0, "vhdxfile"},
	{"mp4", 4, "ftyp"}, {"tar", 257, "ustar"}, {"ace", 7, "**ACE**"}, {"lzh", 2, "-lh"}, {"arj", 0, "\x60\xea"},
}

// Sniff tells what b, the beginning of an object, is by its own bytes, whatever
// it is called. It returns the id of a type in Types, "data" when it is unknown
// and "empty" for no bytes. It does not allocate and is safe for any input.
func Sniff(b []byte) string {
	if len(b) == 0 {
		return "empty"
	}
	if id := sniffMagic(b); id != "" {
		return id
	}
	if id := sniffBinary(b); id != "" {
		return id
	}
	return sniffText(b)
}

func sniffMagic(b []byte) string {
	c := b[0]
	for i := range magics {
		m := &magics[i]
		if m.off == 0 && m.sig[0] != c || len(b) < m.off+len(m.sig) {
			continue
		}
		if string(b[m.off:m.off+len(m.sig)]) == m.sig && confirmed(m.id, b) {
			return m.id
		}
	}
	return ""
}

// confirmed looks at more where a mark is so short that chance makes it.
func confirmed(id string, b []byte) bool {
	switch id {
	case "arj":
		return isARJ(b)
	case "z":
		return isLZW(b)
	case "lzh":
		return len(b) >= 21 && b[6] == '-'
	}
	return true
}

// isARJ checks the main header: its size, that of its first part, the host system
// and the type of header.
func isARJ(b []byte) bool {
	if len(b) < 11 {
		return false
	}
	size, first := binary.LittleEndian.Uint16(b[2:]), b[4]
	return size <= 2600 && first >= 30 && uint16(first)+2 <= size && b[7] <= 11 && b[10] == 2
}

// lzwProbe is how many codes of a compress(1) stream are looked at. What so few
// codes unpack to is too short to be dangerous.
const lzwProbe = 32

// isLZW checks the header and the first codes, of nine bits each: the first is a
// plain byte, and each refers to what came before. Chance fails soon.
func isLZW(b []byte) bool {
	if len(b) < 5 || b[2]&0x60 != 0 || b[2]&0x1f < 9 || b[2]&0x1f > 16 {
		return false
	}
	next, anew := 256, 256
	if b[2]&0x80 != 0 {
		next = 257
	} else {
		anew = -1
	}
	codes := b[3:]
	for i := range min(lzwProbe, len(codes)*8/9) {
		at := i * 9
		code := int(binary.LittleEndian.Uint16(codes[at/8:])>>(at%8)) & 0x1ff
		if code == anew {
			return i > 0 // from here the table begins anew
		}
		if i == 0 && code > 255 || code > next {
			return false
		}
		if i > 0 {
			next++
		}
	}
	return true
}

// sniffBinary knows the formats that need more than a fixed mark.
func sniffBinary(b []byte) string {
	switch {
	case len(b) >= 2 && string(b[:2]) == "MZ":
		return "pe"
	case isBzip2(b):
		return "bzip2"
	case len(b) >= 12 && string(b[:4]) == "RIFF":
		return sniffRIFF(string(b[8:12]))
	case len(b) >= 8 && string(b[:4]) == "\xca\xfe\xba\xbe":
		// A fat Mach-O has a small count where a class has its version.
		if binary.BigEndian.Uint32(b[4:]) < 30 {
			return "macho"
		}
		return "class"
	case isZstdSkippable(b):
		return "zstd"
	case isLZMAHeader(b):
		return "lzma"
	case isOldTar(b):
		return "tar"
	}
	// A reader looks for %PDF- within the first 1024 bytes (ISO 32000-1
	// annex H.3 implementation note 13).
	if bytes.Contains(b[:min(len(b), sniffLen)], []byte("%PDF-")) {
		return "pdf"
	}
	return sniffMedia(b)
}

// sniffMedia knows media without a mark worth the name.
func sniffMedia(b []byte) string {
	switch {
	case len(b) >= 18 && b[0] == 'B' && b[1] == 'M' && binary.LittleEndian.Uint32(b[6:]) == 0:
		return "bmp"
	case len(b) >= 4 && b[0] == 0xff && b[1]&0xe6 == 0xe2 && b[2]&0xf0 != 0xf0 && b[2]&0x0c != 0x0c:
		return "mp3"
	}
	return ""
}

func sniffRIFF(kind string) string {
	switch kind {
	case "WEBP":
		return "webp"
	case "WAVE":
		return "wav"
	case "AVI ":
		return "avi"
	}
	return "data"
}

func isBzip2(b []byte) bool {
	return len(b) >= 10 && string(b[:3]) == "BZh" && b[3] >= '1' && b[3] <= '9' &&
		(string(b[4:10]) == "1AY&SY" || string(b[4:10]) == "\x17\x72\x45\x38\x50\x90")
}

func isZstdSkippable(b []byte) bool {
	return len(b) >= 12 && b[0]&0xf0 == 0x50 && string(b[1:4]) == "\x2a\x4d\x18"
}

// isLZMAHeader knows the 13 bytes before an LZMA stream: properties, a
// dictionary that is 2^n or 2^n + 2^(n-1), the size or -1, then a zero byte.
func isLZMAHeader(b []byte) bool {
	if len(b) < 18 || b[0] >= 9*5*5 || b[13] != 0 {
		return false
	}
	dict := binary.LittleEndian.Uint32(b[1:])
	size := binary.LittleEndian.Uint64(b[5:])
	if size != ^uint64(0) && (size == 0 || size > 1<<40) || dict < 1<<12 || dict > 1<<30 {
		return false
	}
	for n := uint32(1 << 12); n <= 1<<30 && n != 0; n <<= 1 {
		if dict == n || dict == n|n>>1 {
			return true
		}
	}
	return false
}

// isOldTar knows a header block of the time before "ustar" by its checksum.
func isOldTar(b []byte) bool {
	if len(b) < 512 || b[0] == 0 {
		return false
	}
	want, ok := parseOctal(b[148:156])
	if !ok || want == 0 {
		return false
	}
	var sum int64
	for i, c := range b[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return sum == want
}

func parseOctal(b []byte) (int64, bool) {
	var n int64
	digits := 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '7' && digits < 20:
			n = n<<3 | int64(c-'0')
			digits++
		case (c == ' ' || c == 0) && digits > 0:
			return n, true
		case c == ' ' || c == 0:
		default:
			return 0, false
		}
	}
	return n, digits > 0
}
