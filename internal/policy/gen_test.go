package policy

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/settings"
	"sluice/internal/tx"
)

// Small worlds in which random rules and random traffic often meet.

var (
	genUsers   = []string{"alice", "bob", `EXAMPLE\carol`, "Иван", "dave@REALM"}
	genGroups  = []string{"Guests", "Staff", "CN=Finance,DC=example", "Ops"}
	genAddrs   = []string{"10.0.0.1", "10.0.1.7", "192.168.1.1", "2001:db8::1", "2001:db8:1::5"}
	genAgents  = []string{"curl/8.5", "Mozilla/5.0 (X11; Linux)", "Wget/1.21"}
	genURLs    = []string{"http://example.com/", "http://www.example.com/ads/banner.png", "https://a.b.test/x?id=tracker", "http://10.1.2.3:8080/setup.exe", "https://example.com:8443/Docs/Report.pdf", "ftp://files.test/pub/a.zip"}
	genMIMEs   = []string{"image/png", "text/html", "application/pdf", "multipart/form-data"}
	genTypes   = []string{"pe", "zip", "pdf", "html"}
	genNames   = []string{"setup.exe", "Report.PDF", "dir/inner.exe", "a"}
	genMethods = []string{"GET", "POST", "CONNECT"}

	genUserPatterns  = []string{"alice", "ALICE", `EXAMPLE\*`, "*", "иван", "?ob", "regex:^[ab]", "regex:(?i)carol|dave", "zed", "*@realm"}
	genGroupPatterns = []string{"Guests", "staff", "CN=*", "*", "Nobody", "regex:inan", "O?s"}
	genAddrPatterns  = []string{"10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "10.0.0.1-10.0.1.9", "192.168.0.0/16", "2001:db8::/32", "2001:db8::1", "0.0.0.0/0", "::/0"}
	genAgentPatterns = []string{"curl/*", "*mozilla*", "regex:^Wget", "regex:Linux|curl", "*"}
	genURLPatterns   = []string{"example.com", "www.example.com", "https://example.com", "*.example.com", "*/ads", "example.com/docs", "example.com:8443", "*.exe", "*/*.exe", "10.1.2.3", "ftp://*", "test", "regex:track(er|ing)", "regex:^https?://", "regex:(?i)REPORT", "*/*tracker*", "a.b.test/x?id=*", "ex?mple.com"}
	genMIMEPatterns  = []string{"image/*", "text/html", "application/pdf", "*/*", "multipart/*"}
	genNamePatterns  = []string{"*.exe", "report.pdf", "?", "regex:^[a-z]+\\.exe$", "*"}
	genSizes         = []string{">1KB", "<=1KB", "=0", "1B-2KB"}
)

func hash16(n int) (h [16]byte) { h[0] = byte(n); return h }
func hash32(n int) (h [32]byte) { h[0] = byte(n); return h }

func pick(t *rapid.T, from []string) settings.Strings {
	n := rapid.IntRange(1, 3).Draw(t, "n")
	if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
		n = 7
	}
	out := make(settings.Strings, n)
	for i := range out {
		out[i] = rapid.SampledFrom(from).Draw(t, "value")
	}
	return out
}

func genInitiator(t *rapid.T) settings.Initiator {
	switch rapid.IntRange(0, 3).Draw(t, "initiator") {
	case 0:
		return settings.Initiator{User: pick(t, genUserPatterns)}
	case 1:
		return settings.Initiator{Group: pick(t, genGroupPatterns)}
	case 2:
		return settings.Initiator{Address: pick(t, genAddrPatterns)}
	}
	return settings.Initiator{Agent: pick(t, genAgentPatterns)}
}

func genCriterion(t *rapid.T, bypass bool) settings.Criterion {
	last := 9
	if bypass {
		last = 4
	}
	switch rapid.IntRange(0, last).Draw(t, "criterion") {
	case 0:
		return settings.Criterion{URL: pick(t, genURLPatterns)}
	case 1:
		return settings.Criterion{MIME: pick(t, genMIMEPatterns)}
	case 2:
		return settings.Criterion{Method: pick(t, genMethods)}
	case 3:
		return settings.Criterion{Direction: rapid.SampledFrom([]string{"request", "response"}).Draw(t, "direction")}
	case 4:
		if bypass {
			return settings.Criterion{Length: pick(t, genSizes)}
		}
		return settings.Criterion{Type: pick(t, genTypes)}
	case 5:
		return settings.Criterion{FileName: pick(t, genNamePatterns)}
	case 6:
		return settings.Criterion{Size: pick(t, genSizes)}
	case 7:
		h := hash16(rapid.IntRange(0, 2).Draw(t, "md5"))
		return settings.Criterion{MD5: settings.Strings{hex.EncodeToString(h[:])}}
	case 8:
		h := hash32(rapid.IntRange(0, 2).Draw(t, "sha256"))
		return settings.Criterion{SHA256: settings.Strings{hex.EncodeToString(h[:])}}
	}
	return settings.Criterion{PartMIME: pick(t, genMIMEPatterns)}
}

func genList[T any](t *rapid.T, item func() T) (anyOf, allOf []T) {
	n := rapid.IntRange(0, 3).Draw(t, "items")
	if n == 0 {
		return nil, nil
	}
	list := make([]T, n)
	for i := range list {
		list[i] = item()
	}
	if rapid.Bool().Draw(t, "all") {
		return nil, list
	}
	return list, nil
}

func genFrom(t *rapid.T) (out settings.Initiators) {
	if rapid.Bool().Draw(t, "from") {
		out.Any, out.All = genList(t, func() settings.Initiator { return genInitiator(t) })
	}
	return out
}

func genMatch(t *rapid.T, bypass bool) (out settings.Criteria) {
	out.Any, out.All = genList(t, func() settings.Criterion { return genCriterion(t, bypass) })
	return out
}

func genRule(t *rapid.T, s Stage, name string) settings.Rule {
	r := settings.Rule{Name: name, From: genFrom(t), Match: genMatch(t, s == StageBypass)}
	switch s {
	case StageBypass:
		r.Action = rapid.SampledFrom([]settings.Action{"allow", "block", "redirect"}).Draw(t, "action")
	case StageAccess:
		r.Action = rapid.SampledFrom([]settings.Action{"allow", "block", "block", "redirect", "next-group", "next-group"}).Draw(t, "action")
		r.DropRange = r.Action == "allow" && rapid.Bool().Draw(t, "range")
	default:
		r.Malware = rapid.SampledFrom([]settings.ProtectionAction{"block", "skip", "disinfect"}).Draw(t, "malware")
	}
	if r.Action == "redirect" {
		r.RedirectTo = rapid.SampledFrom([]string{"http://intra.test/1", "http://intra.test/2"}).Draw(t, "to")
	}
	if rapid.IntRange(0, 9).Draw(t, "off") == 0 {
		off := false
		r.Enabled = &off
	}
	if rapid.IntRange(0, 4).Draw(t, "except") == 0 {
		x := settings.Exclusion{From: genFrom(t), Match: genMatch(t, s == StageBypass)}
		if !x.From.IsZero() || !x.Match.IsZero() {
			r.Except = append(r.Except, x)
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "schedule") == 0 {
		r.Schedule = &settings.Schedule{Spans: []settings.Span{{Days: settings.Strings{"mon-fri"}, Hours: settings.Strings{"22:00-06:00"}}}}
	}
	return r
}

func genTable(t *rapid.T, s Stage, global bool) []settings.Entry {
	var out []settings.Entry
	names := 0
	name := func() string { names++; return fmt.Sprintf("r%d", names) }
	row := !global
	for range rapid.IntRange(0, 6).Draw(t, "entries") {
		switch rapid.IntRange(0, 4).Draw(t, "entry") {
		case 0:
			e := settings.Entry{Group: "g" + name()}
			for range rapid.IntRange(0, 4).Draw(t, "rules") {
				e.Rules = append(e.Rules, genRule(t, s, name()))
			}
			if rapid.IntRange(0, 9).Draw(t, "off") == 0 {
				off := false
				e.Enabled = &off
			}
			out = append(out, e)
		case 1:
			if !row {
				out = append(out, settings.Entry{Workspaces: settings.WorkspacesHere})
				row = true
			}
		default:
			out = append(out, settings.Entry{Rule: genRule(t, s, name())})
		}
	}
	return out
}

func genRules(t *rapid.T) (settings.Rules, []settings.Workspace) {
	var r settings.Rules
	for i := range rapid.IntRange(0, 4).Draw(t, "bypass") {
		r.Bypass = append(r.Bypass, genRule(t, StageBypass, fmt.Sprintf("b%d", i)))
	}
	r.Access = genTable(t, StageAccess, true)
	r.Protection = genTable(t, StageProtection, true)
	var ws []settings.Workspace
	for i := range rapid.IntRange(0, 2).Draw(t, "workspaces") {
		w := settings.Workspace{Name: fmt.Sprintf("w%d", i), Text: "workspace text"}
		m := genInitiator(t)
		if m.Agent != nil {
			m = settings.Initiator{User: settings.Strings{"alice"}}
		}
		w.Members = []settings.Initiator{m}
		w.Access, w.Protection = genTable(t, StageAccess, false), genTable(t, StageProtection, false)
		ws = append(ws, w)
	}
	return r, ws
}

// genExchange returns the two transactions of one exchange.
func genExchange(t *rapid.T) (req, resp *tx.Transaction) {
	one := func(name string, from []string) []byte { return []byte(rapid.SampledFrom(from).Draw(t, name)) }
	req = &tx.Transaction{Length: -1}
	req.Request.Method = one("method", genMethods)
	req.Request.URL = one("url", genURLs)
	if string(req.Request.Method) == "CONNECT" {
		req.Request.URL = []byte("www.example.com:443")
	}
	if rapid.Bool().Draw(t, "user") {
		req.Client.User = one("name", genUsers)
	}
	for range rapid.IntRange(0, 3).Draw(t, "groups") {
		req.Client.Groups = append(req.Client.Groups, one("group", genGroups))
	}
	if rapid.Bool().Draw(t, "addr") {
		req.Client.Addr = netip.MustParseAddr(string(one("address", genAddrs)))
	}
	if rapid.Bool().Draw(t, "agent") {
		req.Request.Header = append(req.Request.Header, tx.Field{Name: []byte("User-Agent"), Value: one("agent", genAgents)})
	}
	resp = new(tx.Transaction)
	*resp = *req
	resp.Direction = tx.DirResponse
	resp.Response.Status = 200
	body := func(x *tx.Transaction, h *tx.Header) {
		if rapid.Bool().Draw(t, "mime") {
			*h = append(*h, tx.Field{Name: []byte("content-type"), Value: append(one("mime", genMIMEs), "; a=b"...)})
		}
		x.HasBody = rapid.Bool().Draw(t, "body")
		if x.HasBody && rapid.Bool().Draw(t, "length") {
			x.Length = int64(rapid.SampledFrom([]int{0, 1000, 5000}).Draw(t, "bytes"))
		}
	}
	body(req, &req.Request.Header)
	resp.Request = req.Request
	body(resp, &resp.Response.Header)
	return req, resp
}

// genObjects returns the objects of a message: none without a body.
func genObjects(t *rapid.T, x *tx.Transaction) []*Object {
	if !x.HasBody {
		return []*Object{nil}
	}
	var out []*Object
	for range rapid.IntRange(1, 3).Draw(t, "objects") {
		o := &Object{
			Name: rapid.SampledFrom(genNames).Draw(t, "name"), Type: rapid.SampledFrom(genTypes).Draw(t, "type"),
			Size: int64(rapid.SampledFrom([]int{0, 1000, 5000}).Draw(t, "size")),
			MD5:  hash16(rapid.IntRange(0, 3).Draw(t, "md5")), SHA256: hash32(rapid.IntRange(0, 3).Draw(t, "sha256")),
		}
		if rapid.Bool().Draw(t, "part") {
			o.PartMIME = rapid.SampledFrom(genMIMEs).Draw(t, "mime")
		}
		out = append(out, o)
	}
	return out
}

func genTime(t *rapid.T) time.Time {
	return time.Date(2026, 11, 23, rapid.IntRange(0, 23).Draw(t, "hour"), 30, 0, 0, time.UTC)
}
