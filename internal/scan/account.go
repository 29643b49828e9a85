package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who clamd runs as; nil where that is simply us.
type account syscall.Credential

// accountFor gives root's clamd an account of less power.
func accountFor(name string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("account for clamd: %w; create it or name another", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("account for clamd: %w", err)
	}
	return &account{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// ownDir makes dir. Where the account cannot reach it, because a directory above
// is closed to it, a directory below /run takes its place.
func (a *account) ownDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if a == nil || a.reaches(filepath.Dir(dir)) {
		return dir, nil
	}
	sum := sha256.Sum256([]byte(dir))
	dir = "/run/sluice-clamd-" + hex.EncodeToString(sum[:6])
	return dir, os.MkdirAll(dir, 0o700)
}

// layout makes the directories in dir. The account owns only what clamd must
// write: who takes over clamd must not get at its configuration and databases.
func (a *account) layout(dir string) error {
	open := os.FileMode(0o700)
	if a != nil {
		open = 0o711
	}
	if err := os.Chmod(dir, open); err != nil {
		return err
	}
	if err := os.MkdirAll(databaseDir(dir), 0o755); err != nil {
		return err
	}
	for _, d := range []string{filepath.Dir(socketPath(dir)), tempDir(dir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
		if a == nil {
			continue
		}
		if err := os.Chown(d, int(a.Uid), int(a.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// reaches tells whether the account may pass through dir and all above it.
func (a *account) reaches(dir string) bool {
	for {
		fi, err := os.Stat(dir)
		if err != nil {
			return false
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			return false
		}
		mode := fi.Mode().Perm()
		switch {
		case st.Uid == a.Uid:
			mode >>= 6
		case st.Gid == a.Gid:
			mode >>= 3
		}
		if mode&1 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
