// Package main is load, the load generator of the measurements: one thread, one
// epoll loop, no allocation an exchange, so that one processor of its own is
// enough to saturate a service on another. It speaks ICAP and plain HTTP over
// TCP or a Unix socket, as fast as the service answers, or open-loop at a given
// rate with latencies counted from the moment a request was due, so that a
// stalled service cannot hide its stall.
//
// It never judges by itself whether figures are good: it prints them as one
// JSON object, with its own processor time beside, for bench/compare.
package main
