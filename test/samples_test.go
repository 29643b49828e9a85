package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"mime/multipart"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sluice/test/lab"
)

// eicar is the antivirus test file (www.eicar.org), put together here so that
// scanners leave this source alone.
var eicar = []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$` + "EICAR-STANDARD-" + `ANTIVIRUS-TEST-FILE!$H+H*`)

// sample is something that must not get through, in one wrapping.
type sample struct {
	name string
	mime string
	body []byte
	head map[string]string
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func zipped(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f := must(w.Create(name))(t)
	must(f.Write(content))(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func targz(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	must(w.Write(content))(t)
	for _, c := range []interface{ Close() error }{w, z} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// packed has a program make an archive of one file; args may hold OUT and NAME.
func packed(t *testing.T, out, name string, content []byte, program string, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, said)
	}
	return must(os.ReadFile(filepath.Join(dir, out)))(t)
}

// rar5 is a RAR 5.0 archive with one stored file (RAR 5.0 archive format, by
// hand: no free program writes RAR).
func rar5(name string, content []byte) []byte {
	block := func(fields ...[]byte) []byte {
		head := bytes.Join(fields, nil)
		sized := append(vint(uint64(len(head))), head...)
		return append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(sized)), sized...)
	}
	out := []byte("Rar!\x1a\x07\x01\x00")
	out = append(out, block(vint(1), vint(0), vint(0))...) // main header
	out = append(out, block(
		vint(2), vint(2), vint(uint64(len(content))), // file header with a data area
		vint(4), vint(uint64(len(content))), vint(0o644), // CRC present; size; attributes
		binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(content)),
		vint(0), vint(1), vint(uint64(len(name))), []byte(name), // stored; Unix
	)...)
	out = append(out, content...)
	return append(out, block(vint(5), vint(0), vint(0))...) // end
}

func vint(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// rar4 is the same in the older format (2.9).
func rar4(name string, content []byte) []byte {
	le16, le32 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32
	block := func(b []byte) []byte { return append(le16(nil, uint16(crc32.ChecksumIEEE(b))), b...) }
	out := []byte("Rar!\x1a\x07\x00")
	out = append(out, block(append(le16(le16([]byte{0x73}, 0), 13), 0, 0, 0, 0, 0, 0))...)
	f := le16(le16([]byte{0x74}, 0x8000), uint16(32+len(name)))
	f = le32(le32(f, uint32(len(content))), uint32(len(content)))
	f = le32(append(f, 3), crc32.ChecksumIEEE(content))
	f = append(le32(f, 0x5a210000), 20, 0x30)
	f = append(le32(le16(f, uint16(len(name))), 0o100644), name...)
	out = append(append(out, block(f)...), content...)
	return append(out, block(le16(le16([]byte{0x7b}, 0x4000), 7))...)
}

func mail(content []byte) []byte {
	return fmt.Appendf(nil, "From: a@example.test\r\nTo: b@example.test\r\nSubject: your invoice\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/mixed; boundary=\"lab-boundary\"\r\n\r\n--lab-boundary\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n"+
		"--lab-boundary\r\nContent-Type: application/octet-stream; name=\"invoice.com\"\r\nContent-Disposition: attachment; filename=\"invoice.com\"\r\n"+
		"Content-Transfer-Encoding: base64\r\n\r\n%s\r\n--lab-boundary--\r\n", base64.StdEncoding.EncodeToString(content))
}

func jsonWith(t *testing.T, content []byte) []byte {
	t.Helper()
	return must(json.Marshal(map[string]any{"id": 7, "attachment": map[string]string{"name": "invoice.com", "data": base64.StdEncoding.EncodeToString(content)}}))(t)
}

// form is a multipart/form-data upload of one file, and its Content-Type.
func form(t *testing.T, name string, content []byte) (body []byte, mime string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.WriteField("comment", "as agreed"); err != nil {
		t.Fatal(err)
	}
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file"; filename=%q`, name))
	h.Set("Content-Type", "application/octet-stream")
	p := must(w.CreatePart(h))(t)
	must(p.Write(content))(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

// samples are one content in every wrapping that the gateway opens.
func samples(t *testing.T, content []byte) []sample {
	t.Helper()
	coded := func(coding string) []byte { return must(lab.Encode(coding, content))(t) }
	all := []sample{
		{name: "plain.com", body: content},
		{name: "coded-gzip.com", body: coded("gzip"), head: map[string]string{"Content-Encoding": "gzip"}},
		{name: "coded-br.com", body: coded("br"), head: map[string]string{"Content-Encoding": "br"}},
		{name: "coded-zstd.com", body: coded("zstd"), head: map[string]string{"Content-Encoding": "zstd"}},
		{name: "coded-deflate.com", body: coded("deflate"), head: map[string]string{"Content-Encoding": "deflate"}},
		{name: "coded-deflate-raw.com", body: coded("deflate-raw"), head: map[string]string{"Content-Encoding": "deflate"}},
		{name: "coded-twice.com", body: coded("gzip, br"), head: map[string]string{"Content-Encoding": "gzip, br"}},
		{name: "coded-not-declared.gz", body: coded("gzip")},
		{name: "one.zip", mime: "application/zip", body: zipped(t, "eicar.com", content)},
		{name: "zip-in-zip.zip", mime: "application/zip", body: zipped(t, "inner.zip", zipped(t, "eicar.com", content))},
		{name: "one.tar.gz", mime: "application/gzip", body: targz(t, "dir/eicar.com", content)},
		{name: "one.7z", body: packed(t, "x.7z", "eicar.com", content, "7z", "a", "-bd", "x.7z", "eicar.com")},
		{name: "one-rar4.rar", body: rar4("eicar.com", content)},
		{name: "one-rar5.rar", body: rar5("eicar.com", content)},
		{name: "one.tar.bz2", body: packed(t, "x.tbz", "eicar.com", content, "bsdtar", "-cjf", "x.tbz", "eicar.com")},
		{name: "one.tar.xz", body: packed(t, "x.txz", "eicar.com", content, "bsdtar", "-cJf", "x.txz", "eicar.com")},
		{name: "one.tar.zst", body: packed(t, "x.tzst", "eicar.com", content, "bsdtar", "--zstd", "-cf", "x.tzst", "eicar.com")},
		{name: "one.iso", body: packed(t, "x.iso", "eicar.com", content, "genisoimage", "-quiet", "-R", "-J", "-o", "x.iso", "eicar.com")},
		{name: "7z-in-targz-in-zip.zip", body: zipped(t, "a.tar.gz", targz(t, "b.7z", packed(t, "x.7z", "eicar.com", content, "7z", "a", "-bd", "x.7z", "eicar.com")))},
		{name: "base64.json", mime: "application/json", body: jsonWith(t, content)},
		{name: "mail.eml", mime: "message/rfc822", body: mail(content)},
	}
	for i := range all {
		if all[i].mime == "" {
			all[i].mime = "application/octet-stream"
		}
	}
	return all
}
