package icap

import (
	"strconv"
	"time"

	"sluice/internal/tx"
)

// Bounds of header values that come from verdicts, in bytes.
const (
	maxDetail   = 512
	maxThreat   = 128
	maxLocation = 8 << 10
)

// answer does what the verdict says.
func (x *exchange) answer(v tx.Verdict) error {
	if t := x.stopTrickle(); t != nil && t.started {
		return x.finishTrickle(t, v)
	}
	if x.broken != nil {
		return x.broken
	}
	switch v.Action {
	case tx.Forward:
		return x.forward(v)
	case tx.Block, tx.Redirect, tx.Drop: // ICAP has no way to drop
		return x.reply(v)
	}
	return refuse(failed, "no decision was reached")
}

// forward passes the message on: by telling the client to use what it has, or
// by sending it back.
func (x *exchange) forward(v tx.Verdict) error {
	if v.Replacement != nil && x.icap.enc.hasBody() {
		return x.replace(v)
	}
	head, changed := x.head().raw, x.without(v.RemoveFields)
	if changed {
		head = x.edited
	}
	switch {
	case !changed && (x.preview || x.icap.allow204):
		x.open204(v)
		return x.flushAndDrain(-1)
	case changed && x.icap.enc.hasBody() && x.may206():
		x.openAnswer(206, v, "Modified")
		x.endAnswer(x.headSection(), len(head), x.icap.enc.body)
		x.out = append(x.out, head...)
		x.out = append(x.out, "0; use-original-body=0\r\n\r\n"...)
		return x.flushAndDrain(-1)
	}
	info := ""
	if changed {
		info = "Modified"
	}
	return x.echo(v, head, info)
}

// may206 tells whether the client would put its own body behind a new head. A
// client that allows 206 alone does so while it waits behind its preview, not
// once it has sent "ieof": Squid then takes the answer for a fault.
func (x *exchange) may206() bool {
	return x.icap.allow206 && (x.icap.allow204 || x.preview && !x.done)
}

func (x *exchange) open204(v tx.Verdict) {
	x.openAnswer(204, v, "")
	x.endAnswer(noSection, 0, nullBody)
}

// echo sends the message back with its body: what was spooled, then the rest as
// it arrives.
func (x *exchange) echo(v tx.Verdict, head []byte, info string) error {
	var first []byte
	if x.preview && !x.done {
		// The client hears 100 and sends on before the answer begins.
		var err error
		if first, err = x.more(x.c.srv.ctx); err != nil {
			return err
		}
	}
	x.openAnswer(200, v, info)
	x.endAnswer(x.headSection(), len(head), x.icap.enc.body)
	if err := x.put(head); err != nil || !x.icap.enc.hasBody() {
		return err
	}
	if x.spooled != nil {
		if err := x.putContent(x.spooled, 0); err != nil {
			return err
		}
	} else if err := x.putChunk(x.prefix); err != nil {
		return err
	}
	return x.echoRest(first)
}

// echoRest sends on what is behind the spooled part, and the end.
func (x *exchange) echoRest(first []byte) error {
	if err := x.putChunk(x.pending); err != nil {
		return err
	}
	if err := x.putChunk(first); err != nil {
		return err
	}
	for !x.done {
		p, err := x.more(x.c.srv.ctx)
		if err != nil {
			return err
		}
		if err := x.putChunk(p); err != nil {
			return err
		}
	}
	return x.put(lastChunk)
}

// replace sends the message with another body. Fields that describe the old one
// are taken out (RFC 9110 section 8).
func (x *exchange) replace(v tx.Verdict) error {
	ct := v.Replacement
	x.without(v.RemoveFields, "Content-Length", "Transfer-Encoding", "Trailer", "Content-Encoding", "ETag", "Digest",
		"Content-Digest", "Repr-Digest", "Content-MD5", "Accept-Ranges")
	if x.head().raw != nil {
		x.edited = append(x.edited[:len(x.edited)-2], "Content-Length: "...)
		x.edited = strconv.AppendInt(x.edited, ct.Size(), 10)
		x.edited = append(x.edited, "\r\n\r\n"...)
	}
	x.openAnswer(200, v, "Modified")
	x.endAnswer(x.headSection(), len(x.edited), x.icap.enc.body)
	if err := x.put(x.edited); err != nil {
		return err
	}
	if err := x.putContent(ct, 0); err != nil {
		return err
	}
	if err := x.put(lastChunk); err != nil {
		return err
	}
	return x.flushAndDrain(x.cfg.MaxDrain)
}

// head is the head of the judged message.
func (x *exchange) head() *head {
	if x.icap.method == respmod {
		return &x.res
	}
	return &x.req
}

func (x *exchange) headSection() section {
	switch {
	case x.head().raw == nil:
		return noSection
	case x.icap.method == respmod:
		return resHdr
	}
	return reqHdr
}

// without writes the judged message's head to x.edited, without the fields
// named, and tells whether there was one to leave out.
func (x *exchange) without(names []string, more ...string) (changed bool) {
	x.edited = x.edited[:0]
	h := x.head()
	if h.raw == nil || len(names) == 0 && len(more) == 0 {
		return false
	}
	x.edited = append(append(x.edited, h.start...), crlf...)
	for i := range h.fields {
		f := &h.fields[i]
		if rankOf(f.Name, names) >= 0 || rankOf(f.Name, more) >= 0 {
			changed = true
			continue
		}
		x.edited = append(append(x.edited, f.Name...), ": "...)
		x.edited = append(append(x.edited, f.Value...), crlf...)
	}
	x.edited = append(x.edited, crlf...)
	return changed
}

// openAnswer begins the answer to a message with what the verdict tells. info
// is X-Response-Info's value; empty where nothing happened to the message.
func (x *exchange) openAnswer(status int, v tx.Verdict, info string) {
	x.committed, x.mark = true, len(x.out)
	x.c.srv.stats.answered(status)
	x.beginAnswer(status)
	x.verdictFields(v, info)
}

func (x *exchange) verdictFields(v tx.Verdict, info string) {
	if !x.judged {
		return
	}
	x.out = append(x.out, "X-Sluice-ID: "...)
	x.out = append(x.t.ID.Append(x.out), crlf...)
	if v.Threat != "" {
		resolution := "0" // passed by policy
		switch {
		case v.Action != tx.Forward:
			resolution = "2"
		case v.Replacement != nil:
			resolution = "1"
		}
		x.out = append(x.out, "X-Infection-Found: Type=0; Resolution="...)
		x.out = append(append(x.out, resolution...), "; Threat="...)
		x.out = appendValue(x.out, v.Threat, maxThreat, true)
		x.out = append(x.out, ";\r\nX-Virus-ID: "...)
		x.out = append(appendValue(x.out, v.Threat, maxThreat, false), crlf...)
	}
	if v.Unscanned && info == "" {
		info = "Allowed-Unscanned"
	}
	if info != "" {
		x.field("X-Response-Info: ", info)
		if v.Detail != "" {
			x.field("X-Response-Desc: ", v.Detail)
		}
	}
}

// beginAnswer writes the status line and what every answer carries.
func (x *exchange) beginAnswer(status int) {
	x.out = append(x.out, "ICAP/1.0 "...)
	x.out = strconv.AppendInt(x.out, int64(status), 10)
	x.out = append(append(append(x.out, ' '), phrase(status)...), "\r\nISTag: \""...)
	x.out = appendTag(x.out, x.cfg.ISTag())
	x.out = append(x.out, "\"\r\n"...)
	if d := x.cfg.Draining; x.c.srv.draining.Load() || d != nil && d() {
		x.goAway = true
	}
	if x.goAway {
		x.out = append(x.out, "Connection: close\r\n"...)
	}
}

// field writes a whole field line; name carries the colon and space.
func (x *exchange) field(name, value string) {
	x.out = append(appendValue(append(x.out, name...), value, maxDetail, false), crlf...)
}

// endAnswer writes the Encapsulated header and the empty line.
func (x *exchange) endAnswer(head section, length int, body section) {
	x.out = append(x.out, "Encapsulated: "...)
	if head != noSection {
		x.out = append(append(x.out, sectionNames[head]...), "=0, "...)
	}
	x.out = append(append(x.out, sectionNames[body]...), '=')
	x.out = append(strconv.AppendInt(x.out, int64(length), 10), "\r\n\r\n"...)
}

// appendValue appends a header value of others' making: control characters
// become spaces, so that it can't begin another line, and it is cut at limit.
// In a parameter, ";" and "=" would begin another one.
func appendValue(b []byte, value string, limit int, parameter bool) []byte {
	for i := range min(len(value), limit) {
		c := value[i]
		switch {
		case c < ' ' || c == 0x7f:
			c = ' '
		case parameter && (c == ';' || c == '='):
			c = '_'
		}
		b = append(b, c)
	}
	return b
}

// appendTag appends an ISTag: at most 32 bytes, nothing that a quoted string
// could not hold (RFC 3507 section 4.7).
func appendTag(b []byte, tag string) []byte {
	for i := range min(len(tag), maxTagBytes) {
		if c := tag[i]; tokenTable[c] {
			b = append(b, c)
		} else {
			b = append(b, '-')
		}
	}
	return b
}

// flushAndDrain brings the request's body to its end when the answer is ready
// before it. A client may send all before it reads anything, so the answer is
// written beside. Without that need the answer waits for the next flush.
// limit is how many bytes are taken in; less than 0 means all.
func (x *exchange) flushAndDrain(limit int64) error {
	if x.done || x.preview {
		return nil
	}
	out := x.out
	x.out, x.mark = nil, -1
	written := make(chan error, 1)
	go func() { written <- x.c.write(out) }()
	drainErr := x.drain(limit)
	err := <-written
	x.out = (*x.box)[:0]
	if drainErr != nil {
		x.done = false // the connection can't go on behind it
	}
	return err
}

// drain throws away the rest of the body.
func (x *exchange) drain(limit int64) error {
	for !x.done {
		p, err := x.more(x.c.srv.ctx)
		if err != nil {
			return err
		}
		if limit >= 0 {
			if limit -= int64(len(p)); limit < 0 {
				return refuse(tooLarge, "the rest of the body is larger than is worth reading")
			}
		}
	}
	return nil
}

// answerOptions says what the service does (RFC 3507 section 4.10.2).
func (x *exchange) answerOptions() (keep bool) {
	if err := x.drain(max(0, maxOptionsBody-x.received)); err != nil {
		return x.refuse(err)
	}
	x.beginAnswer(200)
	x.field("Methods: ", methodNames[x.icap.service])
	x.field("Service: ", x.cfg.Service)
	path := x.cfg.ReqmodPath
	if x.icap.service == respmod {
		path = x.cfg.RespmodPath
	}
	x.field("Service-ID: ", path[1:])
	x.out = x.begun.UTC().AppendFormat(append(x.out, "Date: "...), httpTime)
	x.out = append(x.out, "\r\nMax-Connections: "...)
	x.out = strconv.AppendInt(x.out, int64(x.cfg.MaxConnections), 10)
	x.out = append(x.out, "\r\nOptions-TTL: "...)
	x.out = strconv.AppendInt(x.out, int64(x.cfg.OptionsTTL/time.Second), 10)
	x.out = append(x.out, "\r\nAllow: 204, 206\r\nPreview: "...)
	x.out = strconv.AppendInt(x.out, int64(x.cfg.Preview), 10)
	x.out = append(x.out, "\r\nTransfer-Preview: *\r\n"...)
	x.listField("Transfer-Ignore: ", x.cfg.TransferIgnore)
	x.listField("Transfer-Complete: ", x.cfg.TransferComplete)
	x.listField("X-Include: ", x.cfg.Headers.ClientAddr, x.cfg.Headers.User, x.cfg.Headers.Groups)
	x.endAnswer(noSection, 0, nullBody)
	x.c.srv.stats.answered(200)
	return true
}

// maxOptionsBody bounds the body of an OPTIONS request, which nothing reads.
const maxOptionsBody = 64 << 10

// httpTime is the format of Date (RFC 9110 section 5.6.7).
const httpTime = "Mon, 02 Jan 2006 15:04:05 GMT"

// listField writes a comma-separated list, or nothing when it is empty.
func (x *exchange) listField(name string, lists ...[]string) {
	sep := name
	for _, list := range lists {
		for _, item := range list {
			x.out = append(append(x.out, sep...), item...)
			sep = ", "
		}
	}
	if sep != name {
		x.out = append(x.out, crlf...)
	}
}
