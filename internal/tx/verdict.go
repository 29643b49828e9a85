package tx

// Action is what an entrance does with the judged message.
type Action uint8

// The actions of a verdict. Nothing is the zero value: an entrance that meets
// it has a programming error before it, and drops.
const (
	Nothing  Action = iota
	Forward         // pass the message on, with the verdict's edits
	Inspect         // give the body to Judge.Body; only from Judge.Head
	Block           // answer with Reply instead
	Redirect        // answer with Reply instead
	Drop            // close without an answer where the protocol can; else answer with Reply
)

var actionNames = [...]string{"nothing", "forward", "inspect", "block", "redirect", "drop"}

// String is the action's name in events and messages.
func (a Action) String() string { return actionNames[a] }

// Reason says in one word what a verdict rests on.
type Reason uint8

// The reasons of a verdict.
const (
	NoReason      Reason = iota // nothing found against it
	ByRule                      // a bypass or access rule
	Malware                     // an engine found malware
	Encrypted                   // an object cannot be read without a password
	Macro                       // a document carries macros
	EngineError                 // an engine was down, broke or answered nonsense
	TimedOut                    // scanning took longer than its limit
	OverLimit                   // an object is over a bound: size, depth, ratio, members
	BadEncoding                 // content coding unknown, or the content does not follow it
	BadContent                  // an archive or document is damaged and cannot be looked into
	Partial                     // only a range of the object passed by
	BadURL                      // the URL has no single meaning that rules could be judged on
	InternalError               // Sluice itself failed while judging
	Cured                       // threats were taken out of the object, the rest passed
)

var reasonNames = [...]string{
	"none", "rule", "malware", "encrypted", "macro", "engine-error", "timed-out", "over-limit",
	"bad-encoding", "bad-content", "partial", "bad-url", "internal-error", "cured",
}

// String is the reason's name in events, pages and settings.
func (r Reason) String() string { return reasonNames[r] }

// Verdict is what the gateway decided about one message. It is a value, and it
// is not an error: failing to judge gives the verdict that the settings name
// for that failure, with the reason in it.
type Verdict struct {
	Action Action
	Reason Reason
	// Rule is the name of the rule that decided; empty when none did.
	Rule string
	// Threat is the name the engine gave to what it found; empty when nothing.
	Threat string
	// Detail is one line for people: what happened and where.
	Detail string
	// Unscanned marks a message that passes although it was not scanned whole.
	Unscanned bool
	// Reply is the answer for Block, Redirect and Drop; nil otherwise.
	Reply *Reply
	// RemoveFields names header fields that are taken out of a forwarded
	// message.
	RemoveFields []string
	// Replacement is the new body of a forwarded message, in identity
	// coding; nil keeps the body as it came.
	Replacement Content
}

// Reply is an answer made by the gateway. Entrances add what their protocol
// needs, Content-Length and "Cache-Control: no-store" (RFC 9111 section 5.2.2.5).
type Reply struct {
	Status      int    // 403, 302, 307, 502, ...
	Location    string // for a redirect
	ContentType string
	Language    string // of Body (RFC 9110 section 8.5)
	Body        []byte
}
