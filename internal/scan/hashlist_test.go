package scan

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func listOf(t testing.TB, text string) *HashList {
	t.Helper()
	l, err := ReadHashList(t.Context(), HashListConfig{Name: "list", CacheDir: t.TempDir()}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func sha(s string) string { d := sha256.Sum256([]byte(s)); return hex.EncodeToString(d[:]) }
func md(s string) string  { d := md5.Sum([]byte(s)); return hex.EncodeToString(d[:]) }

func TestHashListFindsByBothDigests(t *testing.T) {
	l := listOf(t, "\xef\xbb\xbf# comment\r\n"+
		sha("a")+"\r\n"+
		strings.ToUpper(sha("b"))+", Bad.B\r\n\r\n"+
		"  "+md("c")+" Bad.C with blanks \n"+
		md("d")+"\n"+
		md("e")+"\tÜbel\n"+
		sha("b")+",Second.Name")
	for body, want := range map[string]string{
		"a": "Hash.list", "b": "Bad.B", "c": "Bad.C with blanks", "d": "Hash.list", "e": "Übel", "f": "", "": "",
	} {
		r := scanFor(t, l, inMemory([]byte(body)), time.Second)
		if r.Threat != want || (r.Status == Infected) != (want != "") || !r.Status.Definite() || r.Engine != "list" {
			t.Errorf("%q: %+v, want %q", body, r, want)
		}
	}
	if m, s := l.Entries(); m != 3 || s != 2 {
		t.Errorf("%d MD5 and %d SHA-256, want 3 and 2", m, s)
	}
}

func TestHashListErrorsNameTheLine(t *testing.T) {
	good := sha("x") + "\n"
	for text, want := range map[string]string{
		good + "zz\n":                             "line 2: want an MD5",
		good + good + sha("x")[:63] + "g\n":       "line 3: the hash has a character",
		sha("x") + "0\n":                          "line 1: want an MD5",
		md("x") + ":68:Name":                      "line 1: want an MD5",
		good + md("x") + ", a\x00b":               "line 2: the name must be",
		good + md("x") + ", a\xffb":               "line 2: the name must be",
		md("x") + " " + strings.Repeat("n", 201):  "line 1: the name must be",
		"#" + strings.Repeat("c", maxHashLine+1):  "line 1: line is longer",
		"#" + strings.Repeat("c", 1<<17) + "\n":   "line 1: line is longer",
		"\xef\xbb\xbf\xef\xbb\xbf" + sha("x"):     "line 1: want an MD5",
		good + "\xef\xbb\xbf" + good:              "line 2: want an MD5",
		good + md("x") + "," + md("y") + "\rmore": "line 2: the name must be",
	} {
		_, err := ReadHashList(t.Context(), HashListConfig{Name: "list", CacheDir: t.TempDir()}, strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %q", text, err, want)
		}
	}
}

// A compiled list says what a map says.
func TestHashListIsAMap(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		model := map[string]string{}
		for range rapid.IntRange(0, 200).Draw(t, "entries") {
			// Few distinct digests, alike but for one byte: many come twice.
			d := make([]byte, rapid.SampledFrom([]int{16, 32}).Draw(t, "size"))
			d[rapid.IntRange(0, len(d)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			name := rapid.SampledFrom([]string{"", "A", "Some.Name"}).Draw(t, "name")
			fmt.Fprintf(&text, "%x %s\n", d, name)
			if _, ok := model[string(d)]; !ok {
				model[string(d)] = name
			}
		}
		l, err := ReadHashList(context.Background(), HashListConfig{Name: "l", CacheDir: dir}, strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		table := l.state.Load().table
		if m, s := l.Entries(); int(m+s) != len(model) {
			t.Fatalf("%d entries, want %d", m+s, len(model))
		}
		for d, want := range model {
			if got, ok, err := table.find([]byte(d)); got != want || !ok || err != nil {
				t.Fatalf("%x: %q, %v, %v; want %q", d, got, ok, err, want)
			}
			other := append([]byte(nil), d...)
			other[3] ^= 0x55
			if _, listed := model[string(other)]; listed {
				continue
			}
			if _, ok, err := table.find(other); ok || err != nil {
				t.Fatalf("%x is not listed: %v, %v", other, ok, err)
			}
		}
	})
}

// One digest a hundred thousand times, or digests that differ in few bits, must
// not make a slow bucket.
func TestHashListWithstandsHostileLists(t *testing.T) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "%064x\n%032x\n", 7, i)
	}
	l := listOf(t, text.String())
	if m, s := l.Entries(); m != 100_000 || s != 1 {
		t.Errorf("%d MD5, %d SHA-256", m, s)
	}
	table := &l.state.Load().table.tables[0]
	longest := uint32(0)
	for i := 0; i+8 <= len(table.index); i += 4 {
		longest = max(longest, binary.LittleEndian.Uint32(table.index[i+4:])-binary.LittleEndian.Uint32(table.index[i:]))
	}
	if longest > 24 {
		t.Errorf("a bucket of %d", longest)
	}
}

func openList(t testing.TB, cfg HashListConfig) *HashList {
	t.Helper()
	l, err := NewHashList(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestHashListReloads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.txt")
	cfg := HashListConfig{Name: "list", Path: path, CacheDir: t.TempDir(), Threat: "Listed"}
	write(t, path, sha("a")+"\n")
	l := openList(t, cfg)
	version := l.Version()
	if changed, err := l.Reload(t.Context()); changed || err != nil {
		t.Errorf("same file: %v, %v", changed, err)
	}
	is := func(body string, want Status) {
		t.Helper()
		if r := scanFor(t, l, inMemory([]byte(body)), time.Second); r.Status != want {
			t.Errorf("%q: %+v, want %v", body, r, want)
		}
	}
	is("a", Infected)

	write(t, path, sha("b")+"\n")
	if changed, err := l.Reload(t.Context()); !changed || err != nil {
		t.Errorf("new file: %v, %v", changed, err)
	}
	is("a", Clean)
	is("b", Infected)
	if l.Version() == version {
		t.Error("version is still the old one")
	}

	write(t, path, "nonsense\n")
	if _, err := l.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "line 1") || !strings.Contains(err.Error(), path) {
		t.Errorf("bad file: %v", err)
	}
	if h := l.Health(); h.State != Degraded || !strings.Contains(h.LastError, "line 1") {
		t.Errorf("bad file: %+v", h)
	}
	is("b", Infected)

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reload(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write(t, path, sha("a")+"\n")
	if _, err := l.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if h := l.Health(); h.State != OK {
		t.Errorf("repaired: %+v", h)
	}
	is("a", Infected)
	if l.Version() != version {
		t.Error("the same content has another version")
	}
	if left, err := filepath.Glob(filepath.Join(cfg.CacheDir, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestHashListUsesWhatItCompiledBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.txt")
	cfg := HashListConfig{Name: "list", Path: path, CacheDir: t.TempDir()}
	write(t, path, sha("a")+" A\n")
	compiled := openList(t, cfg).compiledPath()
	inode := func() uint64 {
		t.Helper()
		f, err := os.Open(compiled)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		stamp, err := stampOf(f)
		if err != nil {
			t.Fatal(err)
		}
		return stamp.Inode
	}
	first := inode()
	openList(t, cfg)
	if inode() != first {
		t.Error("compiled again though nothing changed")
	}
	write(t, path, sha("a")+" A\n") // another file, the same content
	for range 2 {
		if r := scanFor(t, openList(t, cfg), inMemory([]byte("a")), time.Second); r.Threat != "A" {
			t.Errorf("%+v", r)
		}
	}
	if inode() != first {
		t.Error("compiled again though the content is the same")
	}
	write(t, path, sha("b")+" A\n") // the same length
	if r := scanFor(t, openList(t, cfg), inMemory([]byte("b")), time.Second); r.Threat != "A" {
		t.Errorf("%+v", r)
	}
}

// Whatever became of the compiled file, the source decides.
func TestHashListSurvivesADamagedCompiledFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.txt")
	cfg := HashListConfig{Name: "list", Path: path, CacheDir: t.TempDir()}
	write(t, path, sha("a")+" A\n"+md("b"))
	compiled := openList(t, cfg).compiledPath()
	whole, err := os.ReadFile(compiled)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "short": whole[:100], "truncated": whole[:len(whole)-1], "longer": append(bytes.Clone(whole), 0),
		"header": append(bytes.Repeat([]byte{1}, 20), whole[20:]...), "other": []byte(strings.Repeat("x", 1000)),
	} {
		if err := os.WriteFile(compiled, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := openList(t, cfg)
		if r := scanFor(t, l, inMemory([]byte("a")), time.Second); r.Threat != "A" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestHashListSaysErrorWhenDamagedInUse(t *testing.T) {
	l := listOf(t, sha("a")+" A\n")
	d := &l.state.Load().table.tables[1]
	d.index = bytes.Repeat([]byte{0xff, 0, 0, 0}, 2)
	d.index[0] = 0
	if r := scanFor(t, l, inMemory([]byte("b")), time.Second); r.Status != Error {
		t.Errorf("%+v", r)
	}
}

func TestHashListRefusesOddSources(t *testing.T) {
	for _, path := range []string{t.TempDir(), "/dev/null", "/nonexistent"} {
		if _, err := NewHashList(t.Context(), HashListConfig{Name: "l", Path: path, CacheDir: t.TempDir()}); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

func TestHashListLimitsAndTime(t *testing.T) {
	l := listOf(t, md("a"))
	l.cfg.MaxObject = 10
	if r := scanFor(t, l, inMemory(make([]byte, 11)), time.Second); r.Status != OverLimit {
		t.Errorf("too large: %+v", r)
	}
	l.cfg.MaxObject = 0
	big := make([]byte, 3*md5Step)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := l.Scan(ctx, inMemory(big)); r.Status != Error {
		t.Errorf("cancelled: %+v", r)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	if r := l.Scan(ctx, inMemory(big)); r.Status != TimedOut {
		t.Errorf("no time: %+v", r)
	}
	if r := scanFor(t, listOf(t, md(string(big))), inMemory(big), 10*time.Second); r.Status != Infected {
		t.Errorf("large: %+v", r)
	}
	if r := scanFor(t, l, &Object{Data: failing{memory{bytes.NewReader(big)}}}, 10*time.Second); r.Status != Error {
		t.Errorf("unreadable: %+v", r)
	}
	if h := l.Health(); h.Scans != 4 || h.Failures != 4 || h.Busy != 0 {
		t.Errorf("%+v", h)
	}
}

type failing struct{ memory }

func (failing) Bytes() ([]byte, bool)             { return nil, false }
func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk is broken") }

func TestHashListLookupDoesNotAllocate(t *testing.T) {
	l := listOf(t, sha("a")+"\n"+md("b")+" B\n")
	table, digest := l.state.Load().table, sha256.Sum256([]byte("c"))
	if n := testing.AllocsPerRun(100, func() {
		if _, ok, err := table.find(digest[:]); ok || err != nil {
			t.Fatal(ok, err)
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func FuzzHashList(f *testing.F) {
	for _, s := range []string{"", "#\n", sha("a") + " name\n", md("b") + ",x\r\n", "\xef\xbb\xbf" + sha("c"), "zz", sha("a") + "\n" + sha("a")} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		type entry struct{ Digest, Name string }
		var all []entry
		err := readHashes(context.Background(), bytes.NewReader(text), func(l hashLine) error {
			all = append(all, entry{hex.EncodeToString(l.digest), string(l.name)})
			return nil
		})
		if err != nil {
			return
		}
		// Written out again, the list reads the same, and compiled it finds all.
		var again bytes.Buffer
		for _, e := range all {
			fmt.Fprintln(&again, e.Digest, e.Name)
		}
		var second []entry
		err = readHashes(context.Background(), bytes.NewReader(again.Bytes()), func(l hashLine) error {
			second = append(second, entry{hex.EncodeToString(l.digest), string(l.name)})
			return nil
		})
		if diff := cmp.Diff(all, second); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
		l, err := ReadHashList(context.Background(), HashListConfig{Name: "l", CacheDir: dir}, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			d, _ := hex.DecodeString(e.Digest)
			if _, ok, err := l.state.Load().table.find(d); !ok || err != nil {
				t.Fatalf("%s: %v, %v", e.Digest, ok, err)
			}
		}
	})
}

func FuzzCompiledHashList(f *testing.F) {
	dir := f.TempDir()
	var good []byte
	{
		out, err := os.CreateTemp(dir, "good-")
		if err != nil {
			f.Fatal(err)
		}
		err = compileHashes(context.Background(), strings.NewReader(sha("a")+" A\n"+md("b")+" B\n"), dir, hashStamp{}, out)
		if err == nil {
			_, err = out.Seek(0, io.SeekStart)
		}
		if err != nil {
			f.Fatal(err)
		}
		if good, err = io.ReadAll(out); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(good)
	f.Add(good[:hashHeader])
	f.Fuzz(func(t *testing.T, data []byte) {
		// The checksum keeps a fuzzer out: put it right.
		const summed = 200 - sha256.Size
		if len(data) >= hashHeader {
			sum := sha256.Sum256(data[:summed])
			copy(data[summed:], sum[:])
		}
		file, err := os.CreateTemp(dir, "fuzz-")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }()
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		table, err := openHashTable(file)
		if err != nil {
			return
		}
		for _, s := range []string{"a", "b", "c"} {
			a, b := sha256.Sum256([]byte(s)), md5.Sum([]byte(s))
			_, _, _ = table.find(a[:])
			_, _, _ = table.find(b[:])
		}
	})
}

// numbers yields n lines with the SHA-256 of their numbers.
type numbers struct {
	n, i uint64
	buf  []byte
}

func numberDigest(i uint64) [32]byte {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, i))
}

func (r *numbers) Read(p []byte) (int, error) {
	if len(r.buf) == 0 {
		if r.i == r.n {
			return 0, io.EOF
		}
		d := numberDigest(r.i)
		r.buf = append(hex.AppendEncode(r.buf, d[:]), '\n')
		r.i++
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func benchmarkHashList(b *testing.B, n uint64) {
	dir := b.TempDir()
	start := time.Now()
	l, err := ReadHashList(b.Context(), HashListConfig{Name: "l", CacheDir: dir}, &numbers{n: n})
	if err != nil {
		b.Fatal(err)
	}
	compiled := time.Since(start)
	table := l.state.Load().table
	digests := make([][32]byte, 1<<16)
	for i := range digests { // every second one is listed
		digests[i] = numberDigest(uint64(i/2) * n / (1 << 15))
		if i%2 == 1 {
			digests[i][5] ^= 1
		}
	}
	for i := range digests { // the pages are in memory, as they are after a while
		_, _, _ = table.find(digests[i][:])
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i = (i + 1) & (1<<16 - 1)
		if _, ok, err := table.find(digests[i][:]); ok != (i%2 == 0) || err != nil {
			b.Fatal(i, ok, err)
		}
	}
	b.ReportMetric(float64(len(table.data))/float64(n), "B/entry")
	b.ReportMetric(compiled.Seconds(), "s-compile")
}

func BenchmarkHashList10(b *testing.B)  { benchmarkHashList(b, 10) }
func BenchmarkHashList1M(b *testing.B)  { benchmarkHashList(b, 1_000_000) }
func BenchmarkHashList10M(b *testing.B) { benchmarkHashList(b, 10_000_000) }

// BenchmarkHashListOpen opens lists that were compiled before.
func BenchmarkHashListOpen(b *testing.B) {
	for _, n := range []uint64{10, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cfg := HashListConfig{Name: "l", Path: filepath.Join(b.TempDir(), "list"), CacheDir: b.TempDir()}
			f, err := os.Create(cfg.Path)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(f, &numbers{n: n}); err != nil {
				b.Fatal(err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
			openList(b, cfg)
			for b.Loop() {
				openList(b, cfg)
			}
		})
	}
}
