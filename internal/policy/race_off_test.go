//go:build !race

package policy

// raceEnabled tells that allocations are not counted: the detector makes some.
const raceEnabled = false
