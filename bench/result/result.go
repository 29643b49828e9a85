// Package result is what the load generator prints and the comparison reads:
// the figures of one run. It never computes anything.
package result

// Run is what one run of the load generator measured.
type Run struct {
	Exchanges uint64          `json:"exchanges"` // counted
	All       uint64          `json:"all"`       // with those of the warm-up
	Seconds   float64         `json:"seconds"`
	PerSecond float64         `json:"per_second"`
	MBPerS    float64         `json:"mb_per_s"` // 10^6 bytes of bodies: sent to the service, or received in http mode
	P50       float64         `json:"p50_us"`
	P90       float64         `json:"p90_us"`
	P99       float64         `json:"p99_us"`
	P999      float64         `json:"p999_us"`
	Max       float64         `json:"max_us"`
	Fails     uint64          `json:"fails"`
	LastError string          `json:"last_error,omitempty"`
	Behind    uint64          `json:"behind,omitempty"` // open loop: due and never begun
	Status    map[int]uint64  `json:"status"`
	Inner     map[int]uint64  `json:"inner"`    // statuses of the HTTP responses within ICAP answers
	OwnLoad   float64         `json:"own_load"` // of the generator: 1 is a whole processor
	Idle      int             `json:"idle,omitempty"`
	Watched   map[string]Cost `json:"watched,omitempty"`
}

// Cost is what a watched process took while the load ran.
type Cost struct {
	CPU      float64 `json:"cpu_s"`          // of the process itself, seconds
	Children float64 `json:"children_cpu_s"` // of its descendants, seconds
	RSS      int64   `json:"rss"`            // bytes at the end
	Grown    int64   `json:"rss_grown"`      // bytes more than at the start
	Peak     int64   `json:"rss_peak"`       // bytes, highest since the start
}
