// Package proc reads what processes cost: processor time, of descendants too,
// and memory, from Linux's /proc. It never writes there, save to reset the peak
// memory of a process that is measured.
package proc
