package proc

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestCPUCountsDescendants(t *testing.T) {
	// On SIGTERM the shell takes its busy child with it.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `dd if=/dev/zero of=/dev/null bs=64k & trap 'kill $!' TERM; wait`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		own, kids, err := CPU(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if kids > 0.05 && kids > own {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("own %v s, descendants %v s: the busy child was not counted", own, kids)
		}
	}
}

func TestMemory(t *testing.T) {
	pid := os.Getpid()
	if err := ResetPeak(pid); err != nil {
		t.Fatal(err)
	}
	now, peak, err := Memory(pid)
	if err != nil || now <= 0 || peak < now/2 {
		t.Fatalf("Memory = %d, %d, %v", now, peak, err)
	}
	if _, _, err := Memory(-1); err == nil {
		t.Error("a process that is not there has memory")
	}
}
