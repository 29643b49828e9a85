package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Lab is everything around a node. Its methods are for one goroutine.
type Lab struct {
	Dir        string // state and logs of this run
	Repo       string // the checkout
	Origin     *Origin
	NginxHTTP  int
	NginxHTTPS int
	FTP        int

	root, bump *authority
	processes  []*Process
	logs       []string // further log files worth reading
}

// programs are what the lab needs, with the Debian package that has each.
var programs = map[string]string{
	"squid": "squid-openssl", "nginx": "nginx-light", "vsftpd": "vsftpd", "clamd": "clamav-daemon", "chromium": "chromium",
	"curl": "curl", "openssl": "openssl", "c-icap-client": "c-icap", "7z": "p7zip-full", "genisoimage": "genisoimage",
}

// Start starts origin, nginx and vsftpd with their state in a new folder under
// the system's temporary one.
func Start(ctx context.Context) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab runs servers that drop root's rights, and mounts small disks: run it as root")
	}
	var missing []string
	for program, debian := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, debian)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("programs are missing; run: scripts/setup.sh test, or apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	repo, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the checkout: %w", err)
	}
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, Repo: strings.TrimSpace(string(repo))}
	return l, errors.Join(os.Chmod(dir, 0o755), l.startAll(ctx))
}

func (l *Lab) startAll(ctx context.Context) error {
	for _, d := range []string{"www", "ftp/pub", "log"} {
		if err := os.MkdirAll(filepath.Join(l.Dir, d), 0o755); err != nil {
			return err
		}
	}
	var err error
	if l.root, err = newAuthority(l.Dir, "origin-ca"); err != nil {
		return err
	}
	if l.bump, err = newAuthority(l.Dir, "bump-ca"); err != nil {
		return err
	}
	certFile, keyFile, err := l.root.issue(l.Dir, "origin", Host, "*."+Host, "other.test", "localhost")
	if err != nil {
		return err
	}
	if l.Origin, err = startOrigin(certFile, keyFile); err != nil {
		return err
	}
	if err := l.startNginx(ctx, certFile, keyFile); err != nil {
		return err
	}
	return l.startFTP(ctx)
}

func (l *Lab) start(name, program string, args ...string) (*Process, error) {
	p, err := startProcess(name, filepath.Join(l.Dir, "log"), program, args...)
	if err == nil {
		l.processes = append(l.processes, p)
		l.logs = append(l.logs, p.Log)
	}
	return p, err
}

// Publish puts a file where nginx (/NAME) and vsftpd (/pub/NAME) serve it.
func (l *Lab) Publish(name string, content []byte) error {
	for _, d := range []string{"www", "ftp/pub"} {
		if err := os.WriteFile(filepath.Join(l.Dir, d, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Issue makes a certificate signed by the lab's authority, for a server or a
// client, and returns the files of certificate and key.
func (l *Lab) Issue(name string, hosts ...string) (certFile, keyFile string, err error) {
	return l.root.issue(l.Dir, name, hosts...)
}

// RootCA is the file of the authority that signs the origin's certificate.
func (l *Lab) RootCA() string { return l.root.File }

// BumpCA is the file of the authority that Squid signs with.
func (l *Lab) BumpCA() string { return l.bump.File }

// Stop stops everything, the last started first. With keep the folder stays.
func (l *Lab) Stop(keep bool) {
	for i := len(l.processes) - 1; i >= 0; i-- {
		l.processes[i].Stop(comeUp)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if l.Origin != nil {
		l.Origin.stop(ctx)
	}
	if !keep {
		_ = os.RemoveAll(l.Dir)
	}
}

// Dump writes the ends of all logs.
func (l *Lab) Dump(w io.Writer) {
	for _, f := range l.logs {
		fmt.Fprint(w, tail(f, 60))
	}
	fmt.Fprintf(w, "the lab's state is kept in %s\n", l.Dir)
}
