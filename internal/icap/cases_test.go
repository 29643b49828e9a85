package icap

import (
	"fmt"
	"strings"
)

func conformanceCases() []conformance {
	var all []conformance
	for _, group := range [][]conformance{
		requestLineCases(), headerCases(), optionsCases(), encapsulatedCases(), httpHeadCases(), targetCases(), previewCases(), chunkCases(),
		answerCases(), replyCases(), earlyCases(), pipelineCases(), identityCases(), boundCases(),
	} {
		all = append(all, group...)
	}
	return all
}

// refused makes a case that is answered with status and closed.
func refused(name string, status int, send string) conformance {
	return conformance{name: name, send: send, want: []string{fmt.Sprint(status)}, closes: true}
}

func requestLineCases() []conformance {
	tail := "\r\nHost: gw.test\r\nEncapsulated: null-body=0\r\n\r\n"
	var cases []conformance
	for i, c := range []struct {
		line   string
		status int
	}{
		{"REQMOD icap://gw.test/reqmod ICAP/1.1", 505},
		{"REQMOD icap://gw.test/reqmod ICAP/2.0", 505},
		{"REQMOD icap://gw.test/reqmod ICAP/0.9", 505},
		{"REQMOD icap://gw.test/reqmod HTTP/1.1", 400},
		{"REQMOD icap://gw.test/reqmod ICAP/1", 400},
		{"REQMOD icap://gw.test/reqmod ICAP/1.0 ", 400},
		{"REQMOD icap://gw.test/reqmod ICAP/1.0 x", 400},
		{"REQMOD icap://gw.test/reqmod ICAP/01.0", 400},
		{"REQMOD icap://gw.test/reqmod icap/1.0", 400},
		{"REQMOD icap://gw.test/reqmod", 400},
		{"REQMOD", 400},
		{"REQMOD  icap://gw.test/reqmod ICAP/1.0", 400},
		{"REQMOD icap://gw.test/reqmod  ICAP/1.0", 400},
		{" REQMOD icap://gw.test/reqmod ICAP/1.0", 400},
		{"REQMOD\ticap://gw.test/reqmod\tICAP/1.0", 400},
		{"REQ(MOD icap://gw.test/reqmod ICAP/1.0", 400},
		{"REQ\x00MOD icap://gw.test/reqmod ICAP/1.0", 400},
		{"\x16\x03\x01 icap://gw.test/reqmod ICAP/1.0", 400},
		{"\r\nREQMOD icap://gw.test/reqmod ICAP/1.0", 400},
		{"reqmod icap://gw.test/reqmod ICAP/1.0", 501},
		{"GET icap://gw.test/reqmod ICAP/1.0", 501},
		{"REQMODX icap://gw.test/reqmod ICAP/1.0", 501},
		{"LOGMOD icap://gw.test/reqmod ICAP/1.0", 501},
		{"REQMOD icap://gw.test/respmod ICAP/1.0", 405},
		{"RESPMOD icap://gw.test/reqmod ICAP/1.0", 405},
		{"REQMOD icap://gw.test/nothing ICAP/1.0", 404},
		{"OPTIONS icap://gw.test/nothing ICAP/1.0", 404},
		{"REQMOD icap://gw.test/reqmod/ ICAP/1.0", 404},
		{"REQMOD icap://gw.test/REQMOD ICAP/1.0", 404},
		{"REQMOD icap://gw.test/ ICAP/1.0", 404},
		{"REQMOD icap://gw.test ICAP/1.0", 400},
		{"REQMOD /reqmod ICAP/1.0", 400},
		{"REQMOD http://gw.test/reqmod ICAP/1.0", 400},
		{"REQMOD icap:/gw.test/reqmod ICAP/1.0", 400},
		{"REQMOD icap:///reqmod ICAP/1.0", 400},
		{"REQMOD icap://gw.test/reqmod#x ICAP/1.0", 400},
		{"REQMOD icap://u@gw.test/reqmod ICAP/1.0", 400},
		{"REQMOD icap://gw.test/req\x7fmod ICAP/1.0", 400},
		{"OPTIONS * ICAP/1.0", 400},
		{"CONNECT gw.test:1344 ICAP/1.0", 400},
	} {
		cases = append(cases, refused(fmt.Sprintf("request line %d", i), c.status, c.line+tail))
	}
	for _, uri := range []string{"icap://gw.test:1344/reqmod", "ICAP://gw.test/reqmod", "icaps://gw.test/reqmod", "icap://gw.test/reqmod?a=b&c", "icap://[::1]:1344/reqmod", "icap://gw.test/reqmod?"} {
		cases = append(cases, conformance{
			name: "uri " + strings.ReplaceAll(uri, "/", "_"), send: "OPTIONS " + uri + " ICAP/1.0\r\nHost: gw.test\r\n\r\n", want: []string{"200"},
		})
	}
	for name, send := range map[string]string{
		"bare LF after request line": "OPTIONS icap://gw.test/reqmod ICAP/1.0\nHost: gw.test\r\n\r\n",
		"bare LF everywhere":         "OPTIONS icap://gw.test/reqmod ICAP/1.0\nHost: gw.test\n\n",
		"bare CR in request line":    "OPTIONS icap://gw.test/reqmod\r ICAP/1.0\r\nHost: gw.test\r\n\r\n",
		"CR CR LF":                   "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\r\nHost: gw.test\r\n\r\n",
		"empty request":              "\r\n\r\n",
		"http request":               "GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n",
	} {
		cases = append(cases, refused(name, 400, send))
	}
	return cases
}

func headerCases() []conformance {
	var cases []conformance
	for i, lines := range []string{
		"Host : gw.test\r\n",
		"Host: gw.test\r\n folded\r\n",
		"Host: gw.test\r\n\tfolded\r\n",
		"Host: gw.test\r\nX Y: 1\r\n",
		"Host: gw.test\r\n: 1\r\n",
		"Host: gw.test\r\nnocolon\r\n",
		"Host: gw.test\r\nX-A: a\x00b\r\n",
		"Host: gw.test\r\nX-A: a\x01b\r\n",
		"Host: gw.test\r\nX-A: a\x7fb\r\n",
		"Host: gw.test\r\nX-A: a\rb\r\n",
		"Host: gw.test\r\nX-A: a\nb\r\n",
		"Host: gw.test\r\nX-\xffA: a\r\n",
		"Host: gw.test\r\nX(A): a\r\n",
		"Host: gw.test\r\nHost: gw.test\r\n",
		"host: gw.test\r\nHOST: other\r\n",
		"X-A: a\r\n",
		"",
		"Host: gw.test\r\nEncapsulated: null-body=0\r\nEncapsulated: null-body=0\r\n",
		"Host: gw.test\r\nPreview: 0\r\n",
	} {
		cases = append(cases, refused(fmt.Sprintf("header %d", i), 400, "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\n"+lines+"\r\n"))
	}
	for i, lines := range []string{
		"host:gw.test\r\n", "HOST: \t gw.test \t\r\n", "Host:\r\n", "Host: gw.test\r\nX-Empty:\r\n", "Host: gw.test\r\nX-Utf8: caf\xc3\xa9\r\n", "Host: gw.test\r\nX-Tab: a\tb\r\n",
		"Host: gw.test\r\nEncapsulated: null-body=0\r\n", "Host: gw.test\r\n!#$%&'*+-.^_`|~9: token\r\n", "Host: gw.test\r\nX-Twice: 1\r\nX-Twice: 2\r\n",
	} {
		cases = append(cases, conformance{name: fmt.Sprintf("good header %d", i), send: "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\n" + lines + "\r\n", want: []string{"200"}})
	}
	for i, value := range []string{"close", "Close", "keep-alive, close", "close , x"} {
		cases = append(cases, conformance{
			name: fmt.Sprintf("connection close %d", i), send: reqmodHead("/forward", "Allow: 204\r\nConnection: "+value+"\r\n", "null-body"), want: []string{"204"}, closes: true,
		})
	}
	cases = append(cases, conformance{
		name: "connection keep-alive", send: reqmodHead("/forward", "Allow: 204\r\nConnection: keep-alive\r\n", "null-body"), want: []string{"204"}, has: []string{"!Connection"},
	})
	return cases
}

func optionsCases() []conformance {
	options := func(service, lines, body string) string {
		return "OPTIONS icap://gw.test/" + service + " ICAP/1.0\r\nHost: gw.test\r\n" + lines + "\r\n" + body
	}
	fields := []string{
		"Service: Sluice/test", "Istag: \"tag-1\"", "Encapsulated: null-body=0", "Max-Connections: 5000", "Options-Ttl: 3600", "Allow: 204, 206", "Preview: 1024",
		"Transfer-Preview: *", "X-Include: X-Client-IP, X-Client-Username, X-Authenticated-User, X-Client-Groups, X-Authenticated-Groups",
	}
	cases := []conformance{
		{name: "options reqmod", send: options("reqmod", "", ""), want: []string{"200"}, has: append([]string{"Methods: REQMOD", "Service-Id: reqmod"}, fields...)},
		{name: "options respmod", send: options("respmod", "", ""), want: []string{"200"}, has: append([]string{"Methods: RESPMOD", "Service-Id: respmod"}, fields...)},
		{name: "options with body", send: options("reqmod", "Encapsulated: opt-body=0\r\n", chunked("hello", 2, "0")), want: []string{"200"}},
		{name: "options with empty body", send: options("reqmod", "Encapsulated: opt-body=0\r\n", chunked("", 2, "0")), want: []string{"200"}},
		{name: "options with trailer", send: options("reqmod", "Encapsulated: opt-body=0\r\n", "2\r\nab\r\n0\r\nX-T: 1\r\n\r\n"), want: []string{"200"}},
		{name: "options closes", send: options("reqmod", "Connection: close\r\n", ""), want: []string{"200"}, closes: true},
		refused("options with large body", 400, options("reqmod", "Encapsulated: opt-body=0\r\n", chunked(strings.Repeat("x", 70_000), 10_000, "0"))),
		refused("options with bad body", 400, options("reqmod", "Encapsulated: opt-body=0\r\n", "zz\r\n")),
		refused("options with req-body", 400, options("reqmod", "Encapsulated: req-body=0\r\n", chunked("", 1, "0"))),
		refused("options with req-hdr", 400, options("reqmod", "Encapsulated: req-hdr=0, null-body=10\r\n", "0123456789")),
		refused("options opt-body not at 0", 400, options("reqmod", "Encapsulated: opt-body=1\r\n", "x")),
	}
	return cases
}

func encapsulatedCases() []conformance {
	const req = "GET http://origin.test/forward HTTP/1.1\r\nHost: origin.test\r\n\r\n"
	const res = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
	const body = "2\r\nhi\r\n0\r\n\r\n"
	with := func(method, value, rest string) string {
		return method + " icap://gw.test/" + strings.ToLower(method) + " ICAP/1.0\r\nHost: gw.test\r\nAllow: 204\r\nEncapsulated: " + value + "\r\n\r\n" + rest
	}
	rq, rs := len(req), len(req)+len(res)
	var cases []conformance
	for i, c := range []struct{ method, value, rest string }{
		{"REQMOD", "", req},
		{"REQMOD", "req-hdr", req},
		{"REQMOD", "req-hdr=0", req},
		{"REQMOD", fmt.Sprintf("null-body=%d", rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=1, null-body=%d", rq+1), "x" + req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d,", rq), req},
		{"REQMOD", fmt.Sprintf(", req-hdr=0, null-body=%d", rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0; null-body=%d", rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0 null-body=%d", rq), req},
		{"REQMOD", fmt.Sprintf("null-body=%d, req-hdr=0", rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d, null-body=%d", rq, rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, req-hdr=%d, null-body=%d", rq, 2*rq), req + req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, req-body=%d, null-body=%d", rq, rq+9), req + body},
		{"REQMOD", fmt.Sprintf("req-hdr=0, res-body=%d", rq), req + body},
		{"REQMOD", fmt.Sprintf("req-hdr=0, opt-body=%d", rq), req + body},
		{"REQMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, req-body=%d", rq, rs), req + res + body},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d", rq-1), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d", rq-2), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d", rq+1), req + "x"},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d", rq+2), req + "\r\n"},
		{"REQMOD", "req-hdr=0, null-body=0", req},
		{"REQMOD", "req-hdr=0, null-body=-1", req},
		{"REQMOD", "req-hdr=-0, null-body=" + fmt.Sprint(rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=+%d", rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=0x%x", rq), req},
		{"REQMOD", "req-hdr=0, null-body=99999999999999999999", req},
		{"REQMOD", "req-hdr=0, null-body=18446744073709551682", req},
		{"REQMOD", "req-hdr=0, null-body=4294967362", req},
		{"REQMOD", "req-hdr=0, null-body=2147483648", req},
		{"REQMOD", "req-hdr=0, null-body=5000", req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body= %d", rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr =0, null-body=%d", rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, nul-body=%d", rq), req},
		{"REQMOD", fmt.Sprintf("REQ-HDR=0, NULL-BODY=%d", rq), req},
		{"REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d.5", rq), req},
		{"RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, req-body=%d", rq, rs), req + res + body},
		{"RESPMOD", fmt.Sprintf("res-hdr=0, req-hdr=%d, res-body=%d", len(res), rs), res + req + body},
		{"RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, res-body=%d", rs, rq), req + res + body},
		{"RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, res-body=%d", rq, rq), req + res + body},
		{"RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, res-body=%d", rq-3, rs), req + res + body},
		{"RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, res-body=%d", rq, rs-3), req + res + body},
		{"RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, opt-body=%d", rq, rs), req + res + body},
		{"RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, res-body=%d, null-body=%d", rq, rs, rs), req + res + body},
	} {
		cases = append(cases, refused(fmt.Sprintf("encapsulated %d", i), 400, with(c.method, c.value, c.rest)))
	}
	cases = append(cases,
		refused("encapsulated missing", 400, "REQMOD icap://gw.test/reqmod ICAP/1.0\r\nHost: gw.test\r\n\r\n"),
		refused("encapsulated twice", 400, with("REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d\r\nEncapsulated: req-hdr=0, null-body=%d", rq, rq), req)),
		conformance{name: "encapsulated reqmod null-body", send: with("REQMOD", fmt.Sprintf("req-hdr=0, null-body=%d", rq), req), want: []string{"204"},
			seen: "request GET http://origin.test/forward 0 len=-1 body=false user= groups= addr="},
		conformance{name: "encapsulated without space", send: with("REQMOD", fmt.Sprintf("req-hdr=0,null-body=%d", rq), req), want: []string{"204"}},
		conformance{name: "encapsulated with tabs", send: with("REQMOD", fmt.Sprintf("req-hdr=0 \t,\t null-body=%d", rq), req), want: []string{"204"}},
		conformance{name: "encapsulated reqmod req-body", send: with("REQMOD", fmt.Sprintf("req-hdr=0, req-body=%d", rq), req+body), want: []string{"204"},
			seen: "request GET http://origin.test/forward 0 len=-1 body=true user= groups= addr="},
		conformance{name: "encapsulated reqmod without header", send: with("REQMOD", "req-body=0", body), want: []string{"204"},
			seen: "request   0 len=-1 body=true user= groups= addr="},
		conformance{name: "encapsulated respmod", send: with("RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, res-body=%d", rq, rs), req+res+body), want: []string{"204"},
			seen: "response GET http://origin.test/forward 200 len=2 body=true user= groups= addr="},
		conformance{name: "encapsulated respmod null-body", send: with("RESPMOD", fmt.Sprintf("req-hdr=0, res-hdr=%d, null-body=%d", rq, rs), req+res), want: []string{"204"},
			seen: "response GET http://origin.test/forward 200 len=2 body=false user= groups= addr="},
		conformance{name: "encapsulated respmod without request", send: with("RESPMOD", fmt.Sprintf("res-hdr=0, res-body=%d", len(res)), res+body), want: []string{"204"},
			seen: "response   200 len=2 body=true user= groups= addr="},
		conformance{name: "encapsulated respmod without response header", send: with("RESPMOD", fmt.Sprintf("req-hdr=0, res-body=%d", rq), req+body), want: []string{"204"},
			seen: "response GET http://origin.test/forward 200 len=-1 body=true user= groups= addr="},
		conformance{name: "encapsulated respmod body alone", send: with("RESPMOD", "res-body=0", body), want: []string{"204"}},
	)
	return cases
}

// goodRequest wraps one HTTP request head as a REQMOD that is forwarded.
func goodRequest(name, req, seen string) conformance {
	return conformance{name: name, send: reqmodWith(req, "Allow: 204\r\n", "null-body"), want: []string{"204"}, seen: seen}
}

func httpHeadCases() []conformance {
	var cases []conformance
	for i, req := range []string{
		"GET http://h/forward HTTP/1.1\nHost: h\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nHost: h\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nHost: h\r\n\n",
		"GET http://h/forward HTTP/1.1\r\nHost : h\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nHost: h\r\n x\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\n Host: h\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nX: a\x00\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nX: a\x0b\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nX: 123456789\x01bcdefgh\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nX: 123456789\x7fbcdefgh\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nX\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nHost: h\r\n\r\nX: y\r\n\r\n",
		"GET  http://h/forward HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET http://h/forward  HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET http://h/forward HTTP/1.1 \r\nHost: h\r\n\r\n",
		"GET http://h/for ward HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET http://h/forward\r\nHost: h\r\n\r\n",
		"GET http://h/forward HTTP/11\r\nHost: h\r\n\r\n",
		"GET http://h/forward http/1.1\r\nHost: h\r\n\r\n",
		"GET http://h/forward ICAP/1.0\r\nHost: h\r\n\r\n",
		"G(T http://h/forward HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET http://h/forward\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
		"\r\nGET http://h/forward HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST http://h/forward HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"POST http://h/forward HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"POST http://h/forward HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
		"POST http://h/forward HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
		"POST http://h/forward HTTP/1.1\r\nContent-Length: 0x10\r\n\r\n",
		"POST http://h/forward HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST http://h/forward HTTP/1.1\r\nContent-Length:\r\n\r\n",
	} {
		cases = append(cases, refused(fmt.Sprintf("http request %d", i), 400, reqmodWith(req, "Allow: 204\r\n", "null-body")))
	}
	for i, res := range []string{
		"HTTP/1.1 200 OK\nX: y\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1 abc OK\r\n\r\n",
		"HTTP/1.1\r\n\r\n",
		"HTTP/1.1 200 O\x01K\r\n\r\n",
		"ICY 200 OK\r\n\r\n",
		"http/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 -20 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: y\r\n\tz\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\n",
	} {
		req := "GET http://h/forward HTTP/1.1\r\nHost: h\r\n\r\n"
		cases = append(cases, refused(fmt.Sprintf("http response %d", i), 400, respmodWith(req, res, "Allow: 204\r\n", "null-body")))
	}
	for i, c := range []struct{ res, seen string }{
		{"HTTP/1.1 200\r\n\r\n", "200 len=-1"},
		{"HTTP/1.1 200 \r\n\r\n", "200 len=-1"},
		{"HTTP/1.0 404 Not Found\r\n\r\n", "404 len=-1"},
		{"HTTP/1.1 999 Odd\r\n\r\n", "999 len=-1"},
		{"HTTP/2.0 200 OK\r\n\r\n", "200 len=-1"},
		{"HTTP/1.1 200 caf\xc3\xa9\r\n\r\n", "200 len=-1"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", "200 len=7"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", "200 len=-1"},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", "304 len=1000"},
	} {
		cases = append(cases, conformance{
			name: fmt.Sprintf("good http response %d", i), send: respmodWith("GET http://h/forward HTTP/1.1\r\nHost: h\r\n\r\n", c.res, "Allow: 204\r\n", "null-body"),
			want: []string{"204"}, seen: "response GET http://h/forward " + c.seen + " body=false user= groups= addr=",
		})
	}
	return cases
}

func targetCases() []conformance {
	var cases []conformance
	for i, req := range []string{
		"GET /forward HTTP/1.1\r\n\r\n",
		"GET /forward HTTP/1.1\r\nHost:\r\n\r\n",
		"GET /forward HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET http://h/forward HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		"GET /forward HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"GET /forward HTTP/1.1\r\nHost: u@a\r\n\r\n",
		"GET /forward HTTP/1.1\r\nHost: a?b\r\n\r\n",
		"GET /forward HTTP/1.1\r\nHost: a#b\r\n\r\n",
		"GET /forward HTTP/1.1\r\nHost: a b\r\n\r\n",
		"GET forward HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET ?x HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET ://h/x HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT origin.test HTTP/1.1\r\nHost: origin.test\r\n\r\n",
		"CONNECT :443 HTTP/1.1\r\nHost: origin.test\r\n\r\n",
		"CONNECT origin.test: HTTP/1.1\r\nHost: origin.test\r\n\r\n",
		"CONNECT http://origin.test:443/ HTTP/1.1\r\nHost: origin.test\r\n\r\n",
	} {
		cases = append(cases, refused(fmt.Sprintf("target %d", i), 400, reqmodWith(req, "Allow: 204\r\n", "null-body")))
	}
	for i, c := range []struct{ req, seen string }{
		{"GET /forward HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET http://a.test/forward"},
		{"GET /forward?x=/y HTTP/1.1\r\nhost: a.test:8080\r\n\r\n", "GET http://a.test:8080/forward?x=/y"},
		{"GET https://h/forward HTTP/1.1\r\nHost: other\r\n\r\n", "GET https://h/forward"},
		{"GET ftp://h/forward HTTP/1.1\r\n\r\n", "GET ftp://h/forward"},
		{"OPTIONS * HTTP/1.1\r\nHost: a.test\r\nX-Script: /forward\r\n\r\n", "OPTIONS http://a.test"},
		{"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test\r\nX-Script: /forward\r\n\r\n", "CONNECT origin.test:443"},
		{"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nX-Script: /forward\r\n\r\n", "CONNECT [2001:db8::1]:443"},
		{"PROPFIND /forward HTTP/1.1\r\nHost: [::1]\r\n\r\n", "PROPFIND http://[::1]/forward"},
		{"GET /forward\xc3\xa9 HTTP/1.1\r\nHost: a.test\r\nX-Script: /forward\r\n\r\n", "GET http://a.test/forward\xc3\xa9"},
	} {
		cases = append(cases, goodRequest(fmt.Sprintf("good target %d", i), c.req, "request "+c.seen+" 0 len=-1 body=false user= groups= addr="))
	}
	return cases
}
