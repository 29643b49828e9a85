package content

import (
	"sluice/internal/tx"
)

// Limits bounds one Walk. A bound that is 0 or less is taken from
// DefaultLimits.
type Limits struct {
	// Depth is how deep containers may lie in each other.
	Depth int
	// ObjectSize bounds one unpacked object, in bytes.
	ObjectSize int64
	// ExpandedSize bounds all unpacked objects of one message together, in
	// bytes.
	ExpandedSize int64
	// Ratio bounds expanded : packed size of one object, and of the message
	// as a whole. It is judged only once 8 MiB (32 MiB for the whole
	// message) came out, so that small honest text never trips it.
	Ratio int64
	// Members bounds the objects of one message.
	Members int
}

// DefaultLimits are bounds that honest downloads stay under: a bomb is
// stopped by the ratio long before the sizes.
func DefaultLimits() Limits {
	return Limits{Depth: 32, ObjectSize: 2 << 30, ExpandedSize: 8 << 30, Ratio: 100, Members: 100_000}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.Depth <= 0 {
		l.Depth = d.Depth
	}
	if l.ObjectSize <= 0 {
		l.ObjectSize = d.ObjectSize
	}
	if l.ExpandedSize <= 0 {
		l.ExpandedSize = d.ExpandedSize
	}
	if l.Ratio <= 0 {
		l.Ratio = d.Ratio
	}
	if l.Members <= 0 {
		l.Members = d.Members
	}
	return l
}

const (
	ratioFloor       = 8 << 20  // bytes out of one object before its ratio counts
	totalRatioFloor  = 32 << 20 // the same for the whole message
	afterLimitBudget = 32 << 20 // what may still be unpacked after a bomb was met
	windowBudget     = 96 << 20 // decoder windows open at the same time in one walk
	maxWindow        = 64 << 20 // one decoder window
)

// Message is a body with what the entrance knows about its meaning.
type Message struct {
	// ContentType and ContentDisposition are field values, empty when absent.
	ContentType, ContentDisposition string
	// ContentEncoding holds the values of all Content-Encoding lines in the
	// order of the wire, each a list.
	ContentEncoding []string
	// FileName is the name from the URL path; a name in ContentDisposition
	// is preferred to it.
	FileName string
	Body     tx.Content
	// Partial marks a body that is only a range of the object (206). That its
	// coding and its containers are not whole is then no fault: whoever sets
	// this judges that itself.
	Partial bool
}

// Object is one thing to scan. It and its Data are valid only during visit.
type Object struct {
	// Name as found: member path, form file name, part name. Valid UTF-8,
	// without control characters, at most 512 bytes.
	Name string
	// Path says where the object was found: "message > a.zip > b/c.doc".
	Path string
	// Depth is 0 for the message itself.
	Depth int
	// Type is the id of a type listed by Types.
	Type string
	// MIME is the media type by content.
	MIME string
	// DeclaredMIME is the media type that the message or part claims.
	DeclaredMIME string
	// Data is the whole object, decoded. For an encrypted archive member it
	// is the packed bytes.
	Data tx.Content
	// Encrypted: it cannot be read without a password.
	Encrypted bool
	// Macros: a document that carries macros.
	Macros bool
	// Container: members are visited after this object.
	Container bool

	contentType string // the whole field value behind DeclaredMIME
}

// TypeInfo describes one object type.
type TypeInfo struct {
	ID          string
	MIME        string
	Description string
}
