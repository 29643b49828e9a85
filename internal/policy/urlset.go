package policy

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"sluice/internal/settings"
)

// urlSet is a list of URL patterns, any of which may fit.
type urlSet struct {
	hosts    map[string][]urlPattern // patterns with a plain host, by it, when they are many
	patterns []urlPattern            // the others
	exprs    []*regexp.Regexp
}

// urlPattern is "[scheme://]host[:port][/path]".
type urlPattern struct {
	scheme string // empty for any
	port   uint16 // 0 for any
	host   string // normal form; empty where hostMask decides, or any host does
	below  bool   // names below host fit too
	masked *mask  // of the host
	path   string // lower case; empty for any
	pathIs *mask  // of the path, instead of path
}

func newURLSet(values []string) (*urlSet, error) {
	s := &urlSet{}
	var hosts []urlPattern
	for _, v := range values {
		if expr, ok := strings.CutPrefix(v, settings.RegexPrefix); ok {
			re, err := regexp.Compile(expr)
			if err != nil {
				return nil, err
			}
			s.exprs = append(s.exprs, re)
			continue
		}
		p, err := parseURLPattern(v)
		if err != nil {
			return nil, err
		}
		if p.host == "" {
			s.patterns = append(s.patterns, p)
		} else {
			hosts = append(hosts, p)
		}
	}
	if len(hosts) <= fewTexts {
		s.patterns = append(s.patterns, hosts...)
		return s, nil
	}
	s.hosts = make(map[string][]urlPattern, len(hosts))
	for _, p := range hosts {
		s.hosts[p.host] = append(s.hosts[p.host], p)
	}
	return s, nil
}

// match tells whether any pattern fits. It does not allocate.
func (s *urlSet) match(u *target) bool {
	if len(u.text) == 0 {
		return false
	}
	if s.hosts != nil && s.matchHosts(u) {
		return true
	}
	for i := range s.patterns {
		if s.patterns[i].match(u) {
			return true
		}
	}
	for _, re := range s.exprs {
		if re.Match(u.text) {
			return true
		}
	}
	return false
}

func (s *urlSet) matchHosts(u *target) bool {
	host := u.hostText()
	for rest := host; ; {
		for _, p := range s.hosts[string(rest)] {
			if (p.below || len(rest) == len(host)) && p.fits(u) {
				return true
			}
		}
		i := bytes.IndexByte(rest, '.')
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
}

// match tells whether the whole pattern fits.
func (p *urlPattern) match(u *target) bool {
	host := u.hostText()
	switch {
	case p.masked != nil:
		if !p.masked.match(host) {
			return false
		}
	case p.host != "":
		n := len(host) - len(p.host)
		if n != 0 && (!p.below || n < 1 || host[n-1] != '.') || n >= 0 && string(host[n:]) != p.host {
			return false
		}
	}
	return p.fits(u)
}

// fits tells whether all but the host fits.
func (p *urlPattern) fits(u *target) bool {
	if p.scheme != "" && p.scheme != string(u.schemeText()) || p.port != 0 && p.port != u.port {
		return false
	}
	if p.path == "" && p.pathIs == nil {
		return true
	}
	if u.connect {
		return false // a tunnel's path is not known, and never will be here
	}
	path := u.lower[u.path:u.query]
	if p.pathIs != nil {
		return p.pathIs.match(path) || u.query < len(u.lower) && p.pathIs.match(u.lower[u.path:])
	}
	if len(path) < len(p.path) || string(path[:len(p.path)]) != p.path {
		return false
	}
	return len(path) == len(p.path) || p.path[len(p.path)-1] == '/' || path[len(p.path)] == '/'
}

// parseURLPattern reads one pattern of a url criterion.
func parseURLPattern(s string) (urlPattern, error) {
	var p urlPattern
	rest := s
	if scheme, after, ok := strings.Cut(s, "://"); ok && !strings.ContainsAny(scheme, "/.:") {
		p.scheme, rest = strings.ToLower(scheme), after
		if p.scheme == "*" {
			p.scheme = ""
		}
		if strings.ContainsFunc(p.scheme, notSchemeChar) {
			return p, fmt.Errorf("%q: %q is not a scheme such as http, https or ftp", s, scheme)
		}
	}
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	if host == "" {
		return p, fmt.Errorf("%q begins with a path; write */path for any host, or regex:... for a regular expression", s)
	}
	host, err := p.cutPort(host)
	if err == nil {
		err = p.setHost(host)
	}
	if err != nil {
		return p, fmt.Errorf("%q: %w", s, err)
	}
	p.setPath(path)
	return p, nil
}

func notSchemeChar(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' && r != '-' && r != '.'
}

func (p *urlPattern) cutPort(host string) (string, error) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.HasSuffix(host, "]") {
		return host, nil
	}
	n, err := strconv.ParseUint(host[i+1:], 10, 16)
	if err != nil || n == 0 {
		return "", errors.New("the port is not a number from 1 to 65535; an IPv6 address stands in brackets")
	}
	p.port = uint16(n)
	return host[:i], nil
}

func (p *urlPattern) setHost(host string) error {
	switch {
	case host == "":
		return errors.New("the host is missing; write * for any")
	case strings.Contains(host, "@"):
		return errors.New("user information is not part of a pattern")
	case host[0] == '.':
		return fmt.Errorf("write %s for the host and everything below it, or *%s for what is below it alone", host[1:], host)
	case host == "*":
		return nil
	case isMask(host):
		m := newMask(lowerText(host))
		p.masked = &m
		if strings.ContainsFunc(host, func(r rune) bool {
			return r >= 0x80 || class[byte(r)]&clHost == 0 && !strings.ContainsRune(".*?[]:", r)
		}) {
			return errors.New("a mask of hosts is in ASCII; write names of other scripts in their xn-- form")
		}
		return nil
	}
	if host[0] == '[' && !strings.HasSuffix(host, "]") {
		return errors.New("the address in brackets has no end")
	}
	name, err := appendHost(nil, []byte(host))
	if err != nil {
		return fmt.Errorf("%q is not a host name or an IP address", host)
	}
	p.host = string(name)
	p.below = name[0] != '[' && !endsInNumber(name)
	return nil
}

// setPath brings the path into the form that Facts have. In a mask, only what
// can stand in no URL is coded.
func (p *urlPattern) setPath(path string) {
	switch {
	case path == "" || path == "/":
	case isMask(path):
		coded := make([]byte, 0, len(path))
		for _, c := range []byte(path) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>^`{|}", c) >= 0 {
				coded = append(coded, '%', upperHex[c>>4], upperHex[c&15])
			} else {
				coded = append(coded, c)
			}
		}
		m := newMask(string(appendLowerASCII(nil, coded)))
		p.pathIs = &m
	default:
		if i := strings.IndexByte(path, '#'); i >= 0 {
			path = path[:i]
		}
		p.path = string(appendLowerASCII(nil, appendPath(nil, []byte(path))))
		if p.path == "/" {
			p.path = ""
		}
	}
}
