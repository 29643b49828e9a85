package event

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkTraffic is the cost for the caller alone: encode and hand over.
func BenchmarkTraffic(b *testing.B) {
	l := &Log{in: newIntake(1 << 30)}
	l.scratch.New = func() any { b := make([]byte, 0, 4<<10); return &b }
	l.traffic = headTail(KindTraffic, "n1")
	e := sample()
	e.Time = time.Now()
	var taken []*batch
	b.ReportAllocs()
	for b.Loop() {
		l.Traffic(e)
		select {
		case <-l.in.full: // what the writer does, without the disk
			taken = l.in.take(taken[:0])
			for _, c := range taken {
				l.in.recycle(c)
			}
		default:
		}
	}
	b.ReportMetric(float64(len(e.appendLine(nil, e.Time, l.traffic))), "B/line")
}

// BenchmarkSustained is the cost of the whole way into the real engine: CPU
// microseconds of this process and of the engine for each event.
func BenchmarkSustained(b *testing.B) {
	cfg := testConfig(b)
	l, _ := open(b, cfg)
	running(b, l)
	e := sample()
	url := append([]byte(nil), e.URL...)
	own, its := cpuSelf(b), cpuOf(b, l.Health().EnginePID)
	began, i := time.Now(), 0
	for b.Loop() {
		e.Time = time.Time{}
		e.ID[11], e.ID[10], e.ID[9], e.ID[8] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
		e.URL = strconv.AppendInt(url[:len(url)-8], int64(10_000_000+i), 10)
		e.Received, e.Total, e.Client = int64(i%50_000), int64(100+i%900), e.Client.Next()
		for i%256 == 0 && l.Health().QueuedBytes > 8<<20 {
			time.Sleep(time.Millisecond)
		}
		l.Traffic(e)
		i++
	}
	if err := l.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	n, sec := float64(i), time.Since(began).Seconds()
	time.Sleep(3 * engineFlush)
	b.ReportMetric(n/sec, "events/s")
	b.ReportMetric((cpuSelf(b)-own)/n*1e6, "ownµs/event")
	b.ReportMetric((cpuOf(b, l.Health().EnginePID)-its)/n*1e6, "engineµs/event")
}

func cpuSelf(tb testing.TB) float64 {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		tb.Fatal(err)
	}
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
}

// cpuOf is the CPU time of a process in seconds (proc(5), stat: utime, stime in
// ticks of 10 ms).
func cpuOf(tb testing.TB, pid int) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		tb.Fatal(err1, err2)
	}
	return (user + system) / 100
}
