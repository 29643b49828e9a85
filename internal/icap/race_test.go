//go:build race

package icap

// raceEnabled says that the race detector is in, which allocates by itself.
const raceEnabled = true
