package settings

// Settings is the whole tree. A value that passed Validate is never changed.
type Settings struct {
	Node       Node        `yaml:"node"`
	ICAP       ICAP        `yaml:"icap"`
	Rules      Rules       `yaml:"rules"`
	Workspaces []Workspace `yaml:"workspaces"`
	Protection Protection  `yaml:"protection"`
	Engines    Engines     `yaml:"engines"`
	Pages      Pages       `yaml:"pages"`
	Events     Events      `yaml:"events"`
}

// Node is what differs from node to node.
type Node struct {
	// Name stands in events; empty means the host's name.
	Name  string    `yaml:"name"`
	ICAP  NodeICAP  `yaml:"icap"`
	Admin NodeAdmin `yaml:"admin"`
	Spool Spool     `yaml:"spool"`
}

// NodeICAP is where this node serves ICAP.
type NodeICAP struct {
	// Listen holds "host:port", ":port" or "unix:/path".
	Listen         []string `yaml:"listen"`
	TLS            ICAPTLS  `yaml:"tls"`
	MaxConnections int      `yaml:"max_connections"`
}

// ICAPTLS is where this node serves ICAP over TLS (icaps).
type ICAPTLS struct {
	Listen      []string `yaml:"listen"`
	Certificate string   `yaml:"certificate"` // PEM file, chain included
	Key         string   `yaml:"key"`         // PEM file
	// ClientCA is a PEM file; when set, clients must show a certificate of it.
	ClientCA string `yaml:"client_ca"`
}

// NodeAdmin is where metrics and health are served.
type NodeAdmin struct {
	Listen string `yaml:"listen"`
}

// Spool bounds what bodies hold while they are judged.
type Spool struct {
	MemoryPerBody Size `yaml:"memory_per_body"`
	Memory        Size `yaml:"memory"`
	Disk          Size `yaml:"disk"`
}

// ICAP is what all nodes' ICAP services have in common.
type ICAP struct {
	// Clients are the networks that may connect, as "10.0.0.0/8" or "::1".
	Clients  []string     `yaml:"clients"`
	Services ICAPServices `yaml:"services"`
	Headers  ICAPHeaders  `yaml:"headers"`
	// UserBase64 says that the user's name arrives Base64-coded.
	UserBase64 bool `yaml:"user_base64"`
	// Connect is "process" or "skip".
	Connect      string       `yaml:"connect"`
	Preview      int          `yaml:"preview"` // bytes
	OptionsTTL   Duration     `yaml:"options_ttl"`
	Transfer     ICAPTransfer `yaml:"transfer"`
	StartSending StartSending `yaml:"start_sending"`
	Timeouts     ICAPTimeouts `yaml:"timeouts"`
}

// ICAPServices are the paths of the two services.
type ICAPServices struct {
	Reqmod  string `yaml:"reqmod"`
	Respmod string `yaml:"respmod"`
}

// ICAPHeaders are the names of the ICAP header fields that tell who the client is.
type ICAPHeaders struct {
	ClientAddress []string `yaml:"client_address"`
	User          []string `yaml:"user"`
	Groups        []string `yaml:"groups"`
}

// ICAPTransfer lists file name extensions for the OPTIONS answer.
type ICAPTransfer struct {
	Ignore   []string `yaml:"ignore"`
	Complete []string `yaml:"complete"`
}

// StartSending lets large objects begin to flow before their scan ended.
type StartSending struct {
	Enabled bool     `yaml:"enabled"`
	After   Duration `yaml:"after"` // 1s to 1h
	Rate    Size     `yaml:"rate"`  // per second, 1KB to 1MB
}

// ICAPTimeouts bound how long a peer may take.
type ICAPTimeouts struct {
	Head  Duration `yaml:"head"`  // for a whole request head
	Body  Duration `yaml:"body"`  // between two pieces of a body
	Write Duration `yaml:"write"` // for taking a piece of an answer
	Idle  Duration `yaml:"idle"`  // between two requests
}

// Protection is what happens to what was found, and to what could not be scanned.
type Protection struct {
	Default ProtectionPolicy `yaml:"default"`
	On      FailPolicy       `yaml:"on"`
	Limits  Limits           `yaml:"limits"`
}

// FailPolicy says for each way a scan can fail whether the message is blocked
// ("block") or passes and is marked unscanned in its event ("allow").
type FailPolicy struct {
	EngineError string `yaml:"engine_error"`
	TimedOut    string `yaml:"timed_out"`
	OverLimit   string `yaml:"over_limit"`
	BadEncoding string `yaml:"bad_encoding"`
	BadContent  string `yaml:"bad_content"`
	Partial     string `yaml:"partial"`
}

// Limits bound the work on one message.
type Limits struct {
	Depth    int      `yaml:"depth"`
	Object   Size     `yaml:"object"`
	Expanded Size     `yaml:"expanded"`
	Ratio    int64    `yaml:"ratio"`
	Members  int      `yaml:"members"`
	Time     Duration `yaml:"time"` // 1s to 10m
}

// Engines are what objects are scanned with.
type Engines struct {
	Clamd     Clamd      `yaml:"clamd"`
	HashLists []HashList `yaml:"hashlists"`
	Cache     Cache      `yaml:"cache"`
}

// Clamd is the antivirus engine.
type Clamd struct {
	// Mode is "supervised" (Sluice runs clamd), "external" or "off".
	Mode string `yaml:"mode"`
	// Socket of an external clamd: "/path" or "host:port".
	Socket string `yaml:"socket"`
	// Signatures is the supervised clamd's database directory; empty means
	// "signatures" in the data directory.
	Signatures string `yaml:"signatures"`
	// Sessions is how many objects are scanned at once; 0 means twice the processors.
	Sessions int `yaml:"sessions"`
	// MaxObject is the largest object clamd is given; clamd's own bound is 2GB.
	MaxObject Size `yaml:"max_object"`
}

// HashList is a file of MD5 or SHA-256 digests of bad objects, one a line.
type HashList struct {
	Name string `yaml:"name"`
	File string `yaml:"file"`
}

// Cache bounds the verdict cache.
type Cache struct {
	Entries int `yaml:"entries"`
}

// Pages is what blocked users see.
type Pages struct {
	// Files maps a language tag to an HTML file with macros. Languages
	// without one use the built-in page.
	Files map[string]string `yaml:"files"`
	// Language is the one for users whose browser asks for none we have.
	Language string `yaml:"language"`
	// Contact is shown on the built-in page: whom to ask.
	Contact string `yaml:"contact"`
}

// Events is where events go and how long they stay.
type Events struct {
	// Engine is the address of an external VictoriaLogs; empty means the
	// supervised one.
	Engine    string     `yaml:"engine"`
	Retention Retention  `yaml:"retention"`
	Queue     EventQueue `yaml:"queue"`
}

// Retention bounds the stored events.
type Retention struct {
	Days int  `yaml:"days"`
	Size Size `yaml:"size"`
}

// EventQueue bounds events that wait for the event engine.
type EventQueue struct {
	Memory Size `yaml:"memory"`
	Disk   Size `yaml:"disk"`
}
