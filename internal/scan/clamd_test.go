package scan

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeClamd serves scan sessions with a function of the test; it answers
// VERSION itself.
func fakeClamd(t *testing.T, network string, serve func(in *bufio.Reader, c net.Conn)) *Clamd {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() })
				defer stop()
				in := bufio.NewReader(conn)
				switch cmd, _ := in.ReadString(0); cmd {
				case "zVERSION\x00":
					_, _ = io.WriteString(conn, "ClamAV 1.0.0/1/today\x00")
				case "zIDSESSION\x00":
					serve(in, conn)
				}
			})
		}
	})
	c, err := NewClamd(ClamdConfig{Network: network, Address: l.Addr().String(), Sessions: 2, Queue: 3, PollInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
	return c
}

// take reads one FILDES command.
func take(in *bufio.Reader) error {
	cmd, err := in.ReadString(0)
	if err != nil {
		return err
	}
	if cmd != "zFILDES\x00" {
		return fmt.Errorf("command %q", cmd)
	}
	_, err = in.ReadByte()
	return err
}

func TestClamdAnswersThatAreNone(t *testing.T) {
	for answer, want := range map[string]string{
		"1: fd[1":                            "broke off",
		"":                                   "closed the session",
		"HTTP/1.1 400 Bad Request\r\n\r\n":   "broke off",
		"1: fd[10]: OK":                      "broke off",
		"2: fd[10]: OK\x00":                  "does not have",
		"1: stream: OK\x00":                  "does not have",
		"fd[10]: OK\x00":                     "does not have",
		"1: fd[10]: FOUND\x00":               "does not have",
		"1: fd[10]:  FOUND\x00":              "does not have",
		"1: fd[10]: ok\x00":                  "does not have",
		"1: fd[]: OK\x00":                    "does not have",
		"1: fd[10]: OK\x001: fd[10]: OK\x00": "does not have",
		"1: fd[10]: OK\n":                    "broke off",
		"1: fd[10]: Can't allocate memory ERROR\x00":         "allocate memory",
		"1: Command invalid inside IDSESSION. ERROR\x00":     "invalid inside",
		strings.Repeat("x", 3*maxAnswer):                     "does not have",
		"COMMAND READ TIMED OUT\n":                           "closed the session",
		"1: fd[10]: a\x1b[2Jb FOUND\x00":                     "does not have",
		"1: fd[10]: " + strings.Repeat("y", 3000) + " FOUND": "does not have",
	} {
		c := fakeClamd(t, "unix", func(in *bufio.Reader, conn net.Conn) {
			if take(in) == nil {
				_, _ = io.WriteString(conn, answer)
			}
		})
		r := scanFor(t, c, inMemory([]byte("x")), 5*time.Second)
		if r.Status != Error || !strings.Contains(r.Detail, want) {
			t.Errorf("%.60q: %v: %s; want an error with %q", answer, r.Status, r.Detail, want)
		}
	}
}

func TestClamdAnswersByName(t *testing.T) {
	for answer, want := range map[string]Status{
		"fd[3]: OK":             Clean,
		"fd[3]: Win.Test FOUND": Infected,
		"fd[3]: Heuristics.Limits.Exceeded.MaxFileSize FOUND": OverLimit,
		"fd[3]: Heuristics.Limits.Exceeded.MaxScanTime FOUND": TimedOut,
		"fd[3]: Heuristics.Limits.Exceeded FOUND":             OverLimit,
		"fd[3]: Heuristics.Encrypted.Zip FOUND":               Encrypted,
		"fd[3]: Heuristics.OLE2.ContainsMacros.VBA FOUND":     Macro,
		"INSTREAM size limit exceeded. ERROR":                 OverLimit,
	} {
		c := fakeClamd(t, "unix", func(in *bufio.Reader, conn net.Conn) {
			if take(in) == nil {
				_, _ = io.WriteString(conn, "1: "+answer+"\x00")
			}
		})
		if r := scanFor(t, c, inMemory([]byte("x")), 5*time.Second); r.Status != want {
			t.Errorf("%s: %v: %s; want %v", answer, r.Status, r.Detail, want)
		}
	}
}

func TestClamdSlowDripTimesOut(t *testing.T) {
	c := fakeClamd(t, "unix", func(in *bufio.Reader, conn net.Conn) {
		if take(in) != nil {
			return
		}
		for i := 0; ; i++ {
			if _, err := conn.Write([]byte{"1: fd[1111111111"[min(i, 15)]}); err != nil {
				return
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-t.Context().Done():
				return
			}
		}
	})
	start := time.Now()
	r := scanFor(t, c, inMemory([]byte("x")), 250*time.Millisecond)
	if took := time.Since(start); r.Status != TimedOut || took > 2*time.Second {
		t.Errorf("%v after %s: %s", r.Status, took, r.Detail)
	}
}

func TestClamdCancelledScanReturns(t *testing.T) {
	c := fakeClamd(t, "unix", func(in *bufio.Reader, _ net.Conn) { _, _ = in.ReadString('!') })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if r := c.Scan(ctx, inMemory([]byte("x"))); r.Status != Error || !strings.Contains(r.Detail, "cancelled") {
		t.Errorf("%+v", r)
	}
}

// A session that clamd closed while nobody used it is not a failed scan.
func TestClamdStaleSessionIsReplaced(t *testing.T) {
	for _, goodbye := range []string{"", idleNotice} {
		answered, gone := make(chan struct{}), make(chan struct{})
		c := fakeClamd(t, "unix", func(in *bufio.Reader, conn net.Conn) {
			if take(in) == nil {
				_, _ = io.WriteString(conn, "1: fd[5]: OK\x00")
				<-answered
				_, _ = io.WriteString(conn, goodbye)
				_ = conn.Close()
				gone <- struct{}{}
			}
		})
		for i := range 5 {
			if r := scanFor(t, c, inMemory([]byte("x")), 5*time.Second); r.Status != Clean {
				t.Errorf("scan %d with goodbye %q: %v: %s", i, goodbye, r.Status, r.Detail)
			}
			answered <- struct{}{}
			<-gone
		}
	}
}

func TestClamdStaleSessionIsReplacedOnce(t *testing.T) {
	var opened atomic.Int64
	c := fakeClamd(t, "unix", func(in *bufio.Reader, conn net.Conn) {
		n := opened.Add(1)
		if take(in) == nil && n == 1 {
			_, _ = io.WriteString(conn, "1: fd[5]: OK\x00")
			_ = take(in)
		}
	})
	if r := scanFor(t, c, inMemory([]byte("x")), 5*time.Second); r.Status != Clean {
		t.Fatalf("%+v", r)
	}
	if r := scanFor(t, c, inMemory([]byte("x")), 5*time.Second); r.Status != Error {
		t.Errorf("%+v", r)
	}
	if n := opened.Load(); n != 2 {
		t.Errorf("%d sessions opened, want 2", n)
	}
}

func TestClamdQueueIsBounded(t *testing.T) {
	release := make(chan struct{})
	c := fakeClamd(t, "unix", func(in *bufio.Reader, conn net.Conn) {
		for id := 1; take(in) == nil; id++ {
			select {
			case <-release:
			case <-t.Context().Done():
				return
			}
			_, _ = fmt.Fprintf(conn, "%d: fd[5]: OK\x00", id)
		}
	})
	const scans = 50
	results := make(chan Result, scans)
	for range scans {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			results <- c.Scan(ctx, inMemory([]byte("x")))
		}()
	}
	for range scans - 5 { // 2 run, 3 wait
		if r := <-results; r.Status != Error || !strings.Contains(r.Detail, "queue for clamd is full") {
			t.Errorf("%v: %s", r.Status, r.Detail)
		}
	}
	if h := c.Health(); h.Busy != 2 || h.Queue != 3 {
		t.Errorf("busy %d, queue %d, want 2 and 3", h.Busy, h.Queue)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	close(release)
	for range 5 {
		if r := <-results; r.Status != Clean {
			t.Errorf("%v: %s", r.Status, r.Detail)
		}
	}
	<-ctx.Done()
	if r := c.Scan(ctx, inMemory([]byte("x"))); r.Status != TimedOut {
		t.Errorf("with no time left: %v", r.Status)
	}
	if h := c.Health(); h.Scans != scans+1 || h.Failures != scans-4 {
		t.Errorf("scans %d, failures %d", h.Scans, h.Failures)
	}
}

func TestClamdStreamsOverTCP(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	got := make(chan []byte, 1)
	c := fakeClamd(t, "tcp", func(in *bufio.Reader, conn net.Conn) {
		if cmd, _ := in.ReadString(0); cmd != "zINSTREAM\x00" {
			return
		}
		var all []byte
		for {
			var n [4]byte
			if _, err := io.ReadFull(in, n[:]); err != nil {
				return
			}
			size := int(n[0])<<24 | int(n[1])<<16 | int(n[2])<<8 | int(n[3])
			if size == 0 {
				break
			}
			chunk := make([]byte, size)
			if _, err := io.ReadFull(in, chunk); err != nil {
				return
			}
			all = append(all, chunk...)
		}
		got <- all
		_, _ = io.WriteString(conn, "1: stream: OK\x00")
	})
	if r := scanFor(t, c, inMemory(body), 5*time.Second); r.Status != Clean {
		t.Fatalf("%+v", r)
	}
	if !bytes.Equal(<-got, body) {
		t.Error("clamd got other bytes")
	}
}

func TestClamdHealthNamesWhatIsWrong(t *testing.T) {
	var broken atomic.Bool
	c := fakeClamd(t, "unix", func(in *bufio.Reader, conn net.Conn) {
		for id := 1; take(in) == nil && !broken.Load(); id++ {
			_, _ = fmt.Fprintf(conn, "%d: fd[5]: OK\x00", id)
		}
	})
	within(t, 5*time.Second, "OK", func() bool { return c.Health().State == OK })
	if v := c.Version(); !strings.HasPrefix(v, "1.0.0/1/today") {
		t.Errorf("version %q", v)
	}
	broken.Store(true)
	within(t, 5*time.Second, "degraded while all scans fail", func() bool {
		scanFor(t, c, inMemory([]byte("x")), time.Second)
		h := c.Health()
		return h.State == Degraded && h.LastError != ""
	})
	broken.Store(false)
	within(t, 5*time.Second, "OK again", func() bool {
		scanFor(t, c, inMemory([]byte("x")), time.Second)
		return c.Health().State == OK
	})

	down, err := NewClamd(ClamdConfig{Network: "unix", Address: filepath.Join(t.TempDir(), "none")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = down.Close() }()
	if r := scanFor(t, down, inMemory([]byte("x")), time.Second); r.Status != Error {
		t.Errorf("%+v", r)
	}
	within(t, 5*time.Second, "down", func() bool { return down.Health().State == Down && down.Health().LastError != "" })
}

func TestClamdConfigIsChecked(t *testing.T) {
	for _, cfg := range []ClamdConfig{{}, {Network: "udp"}, {Network: "tcp", Sessions: -1}} {
		if _, err := NewClamd(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

// externalClamd runs a clamd that is not ours, over TCP, with small limits.
func externalClamd(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.Addr().String()
	_, port, _ := strings.Cut(address, ":")
	db := filepath.Join(dir, "db")
	conf := filepath.Join(dir, "clamd.conf")
	text := "Foreground yes\nTCPSocket " + port + "\nTCPAddr 127.0.0.1\nDatabaseDirectory " + db +
		"\nStreamMaxLength 1M\nMaxFileSize 500K\nAlertExceedsMax yes\nAlertEncrypted yes\n"
	if err := errors.Join(probe.Close(), os.Mkdir(db, 0o755), os.WriteFile(conf, []byte(text), 0o644),
		os.WriteFile(filepath.Join(db, "e.ldb"), []byte(eicarLDB), 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/clamd", "--config-file="+conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return address
}

func TestRealClamdOverTCP(t *testing.T) {
	c, err := NewClamd(ClamdConfig{Network: "tcp", Address: externalClamd(t), PollInterval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	within(t, 20*time.Second, "clamd answers", func() bool { return c.Health().State == OK })
	for range 2 { // a session survives, or is replaced
		for _, x := range []struct {
			name string
			body []byte
			want Status
		}{
			{"EICAR", []byte(eicar), Infected},
			{"clean", []byte("hello"), Clean},
			{"empty", nil, Clean},
			{"over MaxFileSize", make([]byte, 600<<10), OverLimit},
			{"over StreamMaxLength", make([]byte, 5<<20), OverLimit},
			{"encrypted zip", encryptedZip, Encrypted},
		} {
			if r := scanFor(t, c, inMemory(x.body), 10*time.Second); r.Status != x.want {
				t.Errorf("%s: %v: %s; want %v", x.name, r.Status, r.Detail, x.want)
			}
		}
	}
}

// Reloads and a crowd at once: ten times as many scans as sessions and queue.
func TestClamdReloadsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, ClamdChildConfig{Signatures: dir, Sessions: 2, Queue: 8, PollInterval: 50 * time.Millisecond})
	var clean, infected, full atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				text := fmt.Sprint(n, " ", i)
				if i%2 == 1 {
					text = eicar
				}
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				r := c.Scan(ctx, inMemory([]byte(text)))
				cancel()
				switch {
				case r.Status == Error && strings.Contains(r.Detail, "queue for clamd is full"):
					full.Add(1)
					time.Sleep(time.Millisecond)
				case text == eicar && r.Status == Infected:
					infected.Add(1)
				case text != eicar && r.Status == Clean:
					clean.Add(1)
				default:
					t.Errorf("%q: %+v", text, r)
					return
				}
			}
		})
	}
	for i := range 4 {
		version := c.Version()
		write(t, filepath.Join(dir, "x.ndb"), fmt.Sprintf("X%d:0:*:%x\n", i, "no object has this text"))
		within(t, 20*time.Second, "a reload has come to its end", func() bool {
			return c.Version() != version && !strings.Contains(c.Version(), "unsettled")
		})
	}
	close(stop)
	wg.Wait()
	if clean.Load() == 0 || infected.Load() == 0 || full.Load() == 0 {
		t.Errorf("clean %d, infected %d, queue full %d: want some of each", clean.Load(), infected.Load(), full.Load())
	}
}
