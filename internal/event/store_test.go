package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"sluice/internal/tx"
)

func packLines(lines ...string) []byte {
	var p packer
	return p.pack([]byte(strings.Join(lines, "")))
}

func chunkOf(seq uint64, lines ...string) *chunk {
	f := packLines(lines...)
	return &chunk{seq: seq, lines: len(lines), frame: f, size: int64(len(f))}
}

// line is a whole event.
func line(t testing.TB) string {
	t.Helper()
	e := sample()
	e.Time = time.Now()
	return string(e.appendLine(nil, e.Time, headTail(KindTraffic, "n1")))
}

func TestStoreGivesBackWhatItTook(t *testing.T) {
	s, left, err := openStore(t.TempDir(), 1<<30)
	if err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
	now := time.Now()
	var chunks []*chunk
	for i := range 500 {
		c := chunkOf(uint64(i+1), strings.Repeat(line(t), 50))
		frame := bytes.Clone(c.frame)
		if err := s.write(c, now.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		c.frame = nil
		block, err := s.load(c, nil)
		if err != nil || !bytes.Equal(block, frame[frameLen:]) {
			t.Fatalf("chunk %d: %v", i, err)
		}
		chunks = append(chunks, c)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "*"+segmentSuffix))
	if err != nil || len(files) < 20 {
		t.Errorf("%d segments for 500 s (%v), want one for every 20 s", len(files), err)
	}
	for _, c := range chunks {
		s.release(c)
	}
	used, err := s.state()
	files, _ = filepath.Glob(filepath.Join(s.dir, "*"+segmentSuffix))
	if used != 0 || len(files) > 1 || err != nil {
		t.Errorf("after all was released %d bytes in %v are used (%v)", used, files, err)
	}
	if err := s.finish(nil); err != nil {
		t.Fatal(err)
	}
}

func TestQueueIsForOneProcess(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	open(t, cfg)
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("opening it twice gives %v", err)
	}
}

// TestWriteThatStopsHalfway lets the kernel refuse a file above a size, as a
// full disk does.
func TestWriteThatStopsHalfway(t *testing.T) {
	s, _, err := openStore(t.TempDir(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	first := chunkOf(1, line(t))
	if err := s.write(first, now); err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	small := old
	small.Cur = uint64(first.size) + 10
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	second := chunkOf(2, line(t))
	err = s.write(second, now)
	err2 := s.write(chunkOf(3, line(t)), now.Add(retryDisk/2))
	if e := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, unix.EFBIG) || second.seg != nil {
		t.Fatalf("write over the limit gives %v", err)
	}
	if !errors.Is(err2, unix.EFBIG) {
		t.Errorf("right after it another write gives %v, want the same error without a try", err2)
	}
	if st, err := first.seg.file.Stat(); err != nil || st.Size() != first.size {
		t.Errorf("half a frame was left behind: %v, %v", st.Size(), err)
	}
	if used, err := s.state(); used != first.size || err == nil {
		t.Errorf("%d bytes used, error %v; want %d and an error", used, err, first.size)
	}
	if err := s.write(second, now.Add(2*retryDisk)); err != nil {
		t.Errorf("after the disk has room again: %v", err)
	}
	if _, err := s.state(); err != nil {
		t.Errorf("error %v stays", err)
	}
	if err := s.finish([]*chunk{first, second}); err != nil {
		t.Fatal(err)
	}
}

func TestDiskTroubleDoesNotStopEvents(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	l, _ := open(t, cfg)
	running(t, l)
	if err := os.RemoveAll(filepath.Join(cfg.Dir, "queue")); err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		l.Traffic(sample())
	}
	eventually(t, "health tells", 5*time.Second, func() bool { return l.Health().LastError != "" })
	eventually(t, "all events are there", 10*time.Second, func() bool { n, _ := counts(t, l); return n == 5000 })
	if err := os.Mkdir(filepath.Join(cfg.Dir, "queue"), 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the queue is on disk again", 10*time.Second, func() bool {
		l.Traffic(sample())
		return l.Health().DiskBytes > 0 && l.Health().LastError == ""
	})
}

func TestOverflowIsCountedAndReported(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.QueueMemory, cfg.QueueDisk = 4<<20, 4<<20
	l, _ := open(t, cfg)
	running(t, l)
	pid := l.Health().EnginePID
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	logged := 0
	e := sample()
	for l.Health().Dropped == 0 {
		for range 300 {
			e.Time = time.Now()
			e.ID = tx.NewID(e.Time)
			e.User = fmt.Appendf(nil, "%x", e.ID)
			l.Traffic(e)
			logged++
		}
		stored(l)
		if logged > 2_000_000 {
			t.Fatal("8 MiB of queue never overflow")
		}
	}
	if h := l.Health(); h.MemoryBytes > cfg.QueueMemory || h.DiskBytes > cfg.QueueDisk {
		t.Errorf("queue full: %+v", h)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "queue is empty and the loss reported", 30*time.Second, func() bool {
		return l.Health().QueuedBytes == 0 && len(query(t, l, Query{Kind: KindSystem, Filters: []Filter{{"code", OpIs, "events-dropped"}}})) > 0
	})
	dropped := int(l.Health().Dropped)
	events, _ := counts(t, l)
	if events != logged-dropped || dropped == 0 {
		t.Errorf("%d logged, %d dropped, but %d are there", logged, dropped, events)
	}
	reported := 0
	for _, row := range query(t, l, Query{Kind: KindSystem, Filters: []Filter{{"code", OpIs, "events-dropped"}}}) {
		n := 0
		if _, err := fmt.Sscan(row["attr.lines"], &n); err != nil {
			t.Error(err)
		}
		reported += n
	}
	if reported != dropped {
		t.Errorf("%d reported as dropped, %d were", reported, dropped)
	}
}

func TestDamagedQueueIsRescued(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	queue := filepath.Join(cfg.Dir, "queue")
	if err := os.MkdirAll(queue, 0o700); err != nil {
		t.Fatal(err)
	}
	broken := packLines(line(t))
	broken[frameLen+20] ^= 1
	content := bytes.Join([][]byte{
		packLines(line(t), line(t)), broken, packLines(line(t)), make([]byte, 4096), packLines(line(t)), packLines(line(t))[:100],
	}, nil)
	for name, b := range map[string][]byte{
		"0000000000000001.events": content,
		"0000000000000002.events": {},
		"0000000000000003.events": packLines(line(t), "rubbish\n", line(t)),
		"not ours":                []byte("x"),
	} {
		if err := os.WriteFile(filepath.Join(queue, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := open(t, cfg)
	running(t, l)
	eventually(t, "the six whole events are there", 10*time.Second, func() bool { _, n := counts(t, l); return n == 6 })
	eventually(t, "the loss is told", 10*time.Second, func() bool {
		return l.Health().LostBytes == uint64(len(broken)+4096+100) &&
			len(query(t, l, Query{Kind: KindSystem, Filters: []Filter{{"code", OpIs, "events-damaged"}}})) == 1
	})
}

func TestRescueFindsAllWholeFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var content, want []byte
		lost := 0
		for range rapid.IntRange(0, 8).Draw(t, "parts") {
			text := rapid.StringMatching(`[a-z\n]{0,60}`).Draw(t, "text")
			frame := packLines(text)
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				want = append(want, text...)
			case 1: // damaged
				i := rapid.IntRange(0, len(frame)-1).Draw(t, "at")
				frame[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
				lost += len(frame)
			case 2: // cut
				frame = frame[:rapid.IntRange(0, len(frame)-1).Draw(t, "cut")]
				lost += len(frame)
			}
			content = append(content, frame...)
		}
		var got []byte
		n, err := rescue(content, func(block []byte) error {
			lines, err := unpack(block, nil)
			got = append(got, lines...)
			return err
		})
		if err != nil || !bytes.Equal(got, want) || int(n) != lost {
			t.Fatalf("rescued %q and lost %d (%v), want %q and %d", got, n, err, want, lost)
		}
	})
}

func FuzzSegment(f *testing.F) {
	f.Add(packLines(line(f), line(f)))
	f.Add(append(packLines("x\n")[:20], packLines(line(f))...))
	f.Add([]byte("\xffsluice1 00000002 00000000\nab"))
	f.Add([]byte(line(f)))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := 0
		lost, err := rescue(b, func(block []byte) error {
			whole += frameLen + len(block)
			lines, err := unpack(block, nil)
			if err != nil {
				return nil //nolint:nilerr // told apart from a broken frame by the caller
			}
			if len(lines) > chunkSize {
				t.Fatalf("a block unpacks to %d bytes", len(lines))
			}
			eachLine(lines, func(l []byte, at int64, id tx.ID) {
				if at < 0 || id.IsZero() && !bytes.Contains(l, []byte("00000000000000000000")) {
					t.Fatalf("line %q reads as %d %v", l, at, id)
				}
			})
			return nil
		})
		if err != nil || whole+int(lost) != len(b) {
			t.Fatalf("%d whole and %d lost of %d bytes (%v)", whole, lost, len(b), err)
		}
		// The same bytes as lines: no panic, and heads that are read are right.
		eachLine(b, func(l []byte, at int64, id tx.ID) {
			if !bytes.HasPrefix(l, appendHead(nil, time.Unix(0, at), id, `"`)) && !bytes.Contains(l[:30], []byte(":0")) {
				t.Fatalf("line %q reads as %d %v", l, at, id)
			}
		})
	})
}

func FuzzText(f *testing.F) {
	f.Add([]byte("plain"), 10)
	f.Add([]byte("\xff\"\\\n\u2028ä"), 7)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		limit = min(max(limit, 0), 1<<16)
		quoted := append(appendText([]byte{'"'}, b, limit), '"')
		if !json.Valid(quoted) || bytes.IndexByte(quoted, '\n') >= 0 {
			t.Fatalf("%q gives %q", b, quoted)
		}
	})
}
