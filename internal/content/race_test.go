//go:build race

package content

// raceEnabled: time and memory are not what they are without the detector.
const raceEnabled = true
