package icap

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// Config is what a Server works by. Zero values of numbers and durations mean
// the default named at the field.
type Config struct {
	// ReqmodPath and RespmodPath are the two services ("/reqmod", "/respmod").
	// A client may add a query part, which is ignored.
	ReqmodPath, RespmodPath string
	// Preview is the number of body bytes asked for in OPTIONS: 0 to 65536.
	// DefaultPreview is 4096; 0 asks for the headers alone.
	Preview int
	// OptionsTTL is how long clients may keep an OPTIONS answer; default 1 h.
	OptionsTTL time.Duration
	// TransferComplete and TransferIgnore list file name extensions that
	// clients send without preview, or not at all; "Transfer-Preview: *"
	// stands for all others (RFC 3507 section 4.10.2).
	TransferComplete, TransferIgnore []string
	// MaxConnections at the same time, 1 to 100000; default 5000.
	MaxConnections int
	// ClientNetworks lists who may connect; empty means nobody. Peers on Unix
	// sockets always may: the socket's mode decides.
	ClientNetworks []netip.Prefix
	// Headers names the ICAP headers that tell the user; nil slices mean the
	// defaults of DefaultHeaders.
	Headers Headers
	// UserBase64 says that the user name of X-Client-Username and other plain
	// headers is Base64.
	UserBase64 bool
	// SkipConnect passes CONNECT requests without judging them.
	SkipConnect bool
	// StartSending lets large objects begin before they are judged.
	StartSending StartSending
	// Timeouts bound every wait.
	Timeouts Timeouts
	// MaxHeaderBytes bounds the ICAP head and each encapsulated head, 1 KiB
	// to 1 MiB; default 64 KiB.
	MaxHeaderBytes int
	// MaxHeaderFields bounds the field lines of one head; default 256.
	MaxHeaderFields int
	// MaxChunkLine bounds a chunk-size line with its extensions in bytes, up
	// to 4096; default 1024.
	MaxChunkLine int
	// MaxTrailerBytes bounds the trailer section of a body; default 8 KiB.
	MaxTrailerBytes int
	// MaxDrain bounds what is read and thrown away of a body after its
	// message was blocked, in bytes, to keep the connection; default 64 MiB.
	MaxDrain int64
	// Service is the product name for the Service header, "Sluice/1.0".
	Service string
	// ISTag returns the tag of the running rules and databases, at most 32
	// bytes without quotes (RFC 3507 section 4.7). It is called for every
	// answer and must be quick and safe for concurrent use.
	ISTag func() string
	// Draining, when set and true, makes every answer close its connection,
	// so that clients go elsewhere.
	Draining func() bool
	// Log gets what an administrator should know; nil means silence.
	Log *slog.Logger
}

// Headers names ICAP header fields; of several in one list the first that is
// present counts.
type Headers struct{ ClientAddr, User, Groups []string }

// StartSending makes a response begin while its body still arrives or is
// judged. A body that turns out bad is cut off: its end is withheld.
type StartSending struct {
	Enabled bool
	After   time.Duration // since the transaction began, 1 s to 1 h
	Rate    int64         // bytes a second, 1 KiB to 1 MiB
}

// Timeouts bound how long a peer may keep a connection waiting.
type Timeouts struct {
	// Header is for one whole ICAP head with the encapsulated headers, and
	// for a TLS handshake; default 30 s.
	Header time.Duration
	// BodyIdle is between two arrivals of body bytes; default 2 min.
	BodyIdle time.Duration
	// Write is for 256 KiB of an answer to be taken; default 2 min.
	Write time.Duration
	// Idle is between two requests; default 10 min.
	Idle time.Duration
	// MinRate is how many body bytes a second have to arrive on average once
	// a body was waited for longer than BodyIdle; default 16, negative for no
	// bound.
	MinRate int64
}

// DefaultPreview is the preview that suits content sniffing.
const DefaultPreview = 4096

// MaxPreview is the largest preview that is accepted, in bytes.
const MaxPreview = 64 << 10

// DefaultHeaders are the names that proxies use.
func DefaultHeaders() Headers {
	return Headers{
		ClientAddr: []string{"X-Client-IP"},
		User:       []string{"X-Client-Username", "X-Authenticated-User"},
		Groups:     []string{"X-Client-Groups", "X-Authenticated-Groups"},
	}
}

// Bounds that have no reason to be configured.
const (
	maxExtensionBytes = 16 << 10 // of all chunk extensions of one body (RFC 9112 section 7.1.1)
	maxTagBytes       = 32       // RFC 3507 section 4.7
	maxConfigNames    = 8        // header names of one kind
)

// checked returns the configuration with defaults filled in, or what is wrong.
func (c Config) checked() (*Config, error) {
	c.fillDefaults()
	bounds := []struct {
		name          string
		value, lo, hi int64
	}{
		{"Preview", int64(c.Preview), 0, MaxPreview},
		{"MaxConnections", int64(c.MaxConnections), 1, 100_000},
		{"MaxHeaderBytes", int64(c.MaxHeaderBytes), 1 << 10, 1 << 20},
		{"MaxHeaderFields", int64(c.MaxHeaderFields), 8, 10_000},
		{"MaxChunkLine", int64(c.MaxChunkLine), 32, 4096},
		{"MaxTrailerBytes", int64(c.MaxTrailerBytes), 2, 1 << 20},
		{"MaxDrain", c.MaxDrain, 0, 1 << 50},
		{"OptionsTTL seconds", int64(c.OptionsTTL / time.Second), 1, 1 << 31},
		{"Timeouts.Header", int64(c.Timeouts.Header), 1, int64(time.Hour)},
		{"Timeouts.BodyIdle", int64(c.Timeouts.BodyIdle), 1, int64(24 * time.Hour)},
		{"Timeouts.Write", int64(c.Timeouts.Write), 1, int64(time.Hour)},
		{"Timeouts.Idle", int64(c.Timeouts.Idle), 1, int64(24 * time.Hour)},
	}
	if c.StartSending.Enabled {
		bounds = append(bounds, []struct {
			name          string
			value, lo, hi int64
		}{
			{"StartSending.After", int64(c.StartSending.After), int64(time.Millisecond), int64(time.Hour)},
			{"StartSending.Rate", c.StartSending.Rate, 1 << 10, 1 << 20},
		}...)
	}
	for _, b := range bounds {
		if b.value < b.lo || b.value > b.hi {
			return nil, fmt.Errorf("icap: %s is %d, want %d to %d", b.name, b.value, b.lo, b.hi)
		}
	}
	return &c, c.checkNames()
}

func (c *Config) fillDefaults() {
	def := DefaultHeaders()
	if c.Headers.ClientAddr == nil {
		c.Headers.ClientAddr = def.ClientAddr
	}
	if c.Headers.User == nil {
		c.Headers.User = def.User
	}
	if c.Headers.Groups == nil {
		c.Headers.Groups = def.Groups
	}
	orDefault(&c.OptionsTTL, time.Hour)
	orDefault(&c.MaxConnections, 5000)
	orDefault(&c.MaxHeaderBytes, 64<<10)
	orDefault(&c.MaxHeaderFields, 256)
	orDefault(&c.MaxChunkLine, 1024)
	orDefault(&c.MaxTrailerBytes, 8<<10)
	orDefault(&c.MaxDrain, 64<<20)
	orDefault(&c.Service, "Sluice")
	orDefault(&c.Timeouts.Header, 30*time.Second)
	orDefault(&c.Timeouts.BodyIdle, 2*time.Minute)
	orDefault(&c.Timeouts.Write, 2*time.Minute)
	orDefault(&c.Timeouts.Idle, 10*time.Minute)
	orDefault(&c.Timeouts.MinRate, 16)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c *Config) checkNames() error {
	for _, p := range []string{c.ReqmodPath, c.RespmodPath} {
		if len(p) < 2 || p[0] != '/' || !isTarget([]byte(p)) || strings.ContainsAny(p, "?#") {
			return fmt.Errorf("icap: service path %q: want \"/name\"", p)
		}
	}
	if c.ReqmodPath == c.RespmodPath {
		// A service announces one method (RFC 3507 section 4.10.2).
		return errors.New("icap: ReqmodPath and RespmodPath are the same")
	}
	if c.ISTag == nil {
		return errors.New("icap: ISTag is not set")
	}
	if !cleanValue([]byte(c.Service)) {
		return fmt.Errorf("icap: Service %q holds control characters", c.Service)
	}
	for _, list := range [][]string{c.Headers.ClientAddr, c.Headers.User, c.Headers.Groups} {
		if len(list) > maxConfigNames {
			return fmt.Errorf("icap: more than %d header names for one purpose", maxConfigNames)
		}
		for _, name := range list {
			if !isToken([]byte(name)) {
				return fmt.Errorf("icap: %q is no header name", name)
			}
		}
	}
	for _, ext := range append(append([]string(nil), c.TransferComplete...), c.TransferIgnore...) {
		if !isToken([]byte(ext)) {
			return fmt.Errorf("icap: %q is no file name extension", ext)
		}
	}
	return nil
}
