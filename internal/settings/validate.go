package settings

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Validate names every field that cannot be used as it is. It judges the tree
// alone: whether files exist and addresses are free is for node to find out.
func (s *Settings) Validate() Errors {
	v := &validator{}
	v.node(&s.Node)
	v.icap(&s.ICAP)
	v.protection(&s.Protection)
	v.engines(&s.Engines)
	v.pages(&s.Pages)
	v.events(&s.Events)
	return append(v.errs, validateRules(s)...)
}

type validator struct{ errs Errors }

func (v *validator) fail(path, format string, args ...any) {
	v.errs = append(v.errs, FieldError{Path: path, Text: fmt.Sprintf(format, args...)})
}

// number is any of the tree's countable types.
type number interface{ ~int | ~int64 }

func within[T number](v *validator, path string, have, low, high T) {
	if have < low || have > high {
		v.fail(path, "%v is out of range: %v to %v", have, low, high)
	}
}

func (v *validator) oneOf(path, have string, words ...string) {
	for _, w := range words {
		if have == w {
			return
		}
	}
	v.fail(path, "%q is unknown here: write %s", have, strings.Join(words, " or "))
}

func (v *validator) node(n *Node) {
	if len(n.Name) > 253 || strings.ContainsFunc(n.Name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		v.fail("node.name", "at most 253 characters, none of them a space")
	}
	if len(n.ICAP.Listen)+len(n.ICAP.TLS.Listen) == 0 {
		v.fail("node.icap.listen", "at least one address is needed, such as \":1344\"")
	}
	for i, l := range n.ICAP.Listen {
		v.listen(fmt.Sprintf("node.icap.listen[%d]", i), l)
	}
	for i, l := range n.ICAP.TLS.Listen {
		v.listen(fmt.Sprintf("node.icap.tls.listen[%d]", i), l)
	}
	v.icapTLS(&n.ICAP.TLS)
	within(v, "node.icap.max_connections", n.ICAP.MaxConnections, 1, 100_000)
	if !loopback(n.Admin.Listen) {
		v.fail("node.admin.listen", "%q: metrics and health are served without sign-in, so only on a loopback address such as 127.0.0.1:9344", n.Admin.Listen)
	}
	within(v, "node.spool.memory_per_body", n.Spool.MemoryPerBody, 4*KB, GB)
	within(v, "node.spool.memory", n.Spool.Memory, n.Spool.MemoryPerBody, 1024*GB)
	within(v, "node.spool.disk", n.Spool.Disk, 0, 1024*TB)
}

func (v *validator) icapTLS(t *ICAPTLS) {
	if len(t.Listen) > 0 && (t.Certificate == "" || t.Key == "") {
		v.fail("node.icap.tls", "certificate and key are needed to listen with TLS")
	}
	for _, f := range []struct{ name, file string }{{"certificate", t.Certificate}, {"key", t.Key}, {"client_ca", t.ClientCA}} {
		if f.file != "" {
			v.file("node.icap.tls."+f.name, f.file)
		}
	}
}

// file wants an absolute path: a node's working directory is nobody's business.
func (v *validator) file(path, name string) {
	if !filepath.IsAbs(name) {
		v.fail(path, "%q: write the file's absolute path", name)
	}
}

func loopback(addr string) bool {
	ap, err := netip.ParseAddrPort(addr)
	return err == nil && ap.Addr().IsLoopback()
}

func (v *validator) listen(path, addr string) {
	if name, ok := strings.CutPrefix(addr, "unix:"); ok {
		if !filepath.IsAbs(name) || len(name) > 107 {
			v.fail(path, "%q: a Unix socket needs an absolute path of at most 107 bytes", addr)
		}
		return
	}
	if err := hostPort(addr); err != nil {
		v.fail(path, "%q: write host:port, :port or unix:/path", addr)
	}
}

func hostPort(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err
}

func (v *validator) icap(c *ICAP) {
	for i, n := range c.Clients {
		if _, err := ParsePrefix(n); err != nil {
			v.fail(fmt.Sprintf("icap.clients[%d]", i), "%q: write an address or a network, such as 10.0.0.0/8", n)
		}
	}
	v.servicePath("icap.services.reqmod", c.Services.Reqmod)
	v.servicePath("icap.services.respmod", c.Services.Respmod)
	if c.Services.Reqmod == c.Services.Respmod {
		v.fail("icap.services.respmod", "the two services need different paths")
	}
	v.headerNames("icap.headers.client_address", c.Headers.ClientAddress)
	v.headerNames("icap.headers.user", c.Headers.User)
	v.headerNames("icap.headers.groups", c.Headers.Groups)
	v.oneOf("icap.connect", c.Connect, "process", "skip")
	within(v, "icap.preview", c.Preview, 0, 65536)
	within(v, "icap.options_ttl", c.OptionsTTL, Duration(time.Second), Duration(30*24*time.Hour))
	v.extensions("icap.transfer.ignore", c.Transfer.Ignore)
	v.extensions("icap.transfer.complete", c.Transfer.Complete)
	within(v, "icap.start_sending.after", c.StartSending.After, Duration(time.Second), Duration(time.Hour))
	within(v, "icap.start_sending.rate", c.StartSending.Rate, KB, MB)
	within(v, "icap.timeouts.head", c.Timeouts.Head, Duration(time.Second), Duration(time.Hour))
	within(v, "icap.timeouts.body", c.Timeouts.Body, Duration(time.Second), Duration(time.Hour))
	within(v, "icap.timeouts.write", c.Timeouts.Write, Duration(time.Second), Duration(time.Hour))
	within(v, "icap.timeouts.idle", c.Timeouts.Idle, Duration(time.Second), Duration(24*time.Hour))
}

// ParsePrefix reads a network ("10.0.0.0/8") or a single address.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

func (v *validator) servicePath(path, have string) {
	if len(have) < 2 || len(have) > 255 || have[0] != '/' || strings.ContainsAny(have, " ?#\\\"%\r\n\t") {
		v.fail(path, "%q: write a path such as /reqmod", have)
	}
}

const tokenChars = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func (v *validator) headerNames(path string, names []string) {
	if len(names) > 8 {
		v.fail(path, "at most 8 names")
	}
	for i, n := range names {
		if n == "" || len(n) > 128 || strings.Trim(n, tokenChars) != "" {
			v.fail(fmt.Sprintf("%s[%d]", path, i), "%q is not a header field name", n)
		}
	}
}

func (v *validator) extensions(path string, exts []string) {
	if len(exts) > 256 {
		v.fail(path, "at most 256 extensions")
	}
	for i, e := range exts {
		if e == "" || len(e) > 32 || strings.Trim(e, tokenChars) != "" {
			v.fail(fmt.Sprintf("%s[%d]", path, i), "%q is not a file name extension", e)
		}
	}
}

func (v *validator) protection(p *Protection) {
	v.oneOf("protection.default.malware", string(p.Default.Malware), "block", "disinfect", "skip")
	v.oneOf("protection.default.encrypted", string(p.Default.Encrypted), "block", "skip")
	v.oneOf("protection.default.macros", string(p.Default.Macros), "block", "skip")
	for _, f := range []struct{ name, have string }{
		{"engine_error", p.On.EngineError}, {"timed_out", p.On.TimedOut}, {"over_limit", p.On.OverLimit},
		{"bad_encoding", p.On.BadEncoding}, {"bad_content", p.On.BadContent}, {"partial", p.On.Partial},
	} {
		v.oneOf("protection.on."+f.name, f.have, "block", "allow")
	}
	l := &p.Limits
	within(v, "protection.limits.depth", l.Depth, 1, 100)
	within(v, "protection.limits.object", l.Object, KB, TB)
	within(v, "protection.limits.expanded", l.Expanded, KB, 16*TB)
	within(v, "protection.limits.ratio", l.Ratio, 10, 1_000_000)
	within(v, "protection.limits.members", l.Members, 1, 10_000_000)
	within(v, "protection.limits.time", l.Time, Duration(time.Second), Duration(10*time.Minute))
}

func (v *validator) engines(e *Engines) {
	v.oneOf("engines.clamd.mode", e.Clamd.Mode, "supervised", "external", "off")
	if e.Clamd.Mode == "external" && !filepath.IsAbs(e.Clamd.Socket) && hostPort(e.Clamd.Socket) != nil {
		v.fail("engines.clamd.socket", "%q: an external clamd needs its socket, /path or host:port", e.Clamd.Socket)
	}
	if e.Clamd.Signatures != "" {
		v.file("engines.clamd.signatures", e.Clamd.Signatures)
	}
	within(v, "engines.clamd.sessions", e.Clamd.Sessions, 0, 1024)
	within(v, "engines.clamd.max_object", e.Clamd.MaxObject, KB, 2*GB-1)
	names := map[string]bool{}
	for i, h := range e.HashLists {
		path := fmt.Sprintf("engines.hashlists[%d]", i)
		if h.Name == "" || len(h.Name) > 64 || names[h.Name] {
			v.fail(path+".name", "%q: each list needs a name of its own, at most 64 bytes", h.Name)
		}
		names[h.Name] = true
		v.file(path+".file", h.File)
	}
	within(v, "engines.cache.entries", e.Cache.Entries, 0, 100_000_000)
}

func (v *validator) pages(p *Pages) {
	v.language("pages.language", p.Language)
	for tag, file := range p.Files {
		v.language("pages.files", tag)
		v.file("pages.files."+tag, file)
	}
	if len(p.Contact) > 512 {
		v.fail("pages.contact", "at most 512 bytes")
	}
}

func (v *validator) language(path, tag string) {
	if len(tag) < 2 || len(tag) > 35 || strings.Trim(tag, "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
		v.fail(path, "%q is not a language tag such as en or de", tag)
	}
}

func (v *validator) events(e *Events) {
	if e.Engine != "" {
		u, err := url.Parse(e.Engine)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			v.fail("events.engine", "%q: write the address of a VictoriaLogs, such as http://127.0.0.1:9428", e.Engine)
		}
	}
	within(v, "events.retention.days", e.Retention.Days, 1, 36_500)
	within(v, "events.retention.size", e.Retention.Size, 16*MB, 1024*TB)
	within(v, "events.queue.memory", e.Queue.Memory, MB, 64*GB)
	within(v, "events.queue.disk", e.Queue.Disk, MB, 1024*TB)
}
