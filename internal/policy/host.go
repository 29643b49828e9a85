package policy

import (
	"bytes"
	"errors"
	"net/netip"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const maxHost = 253 // RFC 1035 section 2.3.4, without the root's dot

var (
	errHost   = errors.New("the URL has no proper host")
	errIPv4   = errors.New("the host looks like an IPv4 address and is none")
	hostNames = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))
)

// appendHost writes the normal form of a host: an IPv4 address in dotted
// decimals, an IPv6 address in brackets, or a name in lower-case ASCII without a
// trailing dot.
func appendHost(dst, host []byte) ([]byte, error) {
	if len(host) > 1 && host[0] == '[' {
		return appendIPv6(dst, host[1:len(host)-1])
	}
	at := len(dst)
	dst, ok := appendName(dst, host)
	if !ok {
		name, err := foreignName(host)
		if err != nil {
			return dst[:at], err
		}
		if dst, ok = appendName(dst[:at], name); !ok {
			return dst[:at], errHost
		}
	}
	name := dst[at:]
	if len(name) > 0 && name[len(name)-1] == '.' {
		name = name[:len(name)-1]
		dst = dst[:len(dst)-1]
	}
	if !labelsFit(name) {
		return dst[:at], errHost
	}
	if endsInNumber(name) {
		a, ok := oddIPv4(name)
		if !ok {
			return dst[:at], errIPv4
		}
		return a.AppendTo(dst[:at]), nil
	}
	return dst, nil
}

// appendName copies an ASCII name in lower case; false when there is more to do.
func appendName(dst, name []byte) ([]byte, bool) {
	for _, c := range name {
		if class[c]&clHost == 0 && c != '.' {
			return dst, false
		}
		dst = append(dst, lowerByte(c))
	}
	return dst, true
}

// foreignName undoes percent-coding and turns other scripts into ASCII
// (RFC 5891, with the mappings of UTS 46 that browsers use).
func foreignName(host []byte) ([]byte, error) {
	plain := make([]byte, 0, len(host))
	foreign := false
	for i := 0; i < len(host); i++ {
		c := host[i]
		if c == '%' {
			if i+2 >= len(host) || class[host[i+1]]&clHex == 0 || class[host[i+2]]&clHex == 0 {
				return nil, errHost
			}
			c = unhex(host[i+1])<<4 | unhex(host[i+2])
			i += 2
		}
		foreign = foreign || c >= 0x80
		plain = append(plain, c)
	}
	if !foreign {
		return plain, nil
	}
	if len(plain) > 4*maxHost || !utf8.Valid(plain) {
		return nil, errHost
	}
	ascii, err := hostNames.ToASCII(string(plain))
	if err != nil {
		return nil, errHost
	}
	return []byte(ascii), nil
}

// labelsFit checks the lengths of a name and of its labels.
func labelsFit(name []byte) bool {
	if len(name) == 0 || len(name) > maxHost {
		return false
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i == len(name) || name[i] == '.' {
			if i == start || i-start > 63 {
				return false
			}
			start = i + 1
		}
	}
	return true
}

func appendIPv6(dst, text []byte) ([]byte, error) {
	if len(text) > 45 {
		return dst, errHost
	}
	a, err := netip.ParseAddr(string(text))
	if err != nil || !a.Is6() || a.Zone() != "" {
		return dst, errHost
	}
	if a.Is4In6() {
		return a.Unmap().AppendTo(dst), nil
	}
	dst = append(dst, '[')
	dst = a.AppendTo(dst)
	return append(dst, ']'), nil
}

// endsInNumber tells whether the last label is a number, which makes the whole
// an IPv4 address for browsers and for the C library, or a mistake.
func endsInNumber(name []byte) bool {
	label := name[bytes.LastIndexByte(name, '.')+1:]
	if class[label[0]]&clDigit == 0 {
		return false
	}
	_, ok := oddNumber(label)
	if ok {
		return true
	}
	for _, c := range label {
		if class[c]&clDigit == 0 {
			return false
		}
	}
	return true
}

// oddIPv4 reads the spellings that inet_aton takes: one to four parts, each
// decimal, octal (leading 0) or hexadecimal (leading 0x), the last filling the
// rest.
func oddIPv4(name []byte) (netip.Addr, bool) {
	var sum uint64
	for part := 1; ; part++ {
		label, rest, more := bytes.Cut(name, []byte{'.'})
		v, ok := oddNumber(label)
		if !ok || part > 4 {
			return netip.Addr{}, false
		}
		if !more {
			if v >= 1<<(8*(5-part)) {
				return netip.Addr{}, false
			}
			sum |= v
			break
		}
		if v > 255 {
			return netip.Addr{}, false
		}
		sum |= v << (8 * (4 - min(part, 4)))
		name = rest
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

func oddNumber(label []byte) (uint64, bool) {
	base := uint64(10)
	switch {
	case len(label) > 1 && label[0] == '0' && label[1] == 'x':
		base, label = 16, label[2:]
	case len(label) > 1 && label[0] == '0':
		base, label = 8, label[1:]
	case len(label) == 0:
		return 0, false
	}
	var v uint64
	for _, c := range label {
		if class[c]&clHex == 0 {
			return 0, false
		}
		d := uint64(unhex(c))
		if d >= base {
			return 0, false
		}
		if v = v*base + d; v > 1<<32 {
			v = 1 << 32 // stays too large; no overflow on long labels
		}
	}
	return v, true
}
