package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a program in the foreground whose output goes to a file.
type Process struct {
	Name string
	Log  string // path of its output
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// startProcess starts a program. It is killed when this process dies.
func startProcess(name, logDir, program string, args ...string) (*Process, error) {
	p := &Process{Name: name, Log: filepath.Join(logDir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the program.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// ready waits until ask says so, and gives up at once when the program ended.
func (p *Process) ready(ctx context.Context, ask func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := Poll(ctx, comeUp, ask); err != nil {
		return fmt.Errorf("%s did not come up: %w\n%s", p.Name, err, p.Tail(40))
	}
	return nil
}

// Wait waits for the program to end by itself and returns how it ended.
func (p *Process) Wait(limit time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(limit):
		return fmt.Errorf("%s (pid %d) still runs after %v", p.Name, p.PID(), limit)
	}
}

// Stop asks the program to end, and kills it after a while.
func (p *Process) Stop(grace time.Duration) {
	if p == nil {
		return
	}
	_ = p.Signal(syscall.SIGTERM)
	if p.Wait(grace) != nil {
		_ = p.Signal(syscall.SIGKILL)
		<-p.done
	}
}

// Tail returns the last lines of the program's output.
func (p *Process) Tail(lines int) string { return tail(p.Log, lines) }

func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
	all = all[max(0, len(all)-lines):]
	return fmt.Sprintf("--- %s\n%s\n", path, bytes.Join(all, []byte("\n")))
}

// Child finds the process called comm that parent started; 0 when there is none.
func Child(parent int, comm string) int {
	dirs, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	for _, f := range dirs {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		// pid (comm) state ppid ...; comm is cut at 15 bytes and may hold anything
		open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		rest := strings.Fields(string(b[end+1:]))
		if open < 0 || end < open || len(rest) < 2 || rest[1] != strconv.Itoa(parent) || rest[0] == "Z" {
			continue
		}
		if string(b[open+1:end]) == comm[:min(len(comm), 15)] {
			pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:open])))
			return pid
		}
	}
	return 0
}

// Mentioning lists the processes that have text in their command line, as
// "pid: command line".
func Mentioning(text string) []string {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	var found []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && bytes.Contains(b, []byte(text)) {
			found = append(found, filepath.Base(filepath.Dir(f))+": "+string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// Resident is a process's resident memory in bytes, and the most it ever was.
func Resident(pid int) (now, peak int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = kb << 10
		case "VmHWM:":
			peak = kb << 10
		}
	}
	return now, peak, nil
}
