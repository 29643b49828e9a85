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
	b = append(b, crlf...)
	x.edited = b
}

// httpPhrases are the reason phrases of HTTP statuses (RFC 9110 section 15).
var httpPhrases = map[int]string{
	200: "OK", 204: "No Content", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
	307: "Temporary Redirect", 308: "Permanent Redirect", 403: "Forbidden", 404: "Not Found",
	407: "Proxy Authentication Required", 413: "Content Too Large", 415: "Unsupported Media Type",
	451: "Unavailable For Legal Reasons", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Gateway Timeout",
}

func httpPhrase(status int) string {
	if p, ok := httpPhrases[status]; ok {
		return p
	}
	return "Blocked"
}
