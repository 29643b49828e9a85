package icap

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"unsafe"

	"sluice/internal/tx"
)

// known are the ICAP header names that clients send and that are no mistake,
// though not all are read here. Others are counted in Stats.UnknownHeaders.
var known = [...]string{
	"Host", "Allow", "Preview", "Encapsulated", "Connection", "User-Agent", "Date", "Referer", "From", "Via",
	"Authorization", "Proxy-Authorization", "Cache-Control", "Pragma", "Expires", "Trailer", "Upgrade", "Accept", "TE",
	"X-Client-IP", "X-Server-IP", "X-Client-Username", "X-Client-Groups", "X-Authenticated-User", "X-Authenticated-Groups",
	"X-Subscriber-ID", "X-Client-Port", "X-Forwarded-For", "X-Include", "X-Scan-Progress-Interval",
}

// identify reads who the client is from the ICAP head
// (draft-stecher-icap-subid; Squid's adaptation_send_* headers).
func (x *exchange) identify() *refusal {
	x.names, x.groups = x.names[:0], x.groups[:0]
	h := &x.cfg.Headers
	var addr, user, groups *tx.Field
	var addrRank, userRank, groupRank int
	for i := range x.icap.fields {
		f := &x.icap.fields[i]
		found := false
		for _, want := range [...]struct {
			names []string
			field **tx.Field
			rank  *int
			twice bool // several lines make one list
		}{{h.ClientAddr, &addr, &addrRank, false}, {h.User, &user, &userRank, false}, {h.Groups, &groups, &groupRank, true}} {
			rank := rankOf(f.Name, want.names)
			if rank < 0 {
				continue
			}
			found = true
			switch {
			case *want.field == nil || rank < *want.rank:
				*want.field, *want.rank = f, rank
			case rank == *want.rank && !want.twice:
				return refuse(badIdentity, "%s stands more than once", f.Name)
			}
		}
		if !found && rankOf(f.Name, known[:]) < 0 {
			x.c.srv.stats.note(f.Name)
		}
	}
	if addr != nil {
		x.t.Client.Addr = parseAddr(addr.Value)
	}
	if user != nil {
		name, ok := x.name(user)
		if !ok {
			return refuse(badIdentity, "%s is no proper Base64, or holds control characters", user.Name)
		}
		x.t.Client.User = name
	}
	if groups != nil {
		return x.readGroups(h.Groups[groupRank])
	}
	return nil
}

func rankOf(name []byte, names []string) int {
	for i, n := range names {
		if tx.EqualFold(name, n) {
			return i
		}
	}
	return -1
}

// parseAddr reads an address; invalid when it is none, as with Squid's "-".
func parseAddr(b []byte) netip.Addr {
	if len(b) == 0 || len(b) > 45 || bytes.IndexByte(b, '%') >= 0 {
		return netip.Addr{}
	}
	// ParseAddr keeps nothing of its argument but in its error, which is
	// dropped here: no copy is needed.
	a, err := netip.ParseAddr(unsafe.String(&b[0], len(b)))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// readGroups reads all lines of the header called name as one list.
func (x *exchange) readGroups(name string) *refusal {
	for value := range x.icap.fields.Values(name) {
		for more := true; more; {
			var one []byte
			one, value, more = bytes.Cut(value, []byte{','})
			if one = trimOWS(one); len(one) == 0 {
				continue
			}
			f := tx.Field{Name: unsafe.Slice(unsafe.StringData(name), len(name)), Value: one}
			group, ok := x.name(&f)
			if !ok {
				return refuse(badIdentity, "%s is no proper Base64, or holds control characters", name)
			}
			x.groups = append(x.groups, group)
		}
	}
	x.t.Client.Groups = x.groups
	return nil
}

// name decodes a user or group name. X-Authenticated-* carry a Base64 URI
// ("WinNT://DOMAIN/name"), or what does not decode to one as it is, since many
// proxies send it plain; the others are plain, or Base64 where Config says so.
func (x *exchange) name(f *tx.Field) (name []byte, ok bool) {
	if hasPrefixFold(f.Name, "X-Authenticated-") {
		if decoded, ok := x.decode(f.Value); ok {
			if name, ok := x.fromURI(decoded); ok {
				return name, cleanValue(name)
			}
		}
		if name, ok := x.fromURI(f.Value); ok {
			return name, true
		}
		return f.Value, true
	}
	if !x.cfg.UserBase64 {
		return f.Value, true
	}
	decoded, ok := x.decode(f.Value)
	return decoded, ok && cleanValue(decoded) && bytes.IndexByte(decoded, '\t') < 0
}

func (x *exchange) decode(b []byte) ([]byte, bool) {
	enc := base64.StdEncoding.Strict()
	from := len(x.names)
	var err error
	if x.names, err = enc.AppendDecode(x.names, b); err != nil {
		x.names = x.names[:from]
		return nil, false
	}
	return x.names[from:len(x.names):len(x.names)], true
}

// fromURI takes the name out of Local://name, LDAP://server/name, Radius://server/name
// and WinNT://DOMAIN/name, which becomes DOMAIN\name.
func (x *exchange) fromURI(uri []byte) (name []byte, ok bool) {
	scheme, rest, found := bytes.Cut(uri, []byte("://"))
	if !found {
		return nil, false
	}
	host, name, hasHost := bytes.Cut(rest, []byte{'/'})
	switch {
	case tx.EqualFold(scheme, "Local"):
		return rest, len(rest) > 0
	case tx.EqualFold(scheme, "LDAP"), tx.EqualFold(scheme, "LDAPS"), tx.EqualFold(scheme, "Radius"):
		return name, hasHost && len(name) > 0
	case tx.EqualFold(scheme, "WinNT"):
		if !hasHost || len(name) == 0 {
			return nil, false
		}
		from := len(x.names)
		x.names = append(append(append(x.names, host...), '\\'), name...)
		return x.names[from:len(x.names):len(x.names)], true
	}
	return nil, false
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && tx.EqualFold(b[:len(prefix)], prefix)
}
