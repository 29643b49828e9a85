package settings

import "time"

// Default returns the settings of a fresh node: everything scanned, everything
// bad or unscannable blocked, ICAP served to this host only.
func Default() *Settings {
	return &Settings{
		Node: Node{
			ICAP:  NodeICAP{Listen: []string{":1344"}, MaxConnections: 5000},
			Admin: NodeAdmin{Listen: "127.0.0.1:9344"},
			Spool: Spool{MemoryPerBody: MB, Memory: 256 * MB, Disk: 64 * GB},
		},
		ICAP: ICAP{
			Clients:  []string{"127.0.0.0/8", "::1/128"},
			Services: ICAPServices{Reqmod: "/reqmod", Respmod: "/respmod"},
			Headers: ICAPHeaders{
				ClientAddress: []string{"X-Client-IP"},
				User:          []string{"X-Client-Username", "X-Authenticated-User"},
				Groups:        []string{"X-Client-Groups", "X-Authenticated-Groups"},
			},
			Connect:      "process",
			Preview:      4096,
			OptionsTTL:   Duration(time.Hour),
			StartSending: StartSending{After: Duration(10 * time.Second), Rate: 64 * KB},
			Timeouts: ICAPTimeouts{
				Head:  Duration(30 * time.Second),
				Body:  Duration(time.Minute),
				Write: Duration(time.Minute),
				Idle:  Duration(10 * time.Minute),
			},
		},
		Protection: Protection{
			Default: DefaultProtection(),
			On: FailPolicy{
				EngineError: "block", TimedOut: "block", OverLimit: "block",
				BadEncoding: "block", BadContent: "block", Partial: "allow",
			},
			Limits: Limits{
				Depth: 32, Object: 4 * GB, Expanded: 8 * GB, Ratio: 100, Members: 100_000,
				Time: Duration(180 * time.Second),
			},
		},
		Engines: Engines{
			Clamd: Clamd{Mode: "supervised", MaxObject: 2*GB - 1},
			Cache: Cache{Entries: 200_000},
		},
		Pages: Pages{Language: "en"},
		Events: Events{
			Retention: Retention{Days: 30, Size: 10 * GB},
			Queue:     EventQueue{Memory: 64 * MB, Disk: 2 * GB},
		},
	}
}
