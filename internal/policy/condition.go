package policy

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"

	"sluice/internal/settings"
	"sluice/internal/tx"
)

const (
	dirRequest  = tx.DirRequest
	dirResponse = tx.DirResponse
)

// view says which message a criterion is asked about.
type view uint8

const (
	ownMessage    view = iota // the one at hand
	messageToCome             // the response, while the request is at hand
)

// kind is what a leaf looks at.
type kind uint8

const (
	kindUser kind = iota
	kindGroup
	kindAddress
	kindAgent
	kindURL
	kindMethod
	kindMIME
	kindLength
	kindDirection
	kindType
	kindFileName
	kindPartMIME
	kindSize
	kindMD5
	kindSHA256
	numKinds
)

var kindNames = [numKinds]string{
	"user", "group", "address", "agent", "url", "method", "mime", "length", "direction",
	"type", "file_name", "part_mime", "size", "md5", "sha256",
}

// kinds is a set of kind.
type kinds uint16

const (
	staticKinds  kinds = 1<<kindUser | 1<<kindGroup | 1<<kindAddress | 1<<kindAgent | 1<<kindURL | 1<<kindMethod
	headerKinds  kinds = 1<<kindMIME | 1<<kindLength | 1<<kindDirection
	objectKinds  kinds = 1<<kindType | 1<<kindFileName | 1<<kindPartMIME | 1<<kindSize | 1<<kindMD5 | 1<<kindSHA256
	messageKinds       = headerKinds | objectKinds
)

func (s kinds) has(k kind) bool { return s&(1<<k) != 0 }

// condition is a list of leaves joined by any or all. Without leaves it is met.
type condition struct {
	all    bool
	leaves []leaf
}

func (c *condition) eval(f *Facts, v view) answer {
	if len(c.leaves) == 0 {
		return yes
	}
	if c.all {
		a := yes
		for i := range c.leaves {
			if a = min(a, c.leaves[i].eval(f, v)); a == no {
				return no
			}
		}
		return a
	}
	a := no
	for i := range c.leaves {
		if a = max(a, c.leaves[i].eval(f, v)); a == yes {
			return yes
		}
	}
	return a
}

var errDigest = errors.New("this is not a digest")

// leaf is one initiator or criterion.
type leaf struct {
	kind   kind
	values []string // as in the settings
	text   *textSet
	url    *urlSet
	addrs  []settings.AddressRange // sorted, apart
	sizes  []settings.SizeRange
	md5    map[[16]byte]struct{}
	sha256 map[[32]byte]struct{}
	dir    tx.Direction
}

func newLeaf(k kind, values []string) (leaf, error) {
	l := leaf{kind: k, values: values}
	var err error
	switch k {
	case kindURL:
		l.url, err = newURLSet(values)
	case kindAddress:
		l.addrs, err = newAddrs(values)
	case kindSize, kindLength:
		l.sizes, err = newSizes(values)
	case kindMD5:
		l.md5, err = newDigests[[16]byte](values)
	case kindSHA256:
		l.sha256, err = newDigests[[32]byte](values)
	case kindDirection:
		if values[0] == "response" {
			l.dir = dirResponse
		}
	default:
		l.text, err = newTextSet(values, k != kindMethod)
	}
	return l, err
}

func newSizes(values []string) ([]settings.SizeRange, error) {
	out := make([]settings.SizeRange, len(values))
	for i, v := range values {
		var err error
		if out[i], err = settings.ParseSizeRange(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// digest is what an object is known by.
type digest interface{ [16]byte | [32]byte }

func newDigests[D digest](values []string) (map[D]struct{}, error) {
	out := make(map[D]struct{}, len(values))
	for _, v := range values {
		b, err := hex.DecodeString(v)
		var d D
		if err != nil || len(b) != len(d) {
			return nil, errDigest
		}
		out[D(b)] = struct{}{}
	}
	return out, nil
}

// newAddrs returns the ranges sorted, with those that touch made one.
func newAddrs(values []string) ([]settings.AddressRange, error) {
	var all []settings.AddressRange
	for _, v := range values {
		r, err := settings.ParseAddressRange(v)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b settings.AddressRange) int { return a.First.Compare(b.First) })
	out := all[:1]
	for _, r := range all[1:] {
		last := &out[len(out)-1]
		if r.First.BitLen() == last.Last.BitLen() && !last.Last.Less(r.First) {
			if last.Last.Less(r.Last) {
				last.Last = r.Last
			}
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

func (l *leaf) eval(f *Facts, v view) answer {
	bit := kinds(1) << l.kind
	switch {
	case bit&staticKinds != 0:
		return answerOf(l.client(f))
	case v == messageToCome:
		return notYet
	case bit&headerKinds != 0:
		return answerOf(l.header(f))
	case f.objects == objectKnown:
		return answerOf(l.object(f))
	case f.objects == objectsAbsent:
		return no
	}
	return notYet
}

// client judges what is known from the start.
func (l *leaf) client(f *Facts) bool {
	switch l.kind {
	case kindUser:
		return l.text.match(f.user, f.lower(textUser))
	case kindGroup:
		for i, low := range f.lowerGroups() {
			if l.text.match(f.groups[i], low) {
				return true
			}
		}
		return false
	case kindAddress:
		return l.holds(f.addr)
	case kindAgent:
		return l.text.match(f.agent, f.lower(textAgent))
	case kindMethod:
		return l.text.match(f.method, f.method)
	default:
		return l.url.match(&f.url)
	}
}

func (l *leaf) holds(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	low, high := 0, len(l.addrs)
	for low < high {
		mid := (low + high) / 2
		if l.addrs[mid].Last.Less(a) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(l.addrs) && !a.Less(l.addrs[low].First) && a.BitLen() == l.addrs[low].First.BitLen()
}

// header judges the header of the message at hand.
func (l *leaf) header(f *Facts) bool {
	switch l.kind {
	case kindMIME:
		return l.text.match(f.mime, f.mime)
	case kindLength:
		return f.length >= 0 && l.sizeFits(f.length)
	default:
		return l.dir == f.dir
	}
}

// object judges the object at hand.
func (l *leaf) object(f *Facts) bool {
	switch l.kind {
	case kindType:
		return l.text.matchString(f.object.Type)
	case kindFileName:
		return l.text.match(f.name, f.lower(textFileName))
	case kindPartMIME:
		low := f.lower(textPartMIME)
		return l.text.match(low, low)
	case kindSize:
		return l.sizeFits(f.object.Size)
	case kindMD5:
		_, ok := l.md5[f.object.MD5]
		return ok
	default:
		_, ok := l.sha256[f.object.SHA256]
		return ok
	}
}

func (l *leaf) sizeFits(n int64) bool {
	for _, r := range l.sizes {
		if n >= r.Min && n <= r.Max {
			return true
		}
	}
	return false
}
