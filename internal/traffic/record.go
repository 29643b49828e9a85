package traffic

import (
	"time"

	"sluice/internal/event"
	"sluice/internal/scan"
	"sluice/internal/tx"
)

// unknownURL stands in events of responses that came without their request.
var unknownURL = []byte("-")

// record writes the one event of the transaction.
func (j *judge) record(d tx.Delivery, now time.Time, total time.Duration) {
	t, v, e := j.t, &j.verdict, &j.event
	*e = event.Traffic{
		Time: now, ID: t.ID, Entrance: t.Entrance, Direction: t.Direction.String(),
		Method: t.Request.Method, URL: t.Request.URL, Host: j.facts.Host(),
		User: t.Client.User, Groups: t.Client.Groups, Client: t.Client.Addr, Peer: t.Client.Peer,
		Agent: t.Request.Header.Get("User-Agent"), Status: t.Response.Status, MIME: j.facts.MIME(),
		Received: d.Received, Sent: d.Sent, Length: t.Length,
		Decide: j.deciding.Microseconds(), WaitBody: j.waiting.Microseconds(),
		Inspect: j.inspecting.Microseconds(), Scan: j.scanning.Microseconds(), Total: total.Microseconds(),
		Action: v.Action.String(), Reason: v.Reason.String(), Rule: v.Rule, Threat: v.Threat,
		ScanStatus: j.scanStatus(), ScanDetail: v.Detail, Unscanned: v.Unscanned, Revision: j.snap.Revision,
	}
	if len(t.Request.URL) == 0 {
		e.URL = unknownURL
	}
	if r := j.bypass.Rule; r != nil {
		e.BypassRule = r.Name
	}
	if r := j.access.Rule; r != nil {
		e.AccessRule = r.Name
	}
	if r := j.protection.Rule; r != nil {
		e.ProtectionRule = r.Name
	}
	if w := j.snap.Policy.Workspace(&j.facts); w != nil {
		e.Workspace = w.Name
	}
	if d.Err != nil {
		e.Error = d.Err.Error()
	}
	j.recordObjects(e)
	j.engine.cfg.Log.Traffic(e)
}

// recordObjects lists what was scanned. The root comes first and stands for the
// message.
func (j *judge) recordObjects(e *event.Traffic) {
	if j.report == nil || len(j.report.objects) == 0 {
		return
	}
	root := &j.report.objects[0]
	e.FileType, e.Engine = root.typ, j.findings.engine
	j.name = append(j.name[:0], root.name...)
	e.FileName = j.name
	j.objects = j.objects[:0]
	for i := range j.report.objects {
		o := &j.report.objects[i]
		r := event.ObjectResult{
			Path: o.path, Name: o.name, Type: o.typ, MIME: o.mime, Size: o.size, SHA256: o.sha256, MD5: o.md5,
			Engine: o.engine, Status: o.status.String(), Threat: o.threat, Detail: o.detail, Micros: o.took.Microseconds(),
		}
		if len(o.failures) > 0 {
			r.Detail = o.failures[0].detail
		}
		j.objects = append(j.objects, r)
	}
	e.Objects = j.objects
}

// scanStatus says honestly what the scan of the message came to: "clean" only
// when every object was looked at whole and nothing was found.
func (j *judge) scanStatus() string {
	f := &j.findings
	switch {
	case !j.t.HasBody:
		return ""
	case f.worst == scan.Infected:
		return scan.Infected.String()
	case f.failed:
		return f.failure.reason.String()
	case f.blocked != nil || f.skipped != nil || f.cure != nil:
		if f.blocked != nil {
			return reasonOf(f.blocked.class).String()
		}
		if f.skipped != nil {
			return reasonOf(f.skipped.class).String()
		}
		return scan.Infected.String()
	case j.report == nil || f.unlooked:
		return scan.NotScanned.String()
	}
	return f.worst.String()
}
