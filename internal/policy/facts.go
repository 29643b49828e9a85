package policy

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"sluice/internal/tx"
)

// Facts are what is known of one message when a stage is asked. A Facts may be
// reused for any number of messages, which then cost no allocation; it serves
// one goroutine at a time. Its zero value is ready for Reset.
//
// The facts of the client and of the request are always known. The response's
// header is known in a response transaction. Objects are known once SetObject
// named one.
type Facts struct {
	now    time.Time
	dir    tx.Direction
	method []byte
	url    target
	addr   netip.Addr
	user   []byte
	groups [][]byte
	agent  []byte
	mime   []byte // of the judged message, lower case, no parameters; empty when it has none
	length int64  // of the judged message; -1 when not declared

	objects objectState
	object  *Object
	name    []byte // the object's, as found

	low     [numTexts]lowered // lower-case forms, made when first asked for
	lowered uint8             // bit set of what was made
	lowGrp  []lowered
	buf     []byte // memory of the lower-case forms

	home    *workspace // the client's workspace in the policy homeOf
	homeOf  *Policy
	cursors cursors // scratch of candidate search
}

type lowered []byte

// objectState tells what is known of the judged message's objects.
type objectState uint8

const (
	objectsPending objectState = iota // there is a body, not yet seen
	objectsAbsent                     // there is no body
	objectKnown                       // one object is being judged
)

// Object is one object of the judged message: its body, or something found
// inside it. Fields that no rule asks for (see Needs) may be left empty.
type Object struct {
	Name     string // file name as found; folders before it are ignored
	Type     string // by content, a name of content's list
	PartMIME string // declared type of a multipart part; empty when it is none
	Size     int64  // bytes
	MD5      [16]byte
	SHA256   [32]byte
}

// Reset takes in the transaction t as of now. Its objects are not yet known, or
// known to be none where the message has no body. The error says why the URL
// cannot be judged: the facts are ready, but no URL criterion is met, so the
// message must be refused unless the URL is not to be known at all. t must stay
// unchanged while the facts are in use.
func (f *Facts) Reset(t *tx.Transaction, now time.Time) error {
	f.now, f.dir, f.method = now, t.Direction, t.Request.Method
	f.addr = t.Client.Addr.Unmap().WithZone("")
	f.user, f.groups = t.Client.User, t.Client.Groups
	f.agent = t.Request.Header.Get("User-Agent")
	f.length = t.Length
	f.buf, f.lowered, f.lowGrp = f.buf[:0], 0, f.lowGrp[:0]
	f.home, f.homeOf = nil, nil
	f.mime = f.mime[:0]
	if v := lastValue(t.Header()); v != nil {
		f.mime = appendMIME(f.mime, v)
	}
	f.object, f.name = nil, f.name[:0]
	f.objects = objectsPending
	if !t.HasBody {
		f.objects = objectsAbsent
	}
	return f.url.set(t.Request.URL, bytes.Equal(t.Request.Method, methodCONNECT))
}

var methodCONNECT = []byte("CONNECT")

// SetObject makes o the object that is judged from now on; nil says that the
// message has no object at all. o must stay unchanged until the next call.
func (f *Facts) SetObject(o *Object) {
	f.object, f.name = o, f.name[:0]
	f.lowered &^= 1<<textFileName | 1<<textPartMIME
	if o == nil {
		f.objects = objectsAbsent
		return
	}
	f.objects = objectKnown
	base := o.Name
	for i := len(base) - 1; i >= 0; i-- {
		if isSlash(base[i]) {
			base = base[i+1:]
			break
		}
	}
	// Windows and some browsers save and unpack "a.exe. " as "a.exe".
	f.name = append(f.name, strings.TrimRight(base, ". ")...)
}

// URL is the normal form of the request's URL, as URL criteria see it. It is
// valid until the next Reset.
func (f *Facts) URL() []byte { return f.url.text }

// Host is the normal form of the URL's host. It is valid until the next Reset.
func (f *Facts) Host() []byte { return f.url.hostText() }

// MIME is the judged message's media type in lower case without parameters,
// empty when it names none. It is valid until the next Reset.
func (f *Facts) MIME() []byte { return f.mime }

// texts that are compared without regard to case.
type textFact uint8

const (
	textUser textFact = iota
	textAgent
	textFileName
	textPartMIME
	textMIME
	textMethod
	numTexts
)

// lower returns the lower-case form of a text, made once a message.
func (f *Facts) lower(t textFact) []byte {
	switch t {
	case textMIME:
		return f.mime
	case textMethod:
		return f.method
	}
	if f.lowered&(1<<t) == 0 {
		at := len(f.buf)
		if t == textPartMIME {
			f.buf = appendMIMEString(f.buf, f.object.PartMIME)
		} else {
			f.buf = appendLower(f.buf, f.plain(t))
		}
		f.low[t] = f.buf[at:len(f.buf):len(f.buf)]
		f.lowered |= 1 << t
	}
	return f.low[t]
}

// plain returns a text as it came.
func (f *Facts) plain(t textFact) []byte {
	switch t {
	case textUser:
		return f.user
	case textAgent:
		return f.agent
	case textFileName:
		return f.name
	case textMethod:
		return f.method
	}
	return f.lower(t)
}

// lowerGroups returns the lower-case forms of the groups, in their order.
func (f *Facts) lowerGroups() []lowered {
	if len(f.lowGrp) != len(f.groups) {
		f.lowGrp = f.lowGrp[:0]
		for _, g := range f.groups {
			at := len(f.buf)
			f.buf = appendLower(f.buf, g)
			f.lowGrp = append(f.lowGrp, f.buf[at:len(f.buf):len(f.buf)])
		}
	}
	return f.lowGrp
}

// lastValue returns the last Content-Type field's value, as browsers do when a
// message has several.
func lastValue(h tx.Header) []byte {
	for i := len(h) - 1; i >= 0; i-- {
		if tx.EqualFold(h[i].Name, "Content-Type") {
			return h[i].Value
		}
	}
	return nil
}

// appendMIME writes the media type of a Content-Type value in lower case. Of
// several in one value the last counts, as for browsers; commas in quoted
// parameters do not separate.
func appendMIME(dst, value []byte) []byte {
	quoted, start := false, 0
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted && bytes.IndexByte(value[i+1:], '/') >= 0:
			start = i + 1
		}
	}
	value = value[start:]
	if i := bytes.IndexAny(value, ";,"); i >= 0 {
		value = value[:i]
	}
	return appendLowerASCII(dst, bytes.TrimSpace(value))
}

func appendMIMEString(dst []byte, value string) []byte {
	for i := range len(value) {
		if value[i] == ';' {
			value = value[:i]
			break
		}
	}
	for i := range len(value) {
		if c := value[i]; c != ' ' && c != '\t' {
			dst = append(dst, lowerByte(c))
		}
	}
	return dst
}
