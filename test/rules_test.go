package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/test/lab"
)

// Objects that rules look for.
var (
	program = append([]byte("MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00\xb8\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00"), peTail()...)
	pdf     = []byte("%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n")
	wanted  = []byte("the very bytes that a hash rule looks for\n")
)

// peTail completes a DOS header to the smallest head of a Windows program.
func peTail() []byte {
	b := make([]byte, 1024)
	b[0x3c-28] = 0x80 // where the PE header is
	copy(b[0x80-28:], "PE\x00\x00\x4c\x01\x01\x00")
	b[0x80+20-28] = 0xe0
	b[0x80+22-28] = 0x02
	copy(b[0x80+24-28:], "\x0b\x01")
	return b
}

// ruleSettings are the rules of TestRules, one for each way a rule can decide.
// Each is bound to a path of its own.
func ruleSettings() string {
	m, s := md5.Sum(wanted), sha256.Sum256(wanted)
	r := strings.NewReplacer("HTTP", fmt.Sprint(shared.Origin.HTTP), "MD5OF", hex.EncodeToString(m[:]), "SHAOF", hex.EncodeToString(s[:]))
	return r.Replace(`rules:
  bypass:
    - name: bypass allows
      action: allow
      match: {all: [{url: origin.test/sample/bypass}]}
    - name: bypass blocks
      action: block
      match: {all: [{url: origin.test/echo/bypass-block}]}
    - name: bypass redirects
      action: redirect
      redirect_to: http://origin.test:HTTP/echo/elsewhere
      redirect_status: 307
      match: {all: [{url: origin.test/echo/bypass-redirect}]}
    - name: bypass by length
      action: block
      match: {all: [{url: origin.test/bytes}, {length: "=12345"}]}
    - name: bypass by type of message
      action: block
      match: {all: [{direction: response}, {mime: text/x-secret}]}
    - name: bypass by method
      action: block
      match: {all: [{url: origin.test/echo/bypass-method}, {method: DELETE}]}
  access:
    # Above all that waits for the response: only then is it known in time.
    - name: whole objects
      action: allow
      drop_range: true
      match: {all: [{url: origin.test/echo/range}]}
    - name: by direction request
      match: {all: [{url: origin.test/echo/to}, {direction: request}]}
    - name: by type of part
      match: {all: [{direction: request}, {part_mime: application/x-evil}]}
    - name: off
      enabled: false
      match: {all: [{url: origin.test/echo/off}]}
    - name: by user
      from: {any: [{user: alice}]}
      match: {all: [{url: origin.test/echo/user}]}
    - name: by mask of user
      from: {any: [{user: "b?b"}]}
      match: {all: [{url: origin.test/echo/mask-user}]}
    - name: by group
      from: {any: [{group: staff}]}
      match: {all: [{url: origin.test/echo/group}]}
    - name: by address
      from: {any: [{address: 127.0.0.0/8}]}
      match: {all: [{url: origin.test/echo/address}]}
    - name: by other address
      from: {any: [{address: [10.0.0.0/8, 192.168.0.1-192.168.0.9]}]}
      match: {all: [{url: origin.test/echo/other-address}]}
    - name: by agent
      from: {any: [{agent: "evil*"}]}
      match: {all: [{url: origin.test/echo/agent}]}
    - name: by all initiators
      from: {all: [{user: alice}, {agent: "evil*"}]}
      match: {all: [{url: origin.test/echo/all-of}]}
    - name: by host
      match: {any: [{url: other.test}]}
    - name: by mask of host
      match: {all: [{url: "a*.origin.test"}]}
    - name: by expression
      match: {all: [{url: "regex:^https?://origin\\.test(:\\d+)?/echo/num-[0-9]+$"}]}
    - name: by scheme
      match: {all: [{url: "https://origin.test/echo/scheme"}]}
    - name: by file name
      match: {all: [{file_name: "*.scr"}]}
    - name: by file type
      match: {all: [{url: origin.test/sample/type}, {type: [pe, elf]}]}
    - name: by size
      match: {all: [{url: origin.test/bytes}, {size: ">3MB"}, {size: "<4MB"}]}
    - name: by type of message
      match: {all: [{mime: "image/x-*"}]}
    - name: by MD5
      match: {all: [{url: origin.test/sample/md5}, {md5: MD5OF}]}
    - name: by SHA-256
      match: {all: [{url: origin.test/sample/sha}, {sha256: SHAOF}]}
    - name: by direction response
      match: {all: [{url: origin.test/echo/fro}, {direction: response}]}
    - name: by method
      match: {all: [{url: origin.test/echo/method}, {method: [PUT, DELETE]}]}
    - name: allowed before
      action: allow
      match: {all: [{url: origin.test/echo/order/good}]}
    - name: blocked behind
      match: {all: [{url: origin.test/echo/order}]}
    - group: Left early
      rules:
        - name: leave the group
          action: next-group
          match: {all: [{url: origin.test/echo/group-left}]}
        - name: in the group
          match: {any: [{url: origin.test/echo/group-left}, {url: origin.test/echo/group-in}]}
    - name: behind the group
      action: redirect
      redirect_to: http://origin.test:HTTP/echo/elsewhere
      match: {all: [{url: origin.test/echo/group-left}]}
    - name: with exclusions
      match: {all: [{url: origin.test/echo/except}]}
      except:
        - match: {any: [{url: origin.test/echo/except/not}, {method: PUT}]}
        - from: {any: [{user: bob}]}
    - name: at these hours
      match: {all: [{url: origin.test/echo/hours}]}
      schedule: {spans: [{days: [mon-sun], hours: 00:00-24:00}], from: 2020-01-01}
    - name: long ago
      match: {all: [{url: origin.test/echo/long-ago}]}
      schedule: {until: 2020-01-01}
    - name: with words of its own
      match: {all: [{url: origin.test/echo/words}]}
      text: "Ask <Anna> in room 7."
    - workspaces: here
    - name: behind the workspaces
      match: {all: [{url: origin.test/echo/workspace}]}
  protection:
    - name: malware may pass here
      malware: skip
      match: {all: [{url: origin.test/sample/skip-malware}]}
    - name: secrets may pass here
      encrypted: skip
      match: {all: [{url: origin.test/sample/skip-encrypted}]}
    - name: macros may pass here
      macros: skip
      match: {all: [{url: origin.test/sample/skip-macros}]}
workspaces:
  - name: Builders
    members: [{user: bob}]
    access:
      - name: rule of the builders
        action: allow
        match: {all: [{url: origin.test/echo/workspace}]}
`)
}

// ruleCase is one request and what must become of it.
type ruleCase struct {
	method, url string
	user        string
	head        map[string]string
	body        []byte
	want        int
	rule        string // that decided
}

func TestRules(t *testing.T) {
	putRuleSamples(t)
	apply(t, shared.node, ruleSettings()+blocking)
	defer apply(t, shared.node, blocking)
	clients := map[string]*http.Client{"": shared.client}
	for name, password := range map[string]string{lab.Alice: lab.AlicePassword, lab.Bob: lab.BobPassword} {
		clients[name] = must(shared.Client(shared.squid.AuthPort, url.UserPassword(name, password)))(t)
	}
	for _, c := range ruleCases(t) {
		what := fmt.Sprintf("%s %s %s %v", c.user, c.method, c.url, c.head)
		resp, body := do(t, clients[c.user], c.method, c.url, c.head, c.body)
		if resp.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d (%s)\n%.900s", what, resp.StatusCode, c.want, c.rule, body)
			continue
		}
		switch {
		case c.want == http.StatusForbidden:
			id := receipt.Find(body)
			if !bytes.Contains(body, []byte(c.rule)) || id == nil {
				t.Errorf("%s: the page names not %q or has no id\n%s", what, c.rule, body)
				continue
			}
			e := logged(t, shared.node, what, string(id))
			if e.Str("rule") != c.rule || e.Str("action") != "block" || c.user != e.Str("user") {
				t.Errorf("%s: event %v", what, e)
			}
		case c.want/100 == 3:
			if loc := resp.Header.Get("Location"); loc != fmt.Sprintf("http://origin.test:%d/echo/elsewhere", shared.Origin.HTTP) {
				t.Errorf("%s: redirected to %q", what, loc)
			}
		}
	}
	ruleTextAndRange(t)
	ruleEvents(t)
}

// ruleCases lists requests for every rule; each rule decides once at least, and
// is passed by once at least.
func ruleCases(t *testing.T) []ruleCase {
	t.Helper()
	const ok, no = http.StatusOK, http.StatusForbidden
	echo := func(p string) string { return originURL("http", "/echo/"+p) }
	sample := func(p string) string { return originURL("https", "/sample/"+p) }
	host := func(h, p string) string { return fmt.Sprintf("http://%s:%d%s", h, shared.Origin.HTTP, p) }
	evil, evilType := form(t, "x.bin", []byte("evil part"))
	evil = bytes.Replace(evil, []byte("application/octet-stream"), []byte("application/x-evil"), 1)
	harmless, harmlessType := form(t, "x.bin", []byte("good part"))
	return []ruleCase{
		{"GET", sample("bypass/eicar.com"), "", nil, nil, ok, "bypass allows"},
		{"GET", echo("bypass-block"), "", nil, nil, no, "bypass blocks"},
		{"GET", echo("bypass-redirect"), "", nil, nil, 307, "bypass redirects"},
		{"GET", originURL("http", "/bytes/12345"), "", nil, nil, no, "bypass by length"},
		{"GET", originURL("http", "/bytes/12346"), "", nil, nil, ok, ""},
		{"GET", originURL("http", "/bytes/12345?chunked"), "", nil, nil, ok, ""},
		{"GET", sample("secret.txt"), "", nil, nil, no, "bypass by type of message"},
		{"DELETE", echo("bypass-method"), "", nil, nil, no, "bypass by method"},
		{"GET", echo("bypass-method"), "", nil, nil, ok, ""},

		{"GET", echo("off"), "", nil, nil, ok, ""},
		{"GET", echo("user"), lab.Alice, nil, nil, no, "by user"},
		{"GET", originURL("https", "/echo/user"), lab.Alice, nil, nil, no, "by user"},
		{"GET", echo("user"), lab.Bob, nil, nil, ok, ""},
		{"GET", echo("user"), "", nil, nil, ok, ""},
		{"GET", echo("mask-user"), lab.Bob, nil, nil, no, "by mask of user"},
		{"GET", echo("mask-user"), lab.Alice, nil, nil, ok, ""},
		{"GET", echo("group"), lab.Alice, nil, nil, no, "by group"},
		{"GET", echo("group"), lab.Bob, nil, nil, ok, ""},
		{"GET", echo("address"), "", nil, nil, no, "by address"},
		{"GET", echo("other-address"), "", nil, nil, ok, ""},
		{"GET", echo("agent"), "", map[string]string{"User-Agent": "EvilBot/1.0"}, nil, no, "by agent"},
		{"GET", echo("agent"), "", map[string]string{"User-Agent": "GoodBot/1.0"}, nil, ok, ""},
		{"GET", echo("all-of"), lab.Alice, map[string]string{"User-Agent": "EvilBot/1.0"}, nil, no, "by all initiators"},
		{"GET", echo("all-of"), lab.Alice, nil, nil, ok, ""},
		{"GET", host("other.test", "/echo/x"), "", nil, nil, no, "by host"},
		{"GET", host("a.origin.test", "/echo/x"), "", nil, nil, no, "by mask of host"},
		{"GET", host("b.origin.test", "/echo/x"), "", nil, nil, ok, ""},
		{"GET", echo("num-42"), "", nil, nil, no, "by expression"},
		{"GET", echo("num-42x"), "", nil, nil, ok, ""},
		{"GET", originURL("https", "/echo/scheme"), "", nil, nil, no, "by scheme"},
		{"GET", echo("scheme"), "", nil, nil, ok, ""},
		{"GET", sample("saver.scr"), "", nil, nil, no, "by file name"},
		{"GET", sample("saver-in.zip"), "", nil, nil, no, "by file name"},
		{"GET", sample("type/innocent.txt"), "", nil, nil, no, "by file type"},
		{"GET", sample("type/innocent.zip"), "", nil, nil, no, "by file type"},
		{"GET", sample("type/doc.pdf"), "", nil, nil, ok, ""},
		{"GET", originURL("http", "/bytes/3500000"), "", nil, nil, no, "by size"},
		{"GET", originURL("http", "/bytes/3500000?chunked"), "", nil, nil, no, "by size"},
		{"GET", originURL("http", "/bytes/4500000"), "", nil, nil, ok, ""},
		{"GET", sample("icon.x"), "", nil, nil, no, "by type of message"},
		{"POST", echo("part"), "", map[string]string{"Content-Type": evilType}, evil, no, "by type of part"},
		{"POST", echo("part"), "", map[string]string{"Content-Type": harmlessType}, harmless, ok, ""},
		{"GET", sample("md5/wanted"), "", nil, nil, no, "by MD5"},
		{"GET", sample("md5/wanted.zip"), "", nil, nil, no, "by MD5"},
		{"GET", sample("sha/wanted.gz"), "", nil, nil, no, "by SHA-256"},
		{"GET", sample("sha/other"), "", nil, nil, ok, ""},
		{"GET", echo("to"), "", nil, nil, no, "by direction request"},
		{"GET", echo("fro"), "", nil, nil, no, "by direction response"},
		{"PUT", echo("method"), "", nil, []byte("x"), no, "by method"},
		{"POST", echo("method"), "", nil, []byte("x"), ok, ""},
		{"GET", echo("order/good"), "", nil, nil, ok, "allowed before"},
		{"GET", echo("order/bad"), "", nil, nil, no, "blocked behind"},
		{"GET", echo("group-left"), "", nil, nil, 302, "behind the group"},
		{"GET", echo("group-in"), "", nil, nil, no, "in the group"},
		{"GET", echo("except"), "", nil, nil, no, "with exclusions"},
		{"GET", echo("except/not"), "", nil, nil, ok, ""},
		{"PUT", echo("except"), "", nil, []byte("x"), ok, ""},
		{"GET", echo("except"), lab.Bob, nil, nil, ok, ""},
		{"GET", echo("hours"), "", nil, nil, no, "at these hours"},
		{"GET", echo("long-ago"), "", nil, nil, ok, ""},
		{"GET", echo("workspace"), lab.Bob, nil, nil, ok, "rule of the builders"},
		{"GET", echo("workspace"), lab.Alice, nil, nil, no, "behind the workspaces"},

		{"GET", sample("skip-malware/eicar.com"), "", nil, nil, ok, ""},
		{"GET", sample("skip-encrypted/secret.zip"), "", nil, nil, ok, ""},
		{"GET", sample("no-skip/secret.zip"), "", nil, nil, no, ""},
		{"GET", sample("no-skip/secret.7z"), "", nil, nil, no, ""},
		{"GET", sample("skip-macros/letter.docm"), "", nil, nil, ok, ""},
		{"GET", sample("no-skip/letter.docm"), "", nil, nil, no, ""},
	}
}

func putRuleSamples(t *testing.T) {
	t.Helper()
	gz := must(lab.Encode("gzip", wanted))(t)
	secretZip := packed(t, "x.zip", "plan.txt", []byte("a plan\n"), "7z", "a", "-bd", "-tzip", "-psesame", "x.zip", "plan.txt")
	secret7z := packed(t, "x.7z", "plan.txt", []byte("a plan\n"), "7z", "a", "-bd", "-mhe=on", "-psesame", "x.7z", "plan.txt")
	docm := macroDocument(t)
	for name, s := range map[string]lab.Sample{
		"bypass/eicar.com":          {Body: eicar, Type: "application/octet-stream"},
		"secret.txt":                {Body: []byte("x"), Type: "text/x-secret; charset=utf-8"},
		"saver.scr":                 {Body: []byte("just text"), Type: "text/plain"},
		"saver-in.zip":              {Body: zipped(t, "deep/saver.scr", []byte("just text")), Type: "application/zip"},
		"type/innocent.txt":         {Body: program, Type: "text/plain"},
		"type/innocent.zip":         {Body: zipped(t, "innocent.txt", program), Type: "application/zip"},
		"type/doc.pdf":              {Body: pdf, Type: "application/pdf"},
		"icon.x":                    {Body: []byte("x"), Type: "image/x-lab"},
		"md5/wanted":                {Body: wanted, Type: "text/plain"},
		"md5/wanted.zip":            {Body: zipped(t, "a.txt", wanted), Type: "application/zip"},
		"sha/wanted.gz":             {Body: gz, Type: "text/plain", Header: map[string]string{"Content-Encoding": "gzip"}},
		"sha/other":                 {Body: append([]byte("not "), wanted...), Type: "text/plain"},
		"skip-malware/eicar.com":    {Body: eicar, Type: "application/octet-stream"},
		"skip-encrypted/secret.zip": {Body: secretZip, Type: "application/zip"},
		"no-skip/secret.zip":        {Body: secretZip, Type: "application/zip"},
		"no-skip/secret.7z":         {Body: secret7z, Type: "application/x-7z-compressed"},
		"skip-macros/letter.docm":   {Body: docm, Type: "application/vnd.ms-word.document.macroEnabled.12"},
		"no-skip/letter.docm":       {Body: docm, Type: "application/vnd.ms-word.document.macroEnabled.12"},
	} {
		shared.Origin.Put(name, s)
	}
}

// macroDocument is a Word document with a macro project, as small as it gets.
func macroDocument(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"[Content_Types].xml": `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
			`<Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
			`<Override PartName="/word/document.xml" ContentType="application/vnd.ms-word.document.macroEnabled.main+xml"/></Types>`,
		"_rels/.rels": `<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
			`<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>`,
		"word/document.xml":   `<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body/></w:document>`,
		"word/vbaProject.bin": "Attribute VB_Name = \"ThisDocument\"\r\nSub AutoOpen()\r\nEnd Sub\r\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return packed(t, "x.docm", "unused", nil, "7z", "a", "-bd", "-tzip", "x.docm", dir+"/.")
}

// ruleTextAndRange looks at the words of a rule and at dropped Range fields.
func ruleTextAndRange(t *testing.T) {
	t.Helper()
	resp, body := do(t, shared.client, http.MethodGet, originURL("http", "/echo/words"), nil, nil)
	if resp.StatusCode != http.StatusForbidden || !bytes.Contains(body, []byte("Ask &lt;Anna&gt; in room 7.")) {
		t.Errorf("the rule's words: status %d\n%s", resp.StatusCode, body)
	}
	ranged := map[string]string{"Range": "bytes=0-9", "Accept": "text/plain"}
	if _, body = do(t, shared.client, http.MethodGet, originURL("https", "/echo/range"), ranged, nil); bytes.Contains(body, []byte("bytes=0-9")) || !bytes.Contains(body, []byte("text/plain")) {
		t.Errorf("the origin got %s", body)
	}
	if _, body = do(t, shared.client, http.MethodGet, originURL("https", "/echo/other"), ranged, nil); !bytes.Contains(body, []byte("bytes=0-9")) {
		t.Errorf("the origin got %s", body)
	}
}

// ruleEvents finds what passed by a rule in the log.
func ruleEvents(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ words, field, want string }{
		{"url~/sample/bypass/eicar.com bypass_rule='bypass allows'", "action", "forward"},
		{"url~/echo/order/good access_rule='allowed before'", "action", "forward"},
		{"url~/echo/workspace user=bob workspace=Builders direction=response", "access_rule", "rule of the builders"},
		{"url~/echo/group-left action=redirect", "rule", "behind the group"},
		{"user=alice action=block url~/echo/group", "rule", "by group"},
	} {
		found, err := shared.node.Events(t.Context(), 50, words(c.words)...)
		if err != nil || len(found) == 0 {
			t.Errorf("events %s: %d found, %v", c.words, len(found), err)
			continue
		}
		if got := found[0].Str(c.field); got != c.want {
			t.Errorf("events %s: %s is %q, want %q", c.words, c.field, got, c.want)
		}
	}
}

// words splits a command line at spaces, save within single quotes.
func words(s string) []string {
	var out []string
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out[len(out)-1] += part
			continue
		}
		f := strings.Fields(part)
		out = append(out, f...)
	}
	return out
}

// checkSettings are rules that can all be decided from the request.
const checkSettings = `rules:
  access:
    - name: by user
      from: {any: [{user: alice}]}
      match: {all: [{url: origin.test/echo/user}]}
    - name: by group
      from: {any: [{group: staff}]}
      match: {all: [{url: origin.test/echo/group}]}
    - name: by address
      from: {any: [{address: 127.0.0.0/8}]}
      match: {all: [{url: origin.test/echo/address}]}
    - name: by host
      match: {any: [{url: other.test}]}
    - name: by method
      match: {all: [{url: origin.test/echo/method}, {method: [PUT, DELETE]}]}
    - name: at these hours
      match: {all: [{url: origin.test/echo/hours}]}
      schedule: {spans: [{days: [mon-sun], hours: 00:00-24:00}], from: 2020-01-01}
`

// TestCheck asks `sluice check` what the gateway would do, and why.
func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(checkSettings), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(ctx context.Context, args ...string) string {
		out, bad, _ := shared.node.Run(ctx, append([]string{"check", "--config", file}, args...)...)
		return out + bad
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"http://origin.test/echo/user", "--user", "alice"}, []string{"block", "by user"}},
		{[]string{"http://origin.test/echo/user", "--user", "bob"}, []string{"allow", "by user", "bob"}},
		{[]string{"http://origin.test/echo/group", "--group", "staff"}, []string{"block", "by group"}},
		{[]string{"http://origin.test/echo/address", "--ip", "127.0.0.9"}, []string{"block", "by address"}},
		{[]string{"http://origin.test/echo/method", "--method", "PUT"}, []string{"block", "by method"}},
		{[]string{"http://other.test/", "--ip", "10.1.2.3"}, []string{"block", "by host"}},
		{[]string{"http://origin.test/echo/hours", "--time", "2019-05-05T12:00"}, []string{"allow", "at these hours"}},
	} {
		out := check(t.Context(), c.args...)
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("check %v does not say %q:\n%s", c.args, w, out)
			}
		}
	}
	if out := check(t.Context(), "http://origin.test/echo/user", "--user", "alice", "--json"); !strings.HasPrefix(strings.TrimSpace(out), "{") {
		t.Errorf("check --json: %s", out)
	}
}
