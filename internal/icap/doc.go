// Package icap is the ICAP entrance (RFC 3507): it decodes REQMOD, RESPMOD and
// OPTIONS from a connection into a tx.Transaction, asks a tx.Engine for its
// verdict, and writes the verdict back: 204, 206 with use-original-body
// (draft-icap-ext-partial-content), or 200 with the message, a page or a
// redirect.
//
// Grammar is strict: what is ambiguous or malformed is answered with 400 and a
// closed connection and is never passed on. Every length, count and time is
// bounded by Config. A connection is one goroutine; while it idles it holds no
// buffers. Only two things start a second goroutine, and both are joined before
// anything else is written: answering a client that is still sending, and
// sending early (Config.StartSending).
//
// The package never looks into a body, knows no rules, settings or engines, and
// never decides what passes: a verdict that is no decision is answered with 500.
package icap
