package policy

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// maxURL bounds the URL of a request in bytes, before and after normalising.
const maxURL = 64 << 10

// target is the normal form of where a request goes: what a URL criterion looks
// at. Its text is "scheme://host[:port]path[?query]" with the default port left
// out; a CONNECT has no path.
//
// The normal form undoes what RFC 3986 section 6 calls equivalent, and beyond it
// what servers and browsers commonly take for the same: case of scheme and host,
// a trailing dot, user information, percent-coding of characters that need none,
// dot segments, repeated slashes, backslashes, fragments, names in other
// scripts, and the odd spellings of IP addresses.
type target struct {
	text  []byte // case of path and query as sent
	lower []byte // the same in lower case; may share memory with text
	spare []byte // memory for lower

	scheme, host, path int // where text[:scheme] and text[host:hostEnd] lie; path begins at text[path]
	hostEnd, query     int // query is the index of '?' or len(text)
	port               uint16
	connect            bool
}

var (
	errURLLong   = fmt.Errorf("the URL is longer than %d bytes", maxURL)
	errURLByte   = errors.New("the URL holds a space or a control character")
	errURLScheme = errors.New("the URL has no scheme of the form \"name://\"")
	errURLUser   = errors.New("the URL has two hosts, one behind a backslash and an @")
	errURLPort   = errors.New("the URL has a wrong port")
	errNoPort    = errors.New("CONNECT needs host:port")
)

// set reads raw; connect says that it is the "host:port" of a CONNECT request.
// After an error the target is empty, and no pattern fits it. It does not
// allocate for ordinary URLs once its buffers have grown.
func (u *target) set(raw []byte, connect bool) error {
	u.clear(connect)
	err := u.read(raw, connect)
	if err != nil {
		u.clear(connect)
	}
	return err
}

func (u *target) clear(connect bool) {
	u.text, u.lower, u.connect = u.text[:0], nil, connect
	u.scheme, u.host, u.hostEnd, u.path, u.query, u.port = 0, 0, 0, 0, 0, 0
}

func (u *target) read(raw []byte, connect bool) error {
	if len(raw) > maxURL {
		return errURLLong
	}
	for _, c := range raw {
		if class[c]&clControl != 0 {
			return errURLByte
		}
	}
	authority, rest := raw, []byte(nil)
	if connect {
		u.text = append(u.text, "https"...)
		if bytes.ContainsAny(raw, "/\\?#@") {
			return errNoPort
		}
	} else {
		var err error
		if authority, rest, err = u.cutScheme(raw); err != nil {
			return err
		}
	}
	u.scheme = len(u.text)
	u.text = append(u.text, "://"...)
	if err := u.setAuthority(authority); err != nil {
		return err
	}
	u.path, u.query = len(u.text), len(u.text)
	if !connect {
		u.setPath(rest)
	}
	if len(u.text) > 3*maxURL {
		return errURLLong
	}
	u.setLower()
	return nil
}

// cutScheme writes the scheme and splits what follows "://".
func (u *target) cutScheme(raw []byte) (authority, rest []byte, err error) {
	i := bytes.IndexByte(raw, ':')
	if i < 1 || i > 32 || len(raw) < i+3 || !isSlash(raw[i+1]) || !isSlash(raw[i+2]) {
		return nil, nil, errURLScheme
	}
	u.text = appendLowerASCII(u.text, raw[:i])
	if !isScheme(u.text) {
		return nil, nil, errURLScheme
	}
	raw = raw[i+3:]
	for j, c := range raw {
		if class[c]&clEnd != 0 {
			if c == '\\' && userBehind(raw[j:]) {
				return nil, nil, errURLUser
			}
			return raw[:j], raw[j:], nil
		}
	}
	return raw, nil, nil
}

// userBehind tells whether a backslash that ends an authority for browsers could
// be part of a user name for others, to whom the host comes behind the "@".
func userBehind(rest []byte) bool {
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return bytes.IndexByte(rest, '@') >= 0
}

// isScheme checks a lower-case scheme (RFC 3986 section 3.1).
func isScheme(s []byte) bool {
	if s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && class[c]&clDigit == 0 && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// setAuthority reads "[user@]host[:port]" (RFC 3986 section 3.2). User
// information is left out: it says nothing about where the request goes.
func (u *target) setAuthority(a []byte) error {
	if i := bytes.LastIndexByte(a, '@'); i >= 0 {
		a = a[i+1:]
	}
	host, port := a, []byte(nil)
	if len(a) > 0 && a[0] == '[' {
		end := bytes.IndexByte(a, ']')
		if end < 0 || end+1 < len(a) && a[end+1] != ':' {
			return errHost
		}
		host, port = a[:end+1], a[end+1:]
	} else if i := bytes.IndexByte(a, ':'); i >= 0 {
		host, port = a[:i], a[i:]
	}
	var err error
	u.host = len(u.text)
	if u.text, err = appendHost(u.text, host); err != nil {
		return err
	}
	u.hostEnd = len(u.text)
	if len(port) > 0 {
		port = port[1:]
	}
	if len(port) == 0 {
		if u.connect {
			return errNoPort
		}
		u.port = defaultPort(u.text[:u.scheme])
		return nil
	}
	return u.setPort(port)
}

func (u *target) setPort(digits []byte) error {
	n := 0
	for _, c := range digits {
		if class[c]&clDigit == 0 {
			return errURLPort
		}
		if n = n*10 + int(c-'0'); n > math.MaxUint16 {
			return errURLPort
		}
	}
	if n == 0 {
		return errURLPort
	}
	u.port = uint16(n)
	if u.port != defaultPort(u.text[:u.scheme]) {
		u.text = append(u.text, ':')
		u.text = appendInt(u.text, n)
	}
	return nil
}

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

// defaultPort of the schemes that users' traffic has; 0 for others.
func defaultPort(scheme []byte) uint16 {
	switch string(scheme) {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	case "ftp":
		return 21
	}
	return 0
}

// setPath writes path and query. The fragment is no part of a request
// (RFC 9110 section 7.1) and left out.
func (u *target) setPath(rest []byte) {
	if i := bytes.IndexByte(rest, '#'); i >= 0 {
		rest = rest[:i]
	}
	path, query := rest, []byte(nil)
	if i := bytes.IndexByte(rest, '?'); i >= 0 {
		path, query = rest[:i], rest[i:]
	}
	u.text = appendPath(u.text, path)
	u.query = len(u.text)
	if len(query) > 0 {
		u.text = append(u.text, '?')
		u.text = appendCoded(u.text, query[1:], clQuery, clUnreserved)
	}
}

// appendPath writes an absolute path without dot segments and without empty
// segments.
func appendPath(dst, path []byte) []byte {
	dst = append(dst, '/')
	floor := len(dst)
	for len(path) > 0 {
		n := 0
		for n < len(path) && class[path[n]]&clEnd == 0 {
			n++
		}
		at := len(dst)
		dst = appendCoded(dst, path[:n], clPath, clPath)
		last := n == len(path)
		if last {
			path = nil
		} else {
			path = path[n+1:]
		}
		switch seg := dst[at:]; {
		case len(seg) == 0 || len(seg) == 1 && seg[0] == '.':
			dst = dst[:at]
		case len(seg) == 2 && seg[0] == '.' && seg[1] == '.':
			dst = dst[:parent(dst, floor, at)]
		case !last:
			dst = append(dst, '/')
		}
	}
	return dst
}

// parent returns the length of dst without the segment that ends at the slash
// before at.
func parent(dst []byte, floor, at int) int {
	if at <= floor {
		return floor
	}
	return max(floor, bytes.LastIndexByte(dst[:at-1], '/')+1)
}

const upperHex = "0123456789ABCDEF"

// appendCoded writes s in its one percent-coded form: bytes of class plain stand
// for themselves, and codes of bytes of class decode are undone.
func appendCoded(dst, s []byte, plain, decode uint8) []byte {
	for i := 0; i < len(s); i++ {
		run := i
		for i < len(s) && class[s[i]]&plain != 0 {
			i++
		}
		if dst = append(dst, s[run:i]...); i == len(s) {
			break
		}
		c := s[i]
		if c == '%' && i+2 < len(s) && class[s[i+1]]&clHex != 0 && class[s[i+2]]&clHex != 0 {
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
			if class[c]&decode != 0 {
				dst = append(dst, c)
				continue
			}
		}
		dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

// setLower makes the lower-case form, without a copy where there is nothing to do.
func (u *target) setLower() {
	for _, c := range u.text[u.path:] {
		if c >= 'A' && c <= 'Z' {
			u.spare = appendLowerASCII(u.spare[:0], u.text)
			u.lower = u.spare
			return
		}
	}
	u.lower = u.text
}

func (u *target) schemeText() []byte { return u.text[:u.scheme] }
func (u *target) hostText() []byte   { return u.text[u.host:u.hostEnd] }

// Classes of bytes.
const (
	clControl    uint8 = 1 << iota // controls and space: refused anywhere
	clDigit                        // 0-9
	clHex                          // hexadecimal digits
	clHost                         // letters, digits, hyphen, low line: a label
	clUnreserved                   // RFC 3986 section 2.3
	clPath                         // stands for itself in a path segment
	clQuery                        // stands for itself in a query
	clEnd                          // ends an authority; of a path, a segment
)

var class = makeClasses()

func makeClasses() (t [256]uint8) {
	mark := func(set string, bits uint8) {
		for i := range len(set) {
			t[set[i]] |= bits
		}
	}
	for c := range 0x21 {
		t[c] = clControl
	}
	t[0x7f] = clControl
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mark(digits, clDigit)
	mark(digits+"abcdefABCDEF", clHex)
	mark(digits+letters+"-_", clHost)
	mark(digits+letters+"-._~", clUnreserved|clPath|clQuery)
	mark("!$&'()*+,;=:@", clPath|clQuery)
	mark("/?", clQuery)
	mark("/\\?#", clEnd)
	return t
}

func isSlash(c byte) bool { return c == '/' || c == '\\' }

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func appendLowerASCII(dst, s []byte) []byte {
	for _, c := range s {
		dst = append(dst, lowerByte(c))
	}
	return dst
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
