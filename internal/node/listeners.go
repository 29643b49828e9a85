package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
)

// listeners are the open ICAP listeners by what they listen on: "tls " and an
// address, or an address.
type listeners map[string]net.Listener

// open opens what is wanted and not there yet; on an error nothing new stays.
func (ls listeners) open(ctx context.Context, plain, secured []string, config *atomic.Pointer[tls.Config]) (fresh listeners, err error) {
	fresh = listeners{}
	defer func() {
		if err != nil {
			for _, l := range fresh {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	for _, addr := range plain {
		if ls[addr] != nil || fresh[addr] != nil {
			continue
		}
		if fresh[addr], err = listen(ctx, addr); err != nil {
			delete(fresh, addr)
			return fresh, err
		}
	}
	current := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return config.Load(), nil },
	}
	for _, addr := range secured {
		key := "tls " + addr
		if ls[key] != nil || fresh[key] != nil {
			continue
		}
		l, err := listen(ctx, addr)
		if err != nil {
			return fresh, err
		}
		fresh[key] = tls.NewListener(l, current)
	}
	return fresh, nil
}

// unwanted are the listeners that a revision does not name any more.
func (ls listeners) unwanted(plain, secured []string) listeners {
	out := listeners{}
	for key, l := range ls {
		out[key] = l
	}
	for _, addr := range plain {
		delete(out, addr)
	}
	for _, addr := range secured {
		delete(out, "tls "+addr)
	}
	return out
}

// socketMode lets processes of the owner and the group connect.
const socketMode = 0o660

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	path, isUnix := strings.CutPrefix(addr, "unix:")
	if !isUnix {
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		return l, nil
	}
	l, err := listenUnix(ctx, path, socketMode)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// listenUnix takes the path over from a process that died. A socket that still
// answers belongs to somebody, and stays.
func listenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if fi, err := os.Lstat(path); err == nil {
		if fi.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is there and is not a socket", path)
		}
		var d net.Dialer
		if c, err := d.DialContext(ctx, "unix", path); err == nil {
			return nil, errors.Join(fmt.Errorf("%s is in use by a running process", path), c.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
