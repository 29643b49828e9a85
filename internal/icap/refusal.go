package icap

import "fmt"

// kind says in one word why something was refused.
type kind uint8

const (
	badRequestLine kind = iota
	badHeader
	badEncapsulated
	badPreview
	badChunk
	badHTTP
	badIdentity
	tooLarge
	tooSlow
	truncated
	wrongVersion
	unknownMethod
	unknownService
	wrongMethod
	forbiddenClient
	overloaded
	failed
	numKinds
)

// kinds gives each kind its name in Stats and its ICAP status (RFC 3507
// section 4.3.3).
var kinds = [numKinds]struct {
	name   string
	status int
}{
	badRequestLine:  {"bad-request-line", 400},
	badHeader:       {"bad-header", 400},
	badEncapsulated: {"bad-encapsulated", 400},
	badPreview:      {"bad-preview", 400},
	badChunk:        {"bad-chunk", 400},
	badHTTP:         {"bad-http", 400},
	badIdentity:     {"bad-identity", 400},
	tooLarge:        {"too-large", 400},
	tooSlow:         {"too-slow", 408},
	truncated:       {"truncated", 0}, // nobody is left to answer
	wrongVersion:    {"wrong-version", 505},
	unknownMethod:   {"unknown-method", 501},
	unknownService:  {"unknown-service", 404},
	wrongMethod:     {"wrong-method", 405},
	forbiddenClient: {"forbidden-client", 403},
	overloaded:      {"overloaded", 503},
	failed:          {"failed", 500},
}

// refusal is why a request is answered with an error and a closed connection.
type refusal struct {
	kind kind
	what string
}

func (r *refusal) Error() string { return "icap: " + kinds[r.kind].name + ": " + r.what }

func refuse(k kind, format string, args ...any) *refusal {
	return &refusal{kind: k, what: fmt.Sprintf(format, args...)}
}

// phrase is the reason phrase of an ICAP status.
func phrase(status int) string {
	switch status {
	case 100:
		return "Continue"
	case 200:
		return "OK"
	case 204:
		return "No Content"
	case 206:
		return "Partial Content"
	case 400:
		return "Bad Request"
	case 403:
		return "Forbidden"
	case 404:
		return "ICAP Service Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 501:
		return "Method Not Implemented"
	case 503:
		return "Service Overloaded"
	case 505:
		return "ICAP Version Not Supported"
	default:
		return "Server Error"
	}
}
