package event

// Kind names one of the two logs.
type Kind string

// The two logs.
const (
	KindTraffic Kind = "traffic"
	KindSystem  Kind = "system"
)

// Unit says how the value of a field is to be read. In lines that Query returns
// every value is a JSON string, numbers too.
type Unit string

// The units.
const (
	UnitText   Unit = "text"
	UnitTime   Unit = "time"         // RFC 3339 in UTC, nanoseconds
	UnitNumber Unit = "number"       // decimal
	UnitBytes  Unit = "bytes"        // decimal
	UnitMicros Unit = "microseconds" // decimal
	UnitList   Unit = "list"         // a JSON array as text
)

// Field is one field of an event: its public name in queries and in the log.
type Field struct {
	Name    string
	Kind    Kind // empty: in both logs
	Unit    Unit
	Meaning string
}

// Fields lists every field that events have, in the order of the log.
func Fields() []Field {
	return []Field{
		{"time", "", UnitTime, "when the event was recorded: for traffic, the end of the exchange"},
		{"id", "", UnitText, "receipt of the transaction; stands on the block page and in the ICAP answer"},
		{"kind", "", UnitText, "traffic or system"},
		{"node", "", UnitText, "name of the node that recorded it"},
		{"workspace", KindTraffic, UnitText, "workspace that the traffic belongs to"},
		{"entrance", KindTraffic, UnitText, "icap, proxy or ftp"},
		{"direction", KindTraffic, UnitText, "request, response or exchange"},
		{"method", KindTraffic, UnitText, "HTTP method"},
		{"url", KindTraffic, UnitText, "absolute URL as sent; host:port for CONNECT"},
		{"host", KindTraffic, UnitText, "host of the URL"},
		{"user", KindTraffic, UnitText, "name of the user"},
		{"groups", KindTraffic, UnitList, "groups of the user; = means one of them"},
		{"client", KindTraffic, UnitText, "address of the user's device"},
		{"peer", KindTraffic, UnitText, "address of who was connected to Sluice"},
		{"agent", KindTraffic, UnitText, "User-Agent"},
		{"status", KindTraffic, UnitNumber, "HTTP status of the response"},
		{"mime", KindTraffic, UnitText, "MIME type as declared"},
		{"file_type", KindTraffic, UnitText, "type of the body by its content"},
		{"file_name", KindTraffic, UnitText, "name of the file"},
		{"received", KindTraffic, UnitBytes, "body bytes that came in"},
		{"sent", KindTraffic, UnitBytes, "body bytes that were passed on"},
		{"length", KindTraffic, UnitBytes, "body length as declared"},
		{"decide", KindTraffic, UnitMicros, "time to decide by rules"},
		{"wait_body", KindTraffic, UnitMicros, "time to wait for the body"},
		{"inspect", KindTraffic, UnitMicros, "time to decode and take apart the body"},
		{"scan", KindTraffic, UnitMicros, "time that engines took"},
		{"total", KindTraffic, UnitMicros, "time from begin to end"},
		{"bypass_rule", KindTraffic, UnitText, "bypass rule that matched"},
		{"access_rule", KindTraffic, UnitText, "access rule that matched"},
		{"protection_rule", KindTraffic, UnitText, "protection rule that matched"},
		{"action", KindTraffic, UnitText, "forward, block, redirect or drop"},
		{"reason", KindTraffic, UnitText, "what the verdict rests on: rule, malware, encrypted, macro, engine-error, timed-out, ..."},
		{"rule", KindTraffic, UnitText, "rule that decided"},
		{"threat", KindTraffic, UnitText, "name of the threat found"},
		{"engine", KindTraffic, UnitText, "engine that decided"},
		{"scan_status", KindTraffic, UnitText, "clean, infected, encrypted, macro, error, not-scanned, ..."},
		{"scan_detail", KindTraffic, UnitText, "what happened while scanning"},
		{"unscanned", KindTraffic, UnitText, "true when it passed without having been scanned whole"},
		{"revision", KindTraffic, UnitText, "hash of the settings in force"},
		{"objects", KindTraffic, UnitList, "objects scanned: path, name, type, mime, size, sha256, md5, engine, status, threat, detail, micros"},
		{"objects_left_out", KindTraffic, UnitNumber, "objects scanned but not listed"},
		{"error", KindTraffic, UnitText, "why the exchange did not come to its end"},
		{"severity", KindSystem, UnitText, "info, warning or critical"},
		{"code", KindSystem, UnitText, "what kind of system event"},
		{"text", KindSystem, UnitText, "what happened, for people"},
		{"attr.*", KindSystem, UnitText, "details of a system event"},
	}
}
