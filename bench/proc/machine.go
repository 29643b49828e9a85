package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Busy is the processor time that the whole machine has spent so far on
// anything but idling, in seconds of one processor.
func Busy() (float64, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %.60q", line)
	}
	sum := 0
	for i, text := range f[1:8] { // user nice system idle iowait irq softirq (proc(5))
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat begins with %.60q", line)
		}
		if i != 3 && i != 4 {
			sum += n
		}
	}
	return float64(sum) * tick, nil
}
