package icap

import (
	"fmt"
	"strings"
)

const echoed = "200 HTTP/1.1 200 OK "

func previewCases() []conformance {
	head := func(path, preview string) string { return respmodHead(path, "Preview: "+preview+"\r\n", "res-body") }
	cases := []conformance{
		{name: "preview n with ieof", send: head("/all/forward", "4") + chunked("abcd", 4, "0; ieof"), want: []string{"204"}},
		{name: "preview n-1 with ieof", send: head("/all/forward", "5") + chunked("abcd", 4, "0; ieof"), want: []string{"204"}},
		{name: "preview n without ieof", send: head("/all/forward", "4") + chunked("abcd", 4, "0"), then: []string{chunked("efgh", 4, "0")}, want: []string{"100", echoed + "{abcdefgh}"}},
		{name: "preview n, nothing follows", send: head("/all/forward", "4") + chunked("abcd", 4, "0"), then: []string{chunked("", 4, "0")}, want: []string{"100", echoed + "{abcd}"}},
		// "Up to the number of bytes advertised" (RFC 3507 section 4.5).
		{name: "preview n-1 without ieof", send: head("/all/forward", "5") + chunked("abcd", 4, "0"), then: []string{chunked("efgh", 4, "0")}, want: []string{"100", echoed + "{abcdefgh}"}},
		{name: "preview 0", send: head("/all/forward", "0") + chunked("", 4, "0"), then: []string{chunked("abcd", 4, "0")}, want: []string{"100", echoed + "{abcd}"}},
		{name: "preview 0 ieof", send: head("/all/forward", "0") + chunked("", 4, "0; ieof"), want: []string{"204"}},
		{name: "preview 0, empty body follows", send: head("/all/forward", "0") + chunked("", 4, "0"), then: []string{chunked("", 4, "0")}, want: []string{"100", echoed + "{}"}},
		{name: "preview in many chunks", send: head("/prefix/forward", "8") + chunked("abcdefgh", 1, "0; ieof"), want: []string{"204"}},
		{name: "preview in many chunks echoed", send: head("/all/forward", "8") + chunked("abcdefgh", 3, "0"), then: []string{chunked("ijkl", 3, "0")}, want: []string{"100", echoed + "{abcdefghijkl}"}},
		{name: "preview ieof spelt IEOF", send: head("/all/forward", "4") + chunked("abcd", 4, "0;IEOF"), want: []string{"204"}},
		{name: "preview ieof among others", send: head("/all/forward", "4") + chunked("abcd", 4, "0; a=b ;ieof; c"), want: []string{"204"}},
		{name: "preview ieof with trailer", send: head("/all/forward", "4") + "4\r\nabcd\r\n0; ieof\r\nX-T: 1\r\n\r\n", want: []string{"204"}},
		{name: "ieof with a value is another extension", send: head("/all/forward", "4") + chunked("abcd", 4, "0; ieof=1"), then: []string{chunked("", 4, "0")}, want: []string{"100", echoed + "{abcd}"}},
		{name: "preview decided early", send: head("/forward", "4") + chunked("abcd", 4, "0"), want: []string{"204"}},
		{name: "preview decided on prefix", send: head("/prefix/forward", "4") + chunked("abcd", 4, "0"), want: []string{"204"}},
		{name: "preview with null-body", send: respmodHead("/forward", "Preview: 0\r\n", "null-body"), want: []string{"204"}},
		{name: "preview with null-body inspected", send: respmodHead("/all/forward", "Preview: 0\r\n", "null-body"), want: []string{"204"}},
		{name: "preview then allow 204", send: respmodHead("/all/forward", "Allow: 204\r\nPreview: 4\r\n", "res-body") + chunked("abcd", 4, "0"), then: []string{chunked("efgh", 4, "0")}, want: []string{"100", "204"}},
		{name: "preview blocked", send: head("/prefix/block", "4") + chunked("abcd", 4, "0"), want: []string{"200 HTTP/1.1 403 Forbidden {" + page + "}"}},
		{name: "preview blocked behind 100", send: head("/all/block", "4") + chunked("abcd", 4, "0"), then: []string{chunked("efgh", 4, "0")}, want: []string{"100", "200 HTTP/1.1 403 Forbidden {" + page + "}"}},
		{name: "preview reqmod", send: reqmodHead("/all/forward", "Preview: 4\r\n", "req-body") + chunked("abcd", 4, "0"), then: []string{chunked("efgh", 4, "0")}, want: []string{"100", "200 POST http://origin.test/all/forward HTTP/1.1 {abcdefgh}"}},
		{name: "preview edited without 206", send: head("/strip?field=Content-Type", "4") + chunked("abcd", 4, "0"), then: []string{chunked("efgh", 4, "0")}, want: []string{"100", echoed + "{abcdefgh}"}, has: []string{"!Content-Type"}},
		{name: "preview at the bound", send: head("/all/forward", "65536") + chunked(strings.Repeat("x", 65536), 1000, "0; ieof"), want: []string{"204"}},
		refused("preview n+1 with ieof", 400, head("/all/forward", "3")+chunked("abcd", 4, "0; ieof")),
		refused("preview n+1 without ieof", 400, head("/all/forward", "3")+chunked("abcd", 4, "0")),
		refused("preview 0 with data", 400, head("/all/forward", "0")+chunked("a", 4, "0; ieof")),
		refused("ieof not at the last chunk", 400, head("/all/forward", "4")+"4; ieof\r\nabcd\r\n0\r\n\r\n"),
		refused("malformed behind 100", 400, "").with(head("/all/forward", "4")+chunked("abcd", 4, "0"), "zz\r\n"),
		refused("malformed chunk end behind 100", 400, "").with(head("/all/forward", "4")+chunked("abcd", 4, "0"), "1\r\nabc\r\n"),
	}
	for i, v := range []string{"", "-1", "+4", "4 4", "0x4", "4, 4", "65537", "99999999999999999999", "four", "4.0", "4;a"} {
		cases = append(cases, refused(fmt.Sprintf("preview value %d", i), 400, head("/all/forward", v)+chunked("abcd", 4, "0; ieof")))
	}
	return append(cases, refused("preview twice", 400, head("/all/forward", "4\r\nPreview: 4")+chunked("abcd", 4, "0; ieof")))
}

// with makes the case send something else, and more behind "100 Continue".
func (tc conformance) with(send, then string) conformance {
	tc.send, tc.then = send, []string{then}
	tc.want = append([]string{"100"}, tc.want...)
	return tc
}

func chunkCases() []conformance {
	head := respmodHead("/all/forward", "", "res-body")
	var cases []conformance
	for i, body := range []string{
		"-1\r\n", "+1\r\na\r\n0\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", " 1\r\na\r\n0\r\n\r\n", "1 \r\na\r\n0\r\n\r\n", "\t1\r\na\r\n0\r\n\r\n", "1\t\r\na\r\n0\r\n\r\n", "g\r\n", "1g\r\na\r\n",
		"\r\n", "\n", ";x\r\n", "1\na\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\na\r\n0\n\r\n", "1\r\na\r\n0\r\n\n", "1\r\nab\r\n0\r\n\r\n", "2\r\na\r\n0\r\n\r\n", "1\r\na0\r\n\r\n",
		"1\r\r\na\r\n0\r\n\r\n", "1\rx\r\na\r\n", "1\x00\r\na\r\n", "1\x0b\r\na\r\n", "1;\x00\r\na\r\n0\r\n\r\n", "1;a=\"\x01\"\r\na\r\n0\r\n\r\n", "1;a=\"b\r\na\r\n0\r\n\r\n", "1;a=\"b\\\r\na\r\n0\r\n\r\n",
		"1;\r\na\r\n0\r\n\r\n", "1;;a\r\na\r\n0\r\n\r\n", "1;=b\r\na\r\n0\r\n\r\n", "1;a=\r\na\r\n0\r\n\r\n", "1;a b\r\na\r\n0\r\n\r\n", "1,a\r\na\r\n0\r\n\r\n", "1 a\r\na\r\n0\r\n\r\n", "1;a=b c\r\na\r\n0\r\n\r\n",
		"10000000000000000\r\n", "ffffffffffffffff\r\n", "fffffffffffffffff\r\n", "8000000000000000\r\n", "0000000000000001\r\na\r\n0\r\n\r\n", "1;" + strings.Repeat("a", 1100) + "\r\na\r\n0\r\n\r\n",
		strings.Repeat("1;"+strings.Repeat("a", 900)+"\r\na\r\n", 20) + "0\r\n\r\n",
		"1\r\na\r\n0\r\nnocolon\r\n\r\n", "1\r\na\r\n0\r\nX : y\r\n\r\n", "1\r\na\r\n0\r\nX: \x01\r\n\r\n", "1\r\na\r\n0\r\nX: y\r\n z\r\n\r\n", "1\r\na\r\n0\r\nX: y\n\r\n",
		"1\r\na\r\n0\r\nX: " + strings.Repeat("a", 9000) + "\r\n\r\n", "1\r\na\r\n0\r\n" + strings.Repeat("X: y\r\n", 2000) + "\r\n", "٣\r\nabc\r\n0\r\n\r\n",
	} {
		cases = append(cases, refused(fmt.Sprintf("chunk %d", i), 400, head+body))
	}
	for i, c := range []struct{ body, want string }{
		{"1\r\na\r\n0\r\n\r\n", "a"}, {"0\r\n\r\n", ""}, {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"}, {"a\r\n0123456789\r\n0\r\n\r\n", "0123456789"}, {"000000000000001\r\na\r\n0\r\n\r\n", "a"},
		{"1;a\r\na\r\n0\r\n\r\n", "a"}, {"1 ; a = b\r\na\r\n0\r\n\r\n", "a"}, {"1;a=\"q \\\" ;=\"\r\na\r\n0\r\n\r\n", "a"}, {"1;a;b=c;d=\"e\"\r\na\r\n00;x\r\n\r\n", "a"}, {"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "abc"},
		{"1\r\na\r\n0\r\nX-T: y\r\nX-U:\r\n\r\n", "a"}, {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"}, {"5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"}, {"1\r\na\r\n0; ieof\r\n\r\n", "a"},
	} {
		cases = append(cases, conformance{name: fmt.Sprintf("good chunk %d", i), send: head + c.body, want: []string{echoed + "{" + c.want + "}"}})
	}
	return cases
}

func answerCases() []conformance {
	body := chunked("abcd", 3, "0")
	res := func(path, extra string) string { return respmodHead(path, extra, "res-body") + body }
	req := func(path, extra string) string { return reqmodHead(path, extra, "req-body") + body }
	get := func(path, extra string) string { return reqmodHead(path, extra, "null-body") }
	post := "200 POST http://origin.test"
	return []conformance{
		{name: "204 when allowed", send: res("/forward", "Allow: 204\r\n"), want: []string{"204"}, has: []string{"Encapsulated: null-body=0", "!X-Response-Info"}},
		{name: "204 when allowed after all", send: res("/all/forward", "Allow: 204\r\n"), want: []string{"204"}},
		{name: "204 with allow 206 too", send: res("/all/forward", "Allow: 204, 206\r\n"), want: []string{"204"}},
		{name: "204 in a list", send: res("/forward", "Allow: trailers, 204\r\n"), want: []string{"204"}},
		{name: "204 in a second line", send: res("/forward", "Allow: trailers\r\nAllow: 204\r\n"), want: []string{"204"}},
		{name: "no 204 with allow 206 alone", send: res("/forward", "Allow: 206\r\n"), want: []string{echoed + "{abcd}"}},
		{name: "no 204 with allow 2040", send: res("/forward", "Allow: 2040\r\n"), want: []string{echoed + "{abcd}"}},
		{name: "no 204 when not allowed", send: res("/forward", ""), want: []string{echoed + "{abcd}"}, has: []string{"X-Odd:   spaced"}},
		{name: "echo after all", send: res("/all/forward", ""), want: []string{echoed + "{abcd}"}},
		{name: "echo after prefix", send: res("/prefix/forward", ""), want: []string{echoed + "{abcd}"}},
		{name: "echo null-body", send: respmodHead("/forward", "", "null-body"), want: []string{"200 HTTP/1.1 200 OK"}},
		{name: "echo request", send: req("/forward", ""), want: []string{post + "/forward HTTP/1.1 {abcd}"}},
		{name: "echo request null-body", send: get("/forward", ""), want: []string{"200 GET http://origin.test/forward HTTP/1.1"}},
		{name: "echo without header", send: "REQMOD icap://gw.test/reqmod ICAP/1.0\r\nHost: gw.test\r\nEncapsulated: req-body=0\r\n\r\n" + body, want: []string{"200 {abcd}"}},
		{name: "strip one field", send: get("/strip?field=Range", "Allow: 204\r\n"), want: []string{"200 GET http://origin.test/strip?field=Range HTTP/1.1"}, has: []string{"Host: origin.test", "!Range", "X-Response-Info: Modified"}},
		{name: "strip ignores case", send: get("/strip?field=rANGE", "Allow: 204\r\n"), want: []string{"200 GET http://origin.test/strip?field=rANGE HTTP/1.1"}, has: []string{"!Range"}},
		{name: "strip what is not there", send: get("/strip?field=If-Range", "Allow: 204\r\n"), want: []string{"204"}},
		{name: "strip two fields", send: get("/strip?field=Range,Host", "Allow: 204, 206\r\n"), want: []string{"200 GET http://origin.test/strip?field=Range,Host HTTP/1.1"}, has: []string{"!Range", "!Host"}},
		{name: "strip with 206", send: req("/strip?field=Range", "Allow: 204, 206\r\n"), want: []string{"206 POST http://origin.test/strip?field=Range HTTP/1.1 {} +orig 0"}, has: []string{"!Range"}},
		{name: "strip without 206", send: req("/strip?field=Range", "Allow: 204\r\n"), want: []string{post + "/strip?field=Range HTTP/1.1 {abcd}"}, has: []string{"!Range"}},
		// Allow: 206 alone permits it inside the preview only.
		{name: "strip with 206 outside preview not allowed", send: req("/strip?field=Range", "Allow: 206\r\n"), want: []string{post + "/strip?field=Range HTTP/1.1 {abcd}"}},
		{name: "strip with 206 in preview", send: reqmodHead("/strip?field=Range", "Allow: 206\r\nPreview: 4\r\n", "req-body") + chunked("abcd", 4, "0"), want: []string{"206 POST http://origin.test/strip?field=Range HTTP/1.1 {} +orig 0"}},
		{name: "strip with 206 behind ieof not allowed", send: reqmodHead("/strip?field=Range", "Allow: 206\r\nPreview: 4\r\n", "req-body") + chunked("abcd", 4, "0; ieof"), want: []string{post + "/strip?field=Range HTTP/1.1 {abcd}"}},
		{name: "strip with 206 behind ieof", send: reqmodHead("/strip?field=Range", "Allow: 204, 206\r\nPreview: 4\r\n", "req-body") + chunked("abcd", 4, "0; ieof"), want: []string{"206 POST http://origin.test/strip?field=Range HTTP/1.1 {} +orig 0"}},
		{name: "strip with 206 behind 100", send: reqmodHead("/all/strip?field=Range", "Allow: 206\r\nPreview: 4\r\n", "req-body") + chunked("abcd", 4, "0"), then: []string{chunked("ef", 4, "0")}, want: []string{"100", post + "/all/strip?field=Range HTTP/1.1 {abcdef}"}},
		{name: "strip respmod with 206", send: res("/strip?field=Content-Type", "Allow: 204, 206\r\n"), want: []string{"206 HTTP/1.1 200 OK {} +orig 0"}, has: []string{"X-Odd: spaced", "!Content-Type"}},
		{name: "replace", send: res("/all/replace?with=clean!", "Allow: 204\r\n"), want: []string{echoed + "{clean!}"}, has: []string{"Content-Length: 6", "X-Response-Info: Modified"}},
		{name: "replace drops what described the body", send: respmodWith("GET http://h/all/replace?with=xyz HTTP/1.1\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\nETag: \"a\"\r\nDigest: d\r\nContent-MD5: m\r\nAccept-Ranges: bytes\r\nTransfer-Encoding: chunked\r\nX-Kept: yes\r\n\r\n", "", "res-body") + body,
			want: []string{echoed + "{xyz}"}, has: []string{"Content-Length: 3", "X-Kept: yes", "!Content-Encoding", "!ETag", "!Digest", "!Content-MD5", "!Accept-Ranges", "!Transfer-Encoding"}},
		{name: "replace with nothing", send: res("/all/replace", ""), want: []string{echoed + "{}"}, has: []string{"Content-Length: 0"}},
		{name: "replace large", send: res("/all/replace?with=100000", ""), want: []string{echoed + "{300000 bytes}"}, has: []string{"Content-Length: 300000"}},
		{name: "replace cured", send: res("/all/replace?with=ok&threat=Bad", ""), want: []string{echoed + "{ok}"}, has: []string{"X-Infection-Found: Type=0; Resolution=1; Threat=Bad;", "X-Virus-Id: Bad"}},
		{name: "replace in preview", send: respmodHead("/prefix/replace?with=ok", "Preview: 4\r\n", "res-body") + chunked("abcd", 4, "0"), want: []string{echoed + "{ok}"}},
		{name: "passed with threat", send: res("/all/forward?threat=Adware", "Allow: 204\r\n"), want: []string{"204"}, has: []string{"X-Infection-Found: Type=0; Resolution=0; Threat=Adware;", "X-Virus-Id: Adware"}},
		{name: "passed unscanned", send: res("/all/forward?unscanned=1&detail=too+large", "Allow: 204\r\n"), want: []string{"204"}, has: []string{"X-Response-Info: Allowed-Unscanned", "X-Response-Desc: too+large"}},
		{name: "engine without decision", send: res("/nonsense", "Allow: 204\r\n"), want: []string{"500"}, closes: true},
		{name: "engine without decision on body", send: res("/all/inspect", "Allow: 204\r\n"), want: []string{"500"}, closes: true},
	}
}

func replyCases() []conformance {
	body := chunked("abcd", 3, "0")
	res := func(path string) string { return respmodHead(path, "Allow: 204\r\n", "res-body") + body }
	get := func(path string) string { return reqmodHead(path, "Allow: 204\r\n", "null-body") }
	blocked := "200 HTTP/1.1 403 Forbidden {" + page + "}"
	pageFields := []string{"Content-Type: text/html; charset=utf-8", "Content-Language: en", "Cache-Control: no-store", fmt.Sprintf("Content-Length: %d", len(page)), "X-Response-Info: Blocked"}
	return []conformance{
		{name: "block request", send: get("/block"), want: []string{blocked}, has: append([]string{"!Connection"}, pageFields...)},
		{name: "block response", send: res("/block"), want: []string{blocked}, has: pageFields},
		{name: "block response after all", send: res("/all/block"), want: []string{blocked}, has: pageFields},
		{name: "block upload", send: reqmodHead("/all/block", "", "req-body") + body, want: []string{blocked}},
		{name: "block with threat", send: res("/all/block?threat=Eicar-Test&detail=found+in+file"), want: []string{blocked},
			has: []string{"X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test;", "X-Virus-Id: Eicar-Test", "X-Response-Desc: found+in+file"}},
		{name: "threat can't add parameters", send: res("/all/block?threat=a;Resolution"), want: []string{blocked}, has: []string{"X-Infection-Found: Type=0; Resolution=2; Threat=a_Resolution;"}},
		{name: "block large page", send: get("/block?pagesize=100000"), want: []string{"200 HTTP/1.1 403 Forbidden {100000 bytes}"}},
		{name: "block HEAD", send: reqmodWith("HEAD http://h/block HTTP/1.1\r\nHost: h\r\n\r\n", "", "null-body"), want: []string{"200 HTTP/1.1 403 Forbidden"}, has: []string{fmt.Sprintf("Content-Length: %d", len(page))}},
		{name: "block response to HEAD", send: respmodWith("HEAD http://h/block HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "", "null-body"), want: []string{"200 HTTP/1.1 403 Forbidden"}},
		{name: "block CONNECT", send: reqmodWith("CONNECT h:443 HTTP/1.1\r\nHost: h\r\nX-Script: /block\r\n\r\n", "", "null-body"), want: []string{blocked}},
		{name: "block with empty page", send: get("/blockempty"), want: []string{"200 HTTP/1.1 403 Forbidden"}, has: []string{"Content-Length: 0"}},
		{name: "block without reply", send: get("/blocknil"), want: []string{"200 HTTP/1.1 403 Forbidden {This transfer was blocked.\n}"}},
		{name: "drop answers with its reply", send: get("/drop"), want: []string{"200 HTTP/1.1 403 Forbidden {drop}"}},
		{name: "redirect", send: get("/redirect?to=https://a.test/x"), want: []string{"200 HTTP/1.1 302 Found"}, has: []string{"Location: https://a.test/x", "Cache-Control: no-store"}},
		{name: "redirect response", send: res("/redirect?to=https://a.test/x"), want: []string{"200 HTTP/1.1 302 Found"}, has: []string{"Location: https://a.test/x"}},
		{name: "block without allow", send: respmodHead("/block", "", "res-body") + body, want: []string{blocked}},
		{name: "block closes when asked", send: reqmodHead("/block", "Connection: close\r\n", "null-body"), want: []string{blocked}, closes: true},
	}
}

// earlyCases are answers that are ready while the body still arrives.
func earlyCases() []conformance {
	big := strings.Repeat("0123456789abcdef", 8192)
	bigBody := chunked(big, 5000, "0")
	blocked := "200 HTTP/1.1 403 Forbidden {" + page + "}"
	return []conformance{
		{name: "early block", send: reqmodHead("/block", "", "req-body") + bigBody, want: []string{blocked}},
		{name: "early block with large page", send: reqmodHead("/block?pagesize=1000000", "", "req-body") + bigBody, want: []string{"200 HTTP/1.1 403 Forbidden {1000000 bytes}"}},
		{name: "early redirect", send: reqmodHead("/redirect?to=http://x", "", "req-body") + bigBody, want: []string{"200 HTTP/1.1 302 Found"}},
		{name: "early 204", send: respmodHead("/forward", "Allow: 204\r\n", "res-body") + bigBody, want: []string{"204"}},
		{name: "early 206", send: respmodHead("/strip?field=X-Odd", "Allow: 204, 206\r\n", "res-body") + bigBody, want: []string{"206 HTTP/1.1 200 OK {} +orig 0"}},
		{name: "early echo", send: respmodHead("/forward", "", "res-body") + bigBody, want: []string{echoed + "{131072 bytes}"}},
		{name: "early echo on prefix", send: respmodHead("/prefix/forward", "", "res-body") + bigBody, want: []string{echoed + "{131072 bytes}"}},
		{name: "early replace", send: respmodHead("/prefix/replace?with=ok", "", "res-body") + bigBody, want: []string{echoed + "{ok}"}},
		{name: "too large passed on", send: respmodHead("/all/forward?limit=1000&onerror=forward", "", "res-body") + bigBody, want: []string{echoed + "{131072 bytes}"}},
		{name: "too large allowed 204", send: respmodHead("/all/forward?limit=1000&onerror=forward", "Allow: 204\r\n", "res-body") + bigBody, want: []string{"204"}},
		{name: "too large blocked", send: respmodHead("/all/forward?limit=1000&onerror=block", "", "res-body") + bigBody, want: []string{blocked}},
		{name: "too large in one piece", send: respmodHead("/all/forward?limit=3&onerror=block", "", "res-body") + chunked("abcd", 4, "0"), want: []string{blocked}},
		{name: "at the limit", send: respmodHead("/all/forward?limit=4&onerror=block", "", "res-body") + chunked("abcd", 4, "0"), want: []string{echoed + "{abcd}"}},
		{name: "large body", send: respmodHead("/all/forward", "", "res-body") + bigBody, want: []string{echoed + "{131072 bytes}"}},
		{name: "large body on disk", send: respmodHead("/all/forward", "", "res-body") + bigBody[:len(bigBody)-5] + bigBody[:len(bigBody)-5] + bigBody, want: []string{echoed + "{393216 bytes}"}},
		conformance{name: "large body bad after the block", send: reqmodHead("/block", "", "req-body") + bigBody[:14*5008] + "zz\r\n", want: []string{blocked}}.closing(),
	}
}

// closing says that the connection ends although the answer did not know yet.
func (tc conformance) closing() conformance {
	tc.send = strings.Replace(tc.send, "Host: gw.test\r\n", "Host: gw.test\r\nConnection: close\r\n", 1)
	tc.closes = true
	return tc
}

func pipelineCases() []conformance {
	get := reqmodHead("/forward", "Allow: 204\r\n", "null-body")
	block := reqmodHead("/block", "", "null-body")
	post := reqmodHead("/all/forward", "", "req-body") + chunked("abcd", 2, "0")
	preview := respmodHead("/all/forward", "Preview: 4\r\n", "res-body") + chunked("abcd", 4, "0; ieof")
	blocked := "200 HTTP/1.1 403 Forbidden {" + page + "}"
	posted := "200 POST http://origin.test/all/forward HTTP/1.1 {abcd}"
	return []conformance{
		{name: "pipeline of two", send: get + get, want: []string{"204", "204"}},
		{name: "pipeline mixed", send: get + post + preview + block + probe, want: []string{"204", posted, "204", blocked, "200"}},
		{name: "pipeline of 200", send: strings.Repeat(get, 200), want: strings.Split(strings.Repeat("204 ", 199)+"204", " ")},
		{name: "pipeline of 50 pages", send: strings.Repeat(block, 50), want: strings.Split(strings.Repeat(blocked+"~", 49)+blocked, "~")},
		{name: "pipeline of bodies", send: strings.Repeat(post, 30), want: strings.Split(strings.Repeat(posted+"~", 29)+posted, "~")},
		{name: "pipeline ends with error", send: get + get + "BAD\r\n\r\n", want: []string{"204", "204", "400"}, closes: true},
		{name: "pipeline nothing after error", send: get + "BAD\r\n\r\n" + get, want: []string{"204", "400"}, closes: true},
		{name: "pipeline nothing after close", send: strings.Replace(get, "Allow", "Connection: close\r\nAllow", 1) + get, want: []string{"204"}, closes: true},
		{name: "pipeline behind early block", send: reqmodHead("/block", "", "req-body") + chunked(strings.Repeat("x", 50000), 999, "0") + get, want: []string{blocked, "204"}},
		refused("stray CRLF between requests", 400, "").after(get, "204", "\r\n"+get),
	}
}

// after puts a good request with its answer before the bad one.
func (tc conformance) after(good, want, bad string) conformance {
	tc.send = good + bad
	tc.want = append([]string{want}, tc.want...)
	return tc
}

func identityCases() []conformance {
	id := func(name, lines, seen string) conformance {
		return conformance{
			name: "identity " + name, send: reqmodHead("/forward", "Allow: 204\r\n"+lines, "null-body"), want: []string{"204"},
			seen: "request GET http://origin.test/forward 0 len=-1 body=false " + seen,
		}
	}
	bad := func(name, lines string) conformance {
		return refused("identity "+name, 400, reqmodHead("/forward", "Allow: 204\r\n"+lines, "null-body"))
	}
	return []conformance{
		id("none", "", "user= groups= addr="),
		id("address", "X-Client-IP: 192.0.2.1\r\n", "user= groups= addr=192.0.2.1"),
		id("address any case", "x-CLIENT-ip:192.0.2.1\r\n", "user= groups= addr=192.0.2.1"),
		id("v6", "X-Client-IP: 2001:db8::1\r\n", "user= groups= addr=2001:db8::1"),
		id("mapped", "X-Client-IP: ::ffff:192.0.2.1\r\n", "user= groups= addr=192.0.2.1"),
		id("dash", "X-Client-IP: -\r\n", "user= groups= addr="),
		id("zone", "X-Client-IP: fe80::1%eth0\r\n", "user= groups= addr="),
		id("user", "X-Client-Username: anna\r\n", "user=anna groups= addr="),
		id("authenticated local", "X-Authenticated-User: TG9jYWw6Ly9hbm5h\r\n", "user=anna groups= addr="),
		id("authenticated winnt", "X-Authenticated-User: V2luTlQ6Ly9ET00vYW5uYQ==\r\n", `user=DOM\anna groups= addr=`),
		id("authenticated ldap", "X-Authenticated-User: TERBUDovL2FkLnRlc3QvYW5uYQ==\r\n", "user=anna groups= addr="),
		id("authenticated plain", "X-Authenticated-User: anna@ad.test\r\n", "user=anna@ad.test groups= addr="),
		id("authenticated plain uri", "X-Authenticated-User: WinNT://DOM/anna\r\n", `user=DOM\anna groups= addr=`),
		id("first name counts", "X-Authenticated-User: bob\r\nX-Client-Username: anna\r\n", "user=anna groups= addr="),
		id("groups", "X-Client-Groups: staff, it\r\n", "user= groups=staff|it addr="),
		id("groups in two lines", "X-Client-Groups: staff\r\nX-Client-Groups: it\r\n", "user= groups=staff|it addr="),
		id("authenticated groups", "X-Authenticated-Groups: TG9jYWw6Ly9zdGFmZg==, TG9jYWw6Ly9pdA==\r\n", "user= groups=staff|it addr="),
		bad("user twice", "X-Client-Username: anna\r\nX-Client-Username: bob\r\n"),
		bad("address twice", "X-Client-IP: 192.0.2.1\r\nX-Client-IP: 192.0.2.2\r\n"),
		bad("control characters in Base64", "X-Authenticated-User: TG9jYWw6Ly9hCmI=\r\n"),
	}
}

func boundCases() []conformance {
	big := strings.Repeat("x", 4096)
	fields := strings.Repeat("X-A: b\r\n", 41)
	return []conformance{
		refused("icap header too large", 400, "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\nHost: gw.test\r\nX-A: "+big+"\r\n\r\n"),
		refused("icap header endless", 400, "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\nHost: gw.test\r\nX-A: "+big+big+big+big+big),
		refused("icap header too many fields", 400, "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\nHost: gw.test\r\n"+fields+"\r\n"),
		refused("http header too large", 400, reqmodWith("GET http://h/forward HTTP/1.1\r\nX: "+big+"\r\n\r\n", "", "null-body")),
		refused("http header too many fields", 400, reqmodWith("GET http://h/forward HTTP/1.1\r\n"+fields+"\r\n", "", "null-body")),
		{name: "icap header of nearly the bound", send: "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\nHost: gw.test\r\nX-A: " + big[:4000] + "\r\n\r\n", want: []string{"200"}},
		{name: "all headers of nearly the bound", send: respmodWith("GET http://h/forward HTTP/1.1\r\nX: "+big[:4000]+"\r\n\r\n", "HTTP/1.1 200 OK\r\nX: "+big[:4000]+"\r\n\r\n", "Allow: 204\r\nX-A: "+big[:3900]+"\r\nPreview: 4096\r\n", "res-body") + chunked(big, 100, "0; ieof"), want: []string{"204"}},
	}
}
