package content

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
)

func zipFiles(t testing.TB, files ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		must(t, err)
		_, err = f.Write([]byte(files[i+1]))
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

func biffRecord(b []byte, id uint16, data ...byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, id)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

func TestDocuments(t *testing.T) {
	fib := func(flags byte) []byte {
		b := make([]byte, 6000)
		b[0], b[1], b[11] = 0xec, 0xa5, flags
		return b
	}
	book := biffRecord(nil, 0x809, 0, 6, 5, 0)
	user := append(make([]byte, 12), 0xdf, 0xc4, 0xd1, 0xf3, 0, 0)
	vba := makeOLE([]oleStream{{"_VBA_PROJECT", []byte("x")}, {"dir", []byte("y")}})
	types := `<?xml version="1.0"?><Types/>`
	tests := []struct {
		name              string
		data              []byte
		kind              string
		encrypted, macros bool
	}{
		{"doc", makeOLE([]oleStream{{"WordDocument", fib(0)}}), "doc", false, false},
		{"doc encrypted", makeOLE([]oleStream{{"WordDocument", fib(1)}}), "doc", true, false},
		{"doc with macros", makeOLE([]oleStream{{"WordDocument", fib(0)}, {"_VBA_PROJECT", []byte("x")}}), "doc", false, true},
		{"xls", makeOLE([]oleStream{{"Workbook", biffRecord(book, 0x85, 0, 0, 0, 0, 0, 0)}}), "xls", false, false},
		{"xls encrypted", makeOLE([]oleStream{{"Workbook", biffRecord(book, 0x2f, 0, 0, 0, 0)}}), "xls", true, false},
		{"xls with a macro sheet", makeOLE([]oleStream{{"Workbook", biffRecord(book, 0x85, 0, 0, 0, 0, 0, 1)}}), "xls", false, true},
		{"ppt", makeOLE([]oleStream{{"PowerPoint Document", []byte("x")}, {"Current User", make([]byte, 20)}}), "ppt", false, false},
		{"ppt encrypted", makeOLE([]oleStream{{"PowerPoint Document", []byte("x")}, {"Current User", user}}), "ppt", true, false},
		{"docx encrypted", makeOLE([]oleStream{{"EncryptionInfo", []byte("x")}, {"EncryptedPackage", make([]byte, 5000)}}), "ole", true, false},
		{"docx", zipFiles(t, "[Content_Types].xml", types, "word/document.xml", "<w/>"), "docx", false, false},
		{"docm", zipFiles(t, "[Content_Types].xml", types, "word/document.xml", "<w/>", "word/vbaProject.bin", string(vba)), "docx", false, true},
		{"xlsx", zipFiles(t, "[Content_Types].xml", types, "xl/workbook.xml", "<w/>"), "xlsx", false, false},
		{"xlsm with XLM", zipFiles(t, "[Content_Types].xml", types, "xl/workbook.xml", "<w/>", "xl/macrosheets/sheet1.xml", "<w/>"), "xlsx", false, true},
		{"pptx", zipFiles(t, "[Content_Types].xml", types, "ppt/presentation.xml", "<w/>"), "pptx", false, false},
		{"odt", zipFiles(t, "mimetype", "application/vnd.oasis.opendocument.text", "META-INF/manifest.xml", "<w/>", "content.xml", "<w/>"), "odf", false, false},
		{"odt with macros", zipFiles(t, "META-INF/manifest.xml", "<w/>", "Basic/Standard/Module1.xml", "<w/>"), "odf", false, true},
		{"jar", zipFiles(t, "META-INF/MANIFEST.MF", "x", "A.class", "\xca\xfe\xba\xbe\x00\x00\x00\x34"), "jar", false, false},
		{"apk", zipFiles(t, "META-INF/MANIFEST.MF", "x", "AndroidManifest.xml", "x"), "apk", false, false},
		{"pdf", makePDF(t, []byte("hello")), "pdf", false, false},
		{"pdf encrypted", []byte("%PDF-1.6\ntrailer <</Encrypt 5 0 R /Root 1 0 R>>"), "pdf", true, false},
		{"pdf about encryption", []byte("%PDF-1.6\n(see /EncryptMetadata false)"), "pdf", false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := walkBytes(t, test.data)
			o := r.objects[0]
			if o.Type != test.kind || o.Encrypted != test.encrypted || o.Macros != test.macros || r.err != nil {
				t.Errorf("type %s, encrypted %v, macros %v, error %v\n%s", o.Type, o.Encrypted, o.Macros, r.err, r.paths())
			}
		})
	}
}

// The VBA project is marked also where the document's own names hide it.
func TestRenamedVBAProject(t *testing.T) {
	vba := makeOLE([]oleStream{{"_VBA_PROJECT", []byte("x")}})
	r := walkBytes(t, zipFiles(t, "[Content_Types].xml", "<x/>", "word/innocent.bin", string(vba)))
	if o := r.find("word/innocent.bin"); o == nil || !o.Macros {
		t.Error(r.paths())
	}
}

func TestOLEStreamsAreVisited(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789"), 10_000)
	r := walkBytes(t, makeOLE([]oleStream{{"small", eicar()}, {"big", big}, {"zip", makeZip(t, 8, "x", eicar())}}))
	if o := r.find("small"); o == nil || !bytes.Equal(o.data, eicar()) || !r.has(big) || r.find("x") == nil || r.err != nil {
		t.Errorf("%v\n%s", r.err, r.paths())
	}
}

func TestOLEInCirclesIsDamaged(t *testing.T) {
	b := makeOLE([]oleStream{{"big", bytes.Repeat([]byte("x"), 100_000)}})
	for i := 512; i < len(b)-4; i++ { // the FAT is last: let sector 5 follow itself
		if binary.LittleEndian.Uint32(b[i:]) == 6 && i%4 == 0 && binary.LittleEndian.Uint32(b[i-4:]) == 5 {
			binary.LittleEndian.PutUint32(b[i:], 5)
		}
	}
	done := walkBytes(t, b)
	if len(done.objects) < 1 {
		t.Error("nothing was visited")
	}
	wantKind(t, walkBytes(t, b[:2000]).err, ErrDamaged)
}

func TestPDFStreams(t *testing.T) {
	e := eicar()
	hexed := fmt.Sprintf("%%PDF-1.4\n1 0 obj <</Type /EmbeddedFile /Filter [/ASCIIHexDecode]>>\nstream\n%x>\nendstream endobj", e)
	named := append(append([]byte("%PDF-1.4\n1 0 obj <</Type /Embedded#46ile /Fil#74er /Flate#44ecode>>\nstream\r\n"), makeZlib(t, e)...), "\nendstream"...)
	plain := append(append([]byte("%PDF-1.4\n1 0 obj <</Length 99>>\nstream\n"), makeZip(t, 8, "x", e)...), "\nendstream"...)
	for name, b := range map[string][]byte{"hex": []byte(hexed), "escaped names": named, "unnamed zip": plain} {
		if r := walkBytes(t, b); !r.has(e) {
			t.Errorf("%s: %v\n%s", name, r.err, r.paths())
		}
	}
}

// The samples were made by qpdf: an attachment, all kinds of encryption, with an
// empty user password and with one.
func TestEncryptedPDFs(t *testing.T) {
	for _, kind := range []string{"rc4-40", "rc4-128", "aes-128", "aes-256"} {
		open, err := os.ReadFile("testdata/pdf-" + kind + ".pdf")
		must(t, err)
		if r := walkBytes(t, open); !r.has(eicar()) || r.objects[0].Encrypted || r.err != nil {
			t.Errorf("%s, opens without a password: encrypted %v, %v\n%s", kind, r.objects[0].Encrypted, r.err, r.paths())
		}
		locked, err := os.ReadFile("testdata/pdf-" + kind + "-locked.pdf")
		must(t, err)
		if r := walkBytes(t, locked); !r.objects[0].Encrypted || r.err != nil {
			t.Errorf("%s, locked: encrypted %v, %v\n%s", kind, r.objects[0].Encrypted, r.err, r.paths())
		}
	}
	packed, err := os.ReadFile("testdata/pdf-objstm.pdf")
	must(t, err)
	if r := walkBytes(t, packed); !r.has(eicar()) || r.objects[0].Encrypted || r.err != nil {
		t.Errorf("object streams: encrypted %v, %v\n%s", r.objects[0].Encrypted, r.err, r.paths())
	}
}

func TestRTFTricks(t *testing.T) {
	doc := string(makeRTF(t, eicar()))
	i := strings.Index(doc, "objdata ") + 8
	tests := map[string]string{
		"plain":         doc,
		"lines":         doc[:i] + strings.Join(strings.SplitAfter(doc[i:], "0"), "\r\n"),
		"groups":        doc[:i+4] + "{\\*\\xyz}" + doc[i+4:],
		"control words": doc[:i+4] + "\\par " + doc[i+4:],
	}
	for name, d := range tests {
		if r := walkBytes(t, []byte(d)); !r.has(eicar()) {
			t.Errorf("%s: %v\n%s", name, r.err, r.paths())
		}
	}
}

func TestUnsupportedArchivesAreNotClean(t *testing.T) {
	lzh := append([]byte("\x1c\x00-lh5-"), make([]byte, 40)...)
	wantKind(t, walkBytes(t, lzh).err, ErrDamaged)
	ace := append([]byte("1234567**ACE**"), make([]byte, 40)...)
	wantKind(t, walkBytes(t, ace).err, ErrDamaged)
}

func TestTruncatedContainersAreDamaged(t *testing.T) {
	for _, m := range makers() {
		switch m.name {
		case "eml", "html", "json", "rtf", "pdf", "sfx", "sfx-7z", "zlib", "z", "lzma", "ole", "iso":
			continue // no length that tells, or text
		}
		b := m.make(t, bytes.Repeat(append([]byte("some text to make it long enough "), eicar()...), 100))
		if m.name == "tar" || m.name == "ar" || m.name == "cpio" {
			b = b[:len(b)/3]
		} else {
			b = b[:len(b)*2/3]
		}
		if r := walkBytes(t, b); r.err == nil {
			t.Errorf("%s: no error\n%s", m.name, r.paths())
		}
	}
}
