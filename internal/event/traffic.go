package event

import (
	"net/netip"
	"strconv"
	"time"

	"sluice/internal/tx"
)

// Bounds of what one event keeps, in bytes of the unescaped value; longer
// values are cut.
const (
	maxURL    = 4096
	maxText   = 1024 // details, agents, file names
	maxName   = 256  // names of rules, users, hosts, threats
	maxGroups = 64
	// MaxObjects bounds the objects listed in one event.
	MaxObjects = 64
	// maxObjectBytes bounds the list of objects in one event as JSON.
	maxObjectBytes = 32 << 10
)

// Traffic is the event of one exchange, or of one of its messages where the
// entrance sees them apart. Callers may reuse it: Log.Traffic neither changes nor
// keeps it. Zero values are left out of the log.
type Traffic struct {
	Time      time.Time // when it ended; zero means now
	ID        tx.ID     // unique among all events
	Workspace string
	Entrance  string // "icap", "proxy", "ftp"
	Direction string // "request", "response", "exchange"

	Method []byte
	URL    []byte
	Host   []byte
	User   []byte
	Groups [][]byte
	Client netip.Addr
	Peer   netip.Addr
	Agent  []byte

	Status   int // of the response
	MIME     []byte
	FileType string // by content
	FileName []byte
	Received int64 // body bytes that came in
	Sent     int64 // body bytes that were passed on
	Length   int64 // body length as declared; 0 and less are left out

	// Durations in microseconds.
	Decide, WaitBody, Inspect, Scan, Total int64

	BypassRule, AccessRule, ProtectionRule string

	Action     string // what became of it: tx.Action
	Reason     string // why: tx.Reason
	Rule       string // that decided
	Threat     string
	Engine     string
	ScanStatus string
	ScanDetail string
	Unscanned  bool // passed without having been scanned whole
	Revision   string
	Objects    []ObjectResult
	Error      string
}

// ObjectResult is what came out for one scanned object. Zero values are left
// out of the log.
type ObjectResult struct {
	Path   string // members on the way to it, joined with "/"
	Name   string
	Type   string // by content
	MIME   string
	Size   int64
	SHA256 [32]byte
	MD5    [16]byte
	Engine string
	Status string
	Threat string
	Detail string
	Micros int64 // scan time in microseconds
}

// appendHead adds the fields that every line starts with. Other code finds time
// and id by their place in it; see parseHead.
func appendHead(b []byte, now time.Time, id tx.ID, kindAndNode string) []byte {
	b = append(b, `{"time":`...)
	b = strconv.AppendInt(b, now.UnixNano(), 10)
	b = append(b, `,"id":"`...)
	b = id.Append(b)
	return append(b, kindAndNode...)
}

// appendLine adds the event as one JSON line.
func (e *Traffic) appendLine(b []byte, at time.Time, kindAndNode string) []byte {
	b = appendHead(b, at, e.ID, kindAndNode)
	b = appendField(b, `,"workspace":"`, e.Workspace, maxName)
	b = appendField(b, `,"entrance":"`, e.Entrance, maxName)
	b = appendField(b, `,"direction":"`, e.Direction, maxName)
	b = appendField(b, `,"method":"`, e.Method, maxName)
	b = appendField(b, `,"url":"`, e.URL, maxURL)
	b = appendField(b, `,"host":"`, e.Host, maxName)
	b = appendField(b, `,"user":"`, e.User, maxName)
	b = appendGroups(b, e.Groups)
	b = appendAddr(b, `,"client":"`, e.Client)
	b = appendAddr(b, `,"peer":"`, e.Peer)
	b = appendField(b, `,"agent":"`, e.Agent, maxText)
	b = appendNumber(b, `,"status":`, int64(e.Status))
	b = appendField(b, `,"mime":"`, e.MIME, maxName)
	b = appendField(b, `,"file_type":"`, e.FileType, maxName)
	b = appendField(b, `,"file_name":"`, e.FileName, maxText)
	b = appendNumber(b, `,"received":`, e.Received)
	b = appendNumber(b, `,"sent":`, e.Sent)
	b = appendNumber(b, `,"length":`, e.Length)
	b = appendNumber(b, `,"decide":`, e.Decide)
	b = appendNumber(b, `,"wait_body":`, e.WaitBody)
	b = appendNumber(b, `,"inspect":`, e.Inspect)
	b = appendNumber(b, `,"scan":`, e.Scan)
	b = appendNumber(b, `,"total":`, e.Total)
	b = appendField(b, `,"bypass_rule":"`, e.BypassRule, maxName)
	b = appendField(b, `,"access_rule":"`, e.AccessRule, maxName)
	b = appendField(b, `,"protection_rule":"`, e.ProtectionRule, maxName)
	b = appendField(b, `,"action":"`, e.Action, maxName)
	b = appendField(b, `,"reason":"`, e.Reason, maxName)
	b = appendField(b, `,"rule":"`, e.Rule, maxName)
	b = appendField(b, `,"threat":"`, e.Threat, maxName)
	b = appendField(b, `,"engine":"`, e.Engine, maxName)
	b = appendField(b, `,"scan_status":"`, e.ScanStatus, maxName)
	b = appendField(b, `,"scan_detail":"`, e.ScanDetail, maxText)
	if e.Unscanned {
		b = append(b, `,"unscanned":"true"`...)
	}
	b = appendField(b, `,"revision":"`, e.Revision, maxName)
	b = appendObjects(b, e.Objects)
	b = appendField(b, `,"error":"`, e.Error, maxText)
	return append(b, '}', '\n')
}

func appendGroups(b []byte, groups [][]byte) []byte {
	if len(groups) == 0 {
		return b
	}
	b = append(b, `,"groups":[`...)
	for i, g := range groups[:min(len(groups), maxGroups)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = appendText(b, g, maxName)
		b = append(b, '"')
	}
	return append(b, ']')
}

func appendObjects(b []byte, objects []ObjectResult) []byte {
	if len(objects) == 0 {
		return b
	}
	b = append(b, `,"objects":[`...)
	start, n := len(b), 0
	for n < min(len(objects), MaxObjects) && len(b)-start < maxObjectBytes {
		if n > 0 {
			b = append(b, ',')
		}
		b = objects[n].appendJSON(b)
		n++
	}
	b = append(b, ']')
	return appendNumber(b, `,"objects_left_out":`, int64(len(objects)-n))
}

func (o *ObjectResult) appendJSON(b []byte) []byte {
	b = append(b, `{"size":`...)
	b = strconv.AppendInt(b, o.Size, 10)
	b = appendField(b, `,"path":"`, o.Path, maxText)
	b = appendField(b, `,"name":"`, o.Name, maxName)
	b = appendField(b, `,"type":"`, o.Type, maxName)
	b = appendField(b, `,"mime":"`, o.MIME, maxName)
	b = appendHash(b, `,"sha256":"`, o.SHA256[:])
	b = appendHash(b, `,"md5":"`, o.MD5[:])
	b = appendField(b, `,"engine":"`, o.Engine, maxName)
	b = appendField(b, `,"status":"`, o.Status, maxName)
	b = appendField(b, `,"threat":"`, o.Threat, maxName)
	b = appendField(b, `,"detail":"`, o.Detail, maxText)
	b = appendNumber(b, `,"micros":`, o.Micros)
	return append(b, '}')
}
