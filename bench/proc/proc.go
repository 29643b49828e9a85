package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tick is the unit of processor times in /proc, in seconds (USER_HZ).
const tick = 0.01

// CPU is the processor time that a process and all its descendants have used so
// far, in seconds. Descendants that ended count once they were waited for.
func CPU(pid int) (own, descendants float64, err error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0, err
	}
	stats := map[int]stat{}
	for _, path := range all {
		if s, ok := readStat(path); ok {
			stats[s.pid] = s
		}
	}
	me, ok := stats[pid]
	if !ok {
		return 0, 0, fmt.Errorf("process %d is not there any more", pid)
	}
	descendants = me.waited
	for _, s := range stats {
		if s.pid != pid && descends(stats, s, pid) {
			descendants += s.own + s.waited
		}
	}
	return me.own, descendants, nil
}

// Children are the direct child processes of a process.
func Children(pid int) ([]int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var kids []int
	for _, path := range all {
		if s, ok := readStat(path); ok && s.parent == pid {
			kids = append(kids, s.pid)
		}
	}
	return kids, nil
}

type stat struct {
	pid, parent int
	own, waited float64
}

// readStat reads /proc/PID/stat (proc(5)); the name in it may hold anything.
func readStat(path string) (stat, bool) {
	b, err := os.ReadFile(path)
	i := bytes.LastIndexByte(b, ')')
	if err != nil || i < 0 {
		return stat{}, false // ended meanwhile
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 15 {
		return stat{}, false
	}
	var n [6]int
	for k, text := range []string{strings.Fields(string(b))[0], f[1], f[11], f[12], f[13], f[14]} {
		if n[k], err = strconv.Atoi(text); err != nil {
			return stat{}, false
		}
	}
	return stat{pid: n[0], parent: n[1], own: float64(n[2]+n[3]) * tick, waited: float64(n[4]+n[5]) * tick}, true
}

// maxGenerations bounds the way up from a process to its ancestors.
const maxGenerations = 64

func descends(stats map[int]stat, s stat, from int) bool {
	for range maxGenerations {
		if s.parent == from {
			return true
		}
		next, ok := stats[s.parent]
		if !ok {
			return false
		}
		s = next
	}
	return false
}

// Memory is the resident memory of a process now and at its highest, in bytes.
func Memory(pid int) (now, peak int64, err error) {
	if now, err = status(pid, "VmRSS:"); err != nil {
		return 0, 0, err
	}
	peak, err = status(pid, "VmHWM:")
	return now, peak, err
}

// ResetPeak makes Memory's peak begin anew.
func ResetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("resetting the peak memory of process %d: %w", pid, err)
	}
	return nil
}

// status reads a size from /proc/PID/status, in bytes.
func status(pid int, name string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, name)
}
