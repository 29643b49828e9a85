package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The processors: the load generator has the first, all services the second.
const (
	loadCPU    = "0"
	serviceCPU = "1"
)

const (
	startTime = 60 * time.Second
	stopTime  = 15 * time.Second
	pollTime  = 50 * time.Millisecond
)

// process is a service that was started here.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs a program on the services' processor.
func start(dir, name string, argv ...string) (*process, error) {
	return startOn(serviceCPU, dir, name, argv...)
}

// startOn runs a program on one processor; its output goes to a file.
func startOn(cpu, dir, name string, argv ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command("taskset", append([]string{"-c", cpu}, argv...)...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended stands in its log
		close(p.done)
	}()
	return p, nil
}

// pid is the service's own: taskset replaces itself by it.
func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the service and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(stopTime):
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // its own process group only
		<-p.done
	}
}

// until polls ready until it has no error; a service that ended is an error.
func (p *process) until(ctx context.Context, ready func() error) error {
	for deadline := time.Now().Add(startTime); ; {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, p.tail())
		case <-time.After(pollTime):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %w; its log: %s", p.name, startTime, err, p.tail())
		}
	}
}

// tail is the end of the service's log.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// listening is an error until something accepts at an address.
func listening(network, addr string) func() error {
	return func() error {
		c, err := net.DialTimeout(network, addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// need says which programs are missing.
func need(programs ...string) error {
	var errs []error
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			errs = append(errs, fmt.Errorf("%w; scripts/setup.sh test installs it", err))
		}
	}
	return errors.Join(errs...)
}
