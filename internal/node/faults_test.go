package node_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fakeClamd speaks clamd's language on a Unix socket, as badly as it is told.
type fakeClamd struct {
	t     *testing.T
	path  string
	mode  atomic.Value // string
	scans atomic.Int64

	mu    sync.Mutex
	l     *net.UnixListener
	conns map[*net.UnixConn]bool
}

// The modes.
const (
	honest  = "honest"  // says OK
	half    = "half"    // breaks off in the middle of an answer
	wrong   = "wrong"   // answers what nobody asked
	drip    = "drip"    // sends a byte a second
	silent  = "silent"  // takes everything, answers nothing
	closing = "closing" // hangs up at once
)

func startFakeClamd(t *testing.T, path string) *fakeClamd {
	f := &fakeClamd{t: t, path: path, conns: map[*net.UnixConn]bool{}}
	f.mode.Store(honest)
	f.listen()
	t.Cleanup(f.stop)
	return f
}

func (f *fakeClamd) listen() {
	f.t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.path, Net: "unix"})
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.l = l
	f.mu.Unlock()
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[c] = true
			f.mu.Unlock()
			go f.session(c)
		}
	}()
}

// stop is a kill: the listener and every session are gone.
func (f *fakeClamd) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.l.Close()
	for c := range f.conns {
		_ = c.Close()
	}
	clear(f.conns)
}

func (f *fakeClamd) session(c *net.UnixConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	inSession, n := false, 0
	for {
		cmd, err := r.ReadString(0)
		if err != nil {
			return
		}
		cmd = strings.Trim(cmd, "zn\x00")
		if cmd == "IDSESSION" {
			inSession = true
			continue
		}
		n++
		text, isScan := f.reply(cmd, c, r)
		if text == "" {
			return
		}
		if inSession {
			text = fmt.Sprintf("%d: %s", n, text)
		}
		if !f.answer(c, text+"\x00", isScan) {
			return
		}
	}
}

func (f *fakeClamd) reply(cmd string, c *net.UnixConn, r *bufio.Reader) (text string, isScan bool) {
	switch cmd {
	case "PING":
		return "PONG", false
	case "VERSION":
		return "ClamAV 1.4.6/27000/Tue Nov 24 08:00:00 2026", false
	case "FILDES":
		takeDescriptor(c, r)
		f.scans.Add(1)
		return "fd[10]: OK", true
	case "INSTREAM":
		for {
			var size uint32
			if binary.Read(r, binary.BigEndian, &size) != nil {
				return "", true
			}
			if size == 0 {
				f.scans.Add(1)
				return "stream: OK", true
			}
			if _, err := io.CopyN(io.Discard, r, int64(size)); err != nil {
				return "", true
			}
		}
	}
	return "UNKNOWN COMMAND", false
}

// takeDescriptor receives the file that FILDES sends with one byte of data. The
// byte may be buffered already; then the descriptor is lost, which is fine for a
// scanner that looks at nothing.
func takeDescriptor(c *net.UnixConn, r *bufio.Reader) {
	if r.Buffered() > 0 {
		_, _ = r.ReadByte()
		return
	}
	oob := make([]byte, 64)
	b := make([]byte, 1)
	_, n, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return
	}
	msgs, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return
	}
	for _, m := range msgs {
		fds, err := syscall.ParseUnixRights(&m)
		if err == nil {
			for _, fd := range fds {
				_ = syscall.Close(fd)
			}
		}
	}
}

func (f *fakeClamd) answer(c *net.UnixConn, text string, isScan bool) bool {
	mode := f.mode.Load().(string)
	if !isScan {
		mode = honest // pings are answered: the fault shows only in scans
	}
	switch mode {
	case half:
		_, _ = c.Write([]byte(text[:len(text)/2]))
		return false
	case wrong:
		text = "7: I am a teapot\x00"
	case drip:
		for i := range text {
			if _, err := c.Write([]byte{text[i]}); err != nil {
				return false
			}
			time.Sleep(time.Second)
		}
		return true
	case silent:
		_, _ = io.Copy(io.Discard, c)
		return false
	case closing:
		return false
	}
	_, err := c.Write([]byte(text))
	return err == nil
}

// faultNode runs a node whose only engine is the fake clamd.
func faultNode(t *testing.T, on string) (*running, *fakeClamd) {
	r := &running{t: t, dir: t.TempDir(), icap: freePort(t), admin: freePort(t)}
	socket := filepath.Join(r.dir, "fake.sock")
	f := startFakeClamd(t, socket)
	doc := fmt.Sprintf("node:\n  name: gw1\n  icap: {listen: [\"%s\"]}\n  admin: {listen: \"%s\"}\nengines:\n  clamd: {mode: external, socket: %s, sessions: 2}\n  cache: {entries: 0}\nprotection:\n  limits: {time: 1s}\n  on: {engine_error: %s, timed_out: %s}\n",
		r.icap, r.admin, socket, on, on)
	if err := os.WriteFile(filepath.Join(r.dir, "sluice.yaml"), []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	eventually(t, "the engine answers", func() bool {
		_, m := r.get("/metrics")
		return strings.Contains(m, `sluice_engine_up{engine="clamd"} 1`)
	})
	return r, f
}

// TestScannerFaults: whatever the scanner does, nothing unscanned passes in closed
// mode, everything passes marked in open mode, and service is back within 2 s.
func TestScannerFaults(t *testing.T) {
	for _, on := range []string{"block", "allow"} {
		t.Run(on, func(t *testing.T) {
			r, f := faultNode(t, on)
			for i, mode := range []string{half, wrong, drip, silent, closing, "killed"} {
				if mode == "killed" {
					f.stop()
				} else {
					f.mode.Store(mode)
				}
				a := respmod(t, r.icap, "http://a.test/"+mode, fmt.Sprintf("body %d", i))
				passed := strings.HasPrefix(a, "ICAP/1.0 204 ")
				if passed != (on == "allow") {
					t.Errorf("%s: %s", mode, a)
				}
				r.wantEvent(receipt(a), passed)
				if mode == "killed" {
					f.listen()
				} else {
					f.mode.Store(honest)
				}
				deadline := time.Now().Add(2 * time.Second)
				for n := 0; ; n++ {
					a := respmod(t, r.icap, "http://a.test/after-"+mode, fmt.Sprintf("body %d %d", i, n))
					if strings.HasPrefix(a, "ICAP/1.0 204 ") && !strings.Contains(a, "Unscanned") {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("not back 2 s after %s: %s", mode, a)
					}
				}
			}
		})
	}
}

// wantEvent checks that the event says what happened: blocked, or passed and marked.
func (r *running) wantEvent(id string, passed bool) {
	r.t.Helper()
	var line string
	err := r.client.Events(r.t.Context(), []string{"id=" + id}, 1, false, func(l []byte) error {
		line = string(l)
		return nil
	})
	marked := strings.Contains(line, `"unscanned":"true"`)
	if err != nil || passed != marked || strings.Contains(line, `"scan_status":"clean"`) || passed == strings.Contains(line, `"action":"block"`) {
		r.t.Errorf("event of %s (passed: %v): %v %s", id, passed, err, line)
	}
}

// TestTenTimesTheQueue: more objects than sessions and queue can hold at once are
// answered in time, each honestly.
func TestTenTimesTheQueue(t *testing.T) {
	r, f := faultNode(t, "block")
	f.mode.Store(silent)
	var blocked atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for i := range 640 { // 2 sessions, 64 places in the queue
		wg.Go(func() {
			if a := respmod(t, r.icap, "http://a.test/", fmt.Sprintf("many %d", i)); strings.HasPrefix(a, "ICAP/1.0 200 ") {
				blocked.Add(1)
			}
		})
	}
	wg.Wait()
	if blocked.Load() != 640 || time.Since(start) > 15*time.Second {
		t.Errorf("%d of 640 blocked in %v", blocked.Load(), time.Since(start))
	}
	f.mode.Store(honest)
	eventually(t, "service is back", func() bool {
		return strings.HasPrefix(respmod(t, r.icap, "http://a.test/", "later"), "ICAP/1.0 204 ")
	})
	if errors.Is(r.client.Reload(t.Context()), os.ErrClosed) {
		t.Error("the node is gone")
	}
}
