package tx

import (
	"net/netip"
	"time"
)

// Direction says which message of an exchange a transaction judges.
type Direction uint8

// The two directions.
const (
	DirRequest Direction = iota
	DirResponse
)

// String is "request" or "response".
func (d Direction) String() string {
	if d == DirResponse {
		return "response"
	}
	return "request"
}

// Transaction is one message of an exchange, as an entrance decoded it. All
// byte slices point into the entrance's buffers: they are valid until Judge.End
// returns, and nobody but the entrance changes them. It has no field that only
// one protocol can fill.
type Transaction struct {
	ID        ID
	Start     time.Time
	Entrance  string // "icap", "proxy" or "ftp"
	Direction Direction
	Client    Client
	Request   Request
	Response  Response // zero while Direction is DirRequest

	// HasBody tells whether the judged message has a body, possibly empty.
	HasBody bool
	// Length is the judged message's body length as its header declares it,
	// in bytes; -1 when it does not.
	Length int64
}

// Client is who sent the request, as far as the entrance was told.
type Client struct {
	Addr   netip.Addr // the user's device; invalid when not known
	Peer   netip.Addr // who is connected to us: the user's device, or the proxy in front
	User   []byte     // name as told, decoded; empty when not known
	Groups [][]byte   // groups as told, decoded
}

// Request is the head of the exchange's request.
type Request struct {
	Method []byte
	// URL is absolute ("http://host/path?query"); for CONNECT it is
	// "host:port" (RFC 9110 section 9.3.6). It is as sent, not normalised.
	URL    []byte
	Header Header
}

// Response is the head of the exchange's response.
type Response struct {
	Status int // 100 to 999
	Header Header
}

// Header returns the header of the message that the transaction judges.
func (t *Transaction) Header() Header {
	if t.Direction == DirResponse {
		return t.Response.Header
	}
	return t.Request.Header
}
