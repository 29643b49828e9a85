package main

import (
	"math/bits"
	"time"
)

// subBits gives 64 steps for each power of two: figures are off by 1.6 % at most.
const subBits = 6

// hist counts latencies in fixed memory.
type hist struct {
	counts [64 << subBits]uint64
	total  uint64
	max    time.Duration
}

func (h *hist) add(d time.Duration) {
	d = max(d, 0)
	h.counts[slot(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// slot is exact below 64 ns, then the top 7 bits of the value.
func slot(v uint64) int {
	n := bits.Len64(v)
	if n <= subBits {
		return int(v)
	}
	shift := n - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

// bound is the smallest value of a slot.
func bound(s int) uint64 {
	if s < 1<<subBits {
		return uint64(s)
	}
	shift := s>>subBits - 1
	return uint64(s&(1<<subBits-1)+1<<subBits) << shift
}

// quantile is the latency that the share q of all exchanges did not exceed.
func (h *hist) quantile(q float64) time.Duration {
	want := uint64(q * float64(h.total))
	var seen uint64
	for s, n := range h.counts {
		if seen += n; n > 0 && seen >= want {
			return time.Duration(bound(s))
		}
	}
	return h.max
}
