package icap

import (
	"strconv"

	"sluice/internal/tx"
)

// reply answers with a page or redirect of ours in place of the message.
func (x *exchange) reply(v tx.Verdict) error {
	r := v.Reply
	if r == nil || r.Status < 200 || r.Status > 599 {
		r = &tx.Reply{Status: 403, ContentType: "text/plain", Body: []byte("This transfer was blocked.\n")}
	}
	// To HEAD, and with these statuses, no body follows (RFC 9112 section 6.3).
	withBody := len(r.Body) > 0 && string(x.t.Request.Method) != "HEAD" && r.Status != 204 && r.Status != 304
	x.composeReply(r)
	x.openAnswer(200, v, "Blocked")
	body := nullBody
	if withBody {
		body = resBody
	}
	x.endAnswer(resHdr, len(x.edited), body)
	x.out = append(x.out, x.edited...)
	if withBody {
		x.out = append(strconv.AppendInt(x.out, int64(len(r.Body)), 16), crlf...)
		x.out = append(append(x.out, r.Body...), crlf...)
		x.out = append(x.out, lastChunk...)
		x.sent = int64(len(r.Body))
	}
	return x.flushAndDrain(x.cfg.MaxDrain)
}

// composeReply writes the HTTP head of the reply to x.edited.
func (x *exchange) composeReply(r *tx.Reply) {
	b := strconv.AppendInt(append(x.edited[:0], "HTTP/1.1 "...), int64(r.Status), 10)
	b = append(append(append(b, ' '), httpPhrase(r.Status)...), "\r\nDate: "...)
	b = append(x.begun.UTC().AppendFormat(b, httpTime), "\r\nCache-Control: no-store\r\n"...)
	for _, f := range [...]struct{ name, value string }{
		{"Content-Type: ", r.ContentType}, {"Content-Language: ", r.Language}, {"Location: ", r.Location},
	} {
		if f.value != "" {
			b = append(appendValue(append(b, f.name...), f.value, maxLocation, false), crlf...)
		}
	}
	if r.Status != 204 && r.Status != 304 {
		b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(r.Body)), 10)
		b = append(b, crlf...)
	}
	if x.icap.method == reqmod && x.icap.enc.hasBody() {
		// The user's device may still be sending the body that nobody will
		// read; the proxy shall not wait for it (RFC 9112 section 9.6).
		b = append(b, "Connection: close\r\n"...)
	}
	x.edited = append(b, crlf...)
}

// httpPhrase is the reason phrase of an HTTP status (RFC 9110 section 15).
func httpPhrase(status int) string {
	switch status {
	case 200:
		return "OK"
	case 204:
		return "No Content"
	case 301:
		return "Moved Permanently"
	case 302:
		return "Found"
	case 303:
		return "See Other"
	case 304:
		return "Not Modified"
	case 307:
		return "Temporary Redirect"
	case 308:
		return "Permanent Redirect"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 407:
		return "Proxy Authentication Required"
	case 413:
		return "Content Too Large"
	case 415:
		return "Unsupported Media Type"
	case 451:
		return "Unavailable For Legal Reasons"
	case 500:
		return "Internal Server Error"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	}
	return "Blocked"
}
