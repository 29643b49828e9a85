package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"sluice/test/lab"
)

// TestDiskFull fills the node's disk: what fits into memory goes on being
// scanned, what does not is refused and never called clean, and events come
// back once there is room.
func TestDiskFull(t *testing.T) {
	dir := filepath.Join(shared.Dir, "full")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,mode=755"); err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	p := startPrivate(t, "full", "")
	p.scansAgain(t, 1)

	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	const quiet = 300
	for i := range quiet {
		status, body, err := p.get(t.Context(), originURL("http", "/load/quiet/"+strconv.Itoa(i)))
		if err != nil || status != http.StatusOK || !bytes.Equal(body, lab.Load("quiet", i)) {
			t.Fatalf("quiet/%d on a full disk: %v, status %d\n%.300s", i, err, status, body)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	status, body, err := p.get(short, originURL("http", "/bytes/20000000"))
	if err != nil || status != http.StatusForbidden || receipt.Find(body) == nil {
		t.Errorf("a large object on a full disk: %v, status %d, %d bytes", err, status, len(body))
	}
	status, body, err = p.get(t.Context(), originURL("http", "/load/bad/77"))
	if err != nil || status != http.StatusForbidden || !bytes.Contains(body, []byte("Lab.Marker")) {
		t.Errorf("a bad object on a full disk: %v, status %d, %.300s", err, status, body)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	err = lab.Poll(t.Context(), 60*time.Second, func() error {
		n := int(time.Now().UnixNano() % 1e9)
		status, _, err := p.get(t.Context(), originURL("http", "/load/room/"+strconv.Itoa(n)))
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("%w, status %d", err, status)
		}
		found, err := p.node.Events(t.Context(), 10, "url~/load/room/"+strconv.Itoa(n))
		if err == nil && len(found) != 2 {
			err = fmt.Errorf("%d events", len(found))
		}
		return err
	})
	if err != nil {
		t.Error("events after there was room again:", err)
	}
	status, body, err = p.get(t.Context(), originURL("http", "/bytes/20000000"))
	if want := must(io.ReadAll(lab.Content(20_000_000)))(t); err != nil || status != http.StatusOK || !bytes.Equal(body, want) {
		t.Errorf("a large object after there was room again: %v, status %d, %d bytes", err, status, len(body))
	}
	found, err := p.node.Events(t.Context(), 1000, "url~/load/quiet/", "direction=response")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d events of the time without room are there", len(found), quiet)
}

// fill writes until the disk has no room.
func fill(t *testing.T, name string) {
	t.Helper()
	f := must(os.Create(name))(t)
	defer f.Close()
	for size := 1 << 20; size >= 1; size /= 2 {
		block := make([]byte, size)
		for {
			if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}
