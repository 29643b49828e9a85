package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"sluice/internal/settings"
	"sluice/internal/tx"
)

func compileText(t testing.TB, doc string, o Options) (*Policy, error) {
	t.Helper()
	s, err := ParseScript([]byte(doc + "\n---\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Compile(o)
}

// What settings cannot check is checked here, with the field's path.
func TestCompileErrors(t *testing.T) {
	types := func(name string) bool { return name == "pe" }
	for _, c := range []struct{ doc, want string }{
		{`rules: {access: [{name: a, match: {any: [{url: /path}]}}]}`, `rules.access[0].match.any[0].url: "/path" begins with a path; write */path for any host`},
		{`rules: {access: [{name: a, match: {any: [{url: "a.test:x"}]}}]}`, `the port is not a number from 1 to 65535`},
		{`rules: {access: [{name: a, match: {any: [{url: "::1"}]}}]}`, `"::1": `},
		{`rules: {access: [{name: a, match: {any: [{url: "[::1"}]}}]}`, `the address in brackets has no end`},
		{`rules: {access: [{name: a, match: {any: [{url: .a.test}]}}]}`, `write a.test for the host and everything below it`},
		{`rules: {access: [{name: a, match: {any: [{url: "http://"}]}}]}`, `rules.access[0].match.any[0].url`},
		{`rules: {access: [{name: a, match: {any: [{url: "u@a.test"}]}}]}`, `user information is not part of a pattern`},
		{`rules: {access: [{name: a, match: {any: [{url: "a b.test"}]}}]}`, `is not a host name or an IP address`},
		{`rules: {access: [{name: a, match: {any: [{url: 300.1.1.1}]}}]}`, `is not a host name or an IP address`},
		{`rules: {access: [{name: a, match: {any: [{url: "*.bücher.test"}]}}]}`, `xn-- form`},
		{`rules: {access: [{name: a, match: {any: [{url: "h ttp://a.test"}]}}]}`, `is not a scheme`},
		{`rules: {access: [{group: g, rules: [{name: a, match: {all: [{type: [pe, exe]}]}}]}]}`, `rules.access[0].rules[0].match.all[0].type: "exe" is not a type of objects that Sluice knows`},
		{`workspaces: [{name: w, members: [{user: a}], protection: [{name: a, malware: skip, except: [{match: {any: [{type: x}]}}]}]}]`, `workspaces[0].protection[0].except[0].match.any[0].type: `},
		{`rules: {access: [{name: a, match: {any: [{mime: x}]}}]}`, `rules.access[0].match.any[0].mime: `},
	} {
		_, err := compileText(t, c.doc, Options{Types: types})
		var errs settings.Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\nhave %v\nwant %s", c.doc, err, c.want)
		}
	}
}

func TestHitsLastOverCompiles(t *testing.T) {
	const doc = `
rules: {access: [{name: a}, {name: b}], protection: [{name: a, malware: skip}]}
workspaces: [{name: w, members: [{user: u}], access: [{name: a}]}]`
	first, err := compileText(t, doc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				first.Rules()[0].Hit()
			}
		})
	}
	wg.Wait()
	second, err := compileText(t, strings.Replace(doc, "{name: a}, {name: b}", "{name: c}, {name: a}", 1), Options{Previous: first})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]uint64{}
	for _, r := range second.Rules() {
		have[r.Stage.String()+"/"+r.Workspace+"/"+r.Name] = r.Hits()
	}
	want := map[string]uint64{"access//a": 400, "access//c": 0, "access/w/a": 0, "protection//a": 0}
	if d := cmp.Diff(want, have); d != "" {
		t.Error(d)
	}
	(*Rule)(nil).Hit()
}

func TestNeeds(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want Needs
	}{
		{`rules: {access: [{name: a, match: {any: [{mime: a/b}, {url: c}]}}]}`, Needs{}},
		{`rules: {access: [{name: a, enabled: false, match: {any: [{md5: d41d8cd98f00b204e9800998ecf8427e}]}}]}`, Needs{}},
		{`rules: {access: [{name: a, match: {any: [{md5: d41d8cd98f00b204e9800998ecf8427e}, {size: ">1"}]}}]}`, Needs{Access: true, MD5: true, Size: true}},
		{`rules: {protection: [{name: a, malware: skip, except: [{match: {any: [{type: pe}, {file_name: x}]}}]}]}`, Needs{Protection: true, Type: true, FileName: true}},
		{`workspaces: [{name: w, members: [{user: u}], access: [{name: a, match: {any: [{part_mime: a/b}]}}], protection: [{name: a, malware: skip, match: {any: [{sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}]}}]}]`, Needs{Access: true, Protection: true, PartMIME: true, SHA256: true}},
	} {
		p, err := compileText(t, c.doc, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if have := p.Needs(); have != c.want {
			t.Errorf("%s: have %+v", c.doc, have)
		}
	}
}

func TestSlowRules(t *testing.T) {
	p, err := compileText(t, `
rules:
  access:
    - {name: expression, match: {any: [{url: "regex:^[a-z]+$"}]}}
    - {name: one of two, match: {any: [{url: [a.test, "*/*.js"]}]}}
    - {name: short mask, from: {any: [{user: "a*b"}]}}
    - {name: found by host, match: {all: [{url: "regex:x+"}, {url: a.test}]}}
    - {name: literal, match: {any: [{url: "regex:/(abcd|efgh)[0-9]"}]}}
    - {name: everybody, from: {any: [{user: "*"}]}}
    - {name: sizes, match: {any: [{size: ">1"}]}}
    - {name: uploads, match: {all: [{direction: request}, {file_name: "?.?"}]}}
    - {name: "off", enabled: false, match: {any: [{url: "regex:."}]}}
workspaces: [{name: w, members: [{user: u}], access: [{name: inner, match: {any: [{file_name: "a?"}]}}]}]`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, r := range p.SlowRules() {
		have = append(have, r.Name)
	}
	if d := cmp.Diff([]string{"expression", "one of two", "short mask", "uploads", "inner"}, have); d != "" {
		t.Error(d)
	}
}

func TestOutweighs(t *testing.T) {
	up, down := &Rule{order: 1}, &Rule{order: 1 << 32}
	// From the heaviest to the lightest.
	ranked := []Decision{
		{Decided: true, Action: Block, Rule: up}, {Decided: true, Action: Block, Rule: down},
		{Decided: true, Action: Redirect, Rule: up}, {Decided: true, Action: Redirect, Rule: down},
		{}, {Decided: true, Action: Allow, Rule: down},
	}
	for i, a := range ranked {
		for j, b := range ranked {
			if have := a.Outweighs(b); have != (i < j) {
				t.Errorf("%v outweighs %v: %v", show(a), show(b), have)
			}
		}
	}
	if (Decision{Decided: true, Action: Allow, Rule: up}).Outweighs(Decision{Decided: true, Action: Allow}) {
		t.Error("a later object's rule took the place of the first object's")
	}
}

func TestMediaType(t *testing.T) {
	for in, want := range map[string]string{
		"text/html": "text/html", "Text/HTML ; charset=x": "text/html", "": "", ";": "", "image/png, text/html": "text/html",
		`multipart/mixed; boundary="a,b/c"`: "multipart/mixed", `multipart/mixed; boundary="a\",b/c"`: "multipart/mixed", "text/html,": "text/html",
	} {
		x := &tx.Transaction{Request: tx.Request{Method: []byte("GET"), URL: []byte("http://a/")}, Direction: tx.DirResponse}
		x.Response.Header = tx.Header{{Name: []byte("Content-Type"), Value: []byte("first/one")}, {Name: []byte("CONTENT-TYPE"), Value: []byte(in)}}
		f := factsOf(t, x, benchNow)
		if have := string(f.MIME()); have != want {
			t.Errorf("%q: have %q, want %q", in, have, want)
		}
	}
}

// A URL that cannot be read fits no pattern, not even the one for any host.
func TestUnreadableURL(t *testing.T) {
	p, err := compileText(t, `rules: {access: [{name: a, match: {any: [{url: ["*", "regex:.*", "http://*"]}]}}, {name: b, from: {any: [{user: u}]}}]}`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := new(Facts)
	for _, url := range []string{"", "http://a..b/", "nonsense"} {
		x := &tx.Transaction{Request: tx.Request{Method: []byte("GET"), URL: []byte(url)}, Client: tx.Client{User: []byte("u")}}
		if err := f.Reset(x, benchNow); err == nil {
			t.Fatalf("%q was read as %s", url, f.URL())
		}
		if d := p.Access(f); !d.Decided || d.Rule == nil || d.Rule.Name != "b" {
			t.Errorf("%q: %s", url, show(d))
		}
	}
}

// Rules of a workspace show its text; rules of all show their own or none.
func TestBlockPageText(t *testing.T) {
	p, err := compileText(t, `
rules: {access: [{name: g, text: global}]}
workspaces: [{name: w, members: [{user: u}], text: ask Berlin, access: [{name: a}, {name: b, text: own}]}]`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, r := range p.Rules() {
		have[r.Name] = r.Text
	}
	if d := cmp.Diff(map[string]string{"g": "global", "a": "ask Berlin", "b": "own"}, have); d != "" {
		t.Error(d)
	}
}

func TestExplanationIsJSON(t *testing.T) {
	p, err := compileText(t, `
rules:
  access: [{name: a, match: {any: [{type: pe}]}}]
workspaces: [{name: w, members: [{user: u}]}]`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := &tx.Transaction{Request: tx.Request{Method: []byte("GET"), URL: []byte("http://a.test/")}, Client: tx.Client{User: []byte("u")}, Direction: tx.DirResponse, HasBody: true}
	f := factsOf(t, x, benchNow)
	doc, err := json.Marshal(p.Explain(f, []Object{{Name: "x.exe", Type: "pe"}}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"method":"GET","url":"http://a.test/","direction":"response","time":"2026-11-24T09:00:00Z","workspace":"w","stages":[` +
		`{"stage":"bypass","decided":true,"action":"continue","note":"no rule decided: go on to the access rules"},` +
		`{"stage":"access","object":"x.exe","steps":[{"rule":"a","path":"rules.access[0]","action":"block","answer":"yes","reason":"type pe"}],"decided":true,"action":"block","rule":"a","note":"rule \"a\" decides"}]}`
	if string(doc) != want {
		t.Errorf("have %s\nwant %s", doc, want)
	}
	if f.objects != objectsPending || f.object != nil {
		t.Error("explaining changed the facts")
	}
}

func TestExplanationIsBounded(t *testing.T) {
	p := mustCompile(t, manyRules(3*maxSteps, func(i int, r *settings.Rule) {
		r.Match = anyMatch(settings.Criterion{URL: textf("h%d.test", i)})
	}))
	req, _ := benchExchange()
	e := p.Explain(factsOf(t, req, benchNow), make([]Object, maxTracedObjects+50))
	if n := len(e.Stages); n > 1+2*maxTracedObjects {
		t.Errorf("%d stages", n)
	}
	if s := e.Stages[1]; len(s.Steps) != maxSteps || s.Unlisted != 2*maxSteps {
		t.Errorf("%d steps, %d left out", len(s.Steps), s.Unlisted)
	}
}

// Documents of rules are refused or compiled, and what is compiled decides as
// the reference does.
func FuzzRules(f *testing.F) {
	f.Add([]byte(`{access: [{name: a, match: {any: [{url: "*.a.test/*x"}]}}]}`), "http://b.a.test/x", "u")
	f.Add([]byte(`{access: [{group: g, rules: [{name: a, action: next-group, from: {all: [{user: "regex:^u+"}, {address: 10.0.0.0/8}]}}]}, {workspaces: here}]}`), "http://[::1]/x", "uu")
	f.Add([]byte(`{bypass: [{name: a, action: redirect, redirect_to: "http://a/", match: {all: [{length: ">1KB"}, {mime: "a/*"}]}, schedule: {zone: Asia/Tokyo, spans: [{days: mon-fri, hours: 22:00-06:00}], until: 2027-01-01}}]}`), "http://1/", "")
	f.Add([]byte(`{protection: [{name: a, malware: skip, except: [{match: {any: [{size: "1-2"}, {type: pe}, {md5: d41d8cd98f00b204e9800998ecf8427e}]}}]}]}`), "ftp://a/", "ß")
	f.Fuzz(func(t *testing.T, doc []byte, url, user string) {
		var r settings.Rules
		d := yaml.NewDecoder(bytes.NewReader(doc))
		d.KnownFields(true)
		if err := d.Decode(&r); err != nil && !errors.Is(err, io.EOF) {
			return
		}
		p, err := Compile(r, nil, settings.ProtectionPolicy{}, Options{})
		if err != nil {
			var errs settings.Errors
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("not settings.Errors: %v", err)
			}
			return
		}
		x := &tx.Transaction{Request: tx.Request{Method: []byte("GET"), URL: []byte(url)}, Client: tx.Client{User: []byte(user)}, HasBody: true}
		facts := new(Facts)
		_ = facts.Reset(x, benchNow)
		for _, o := range []*Object{nil, {Name: user, Type: "pe", Size: 1}} {
			if o != nil {
				facts.SetObject(o)
			}
			for s, have := range map[Stage]Decision{StageBypass: p.Bypass(facts), StageAccess: p.Access(facts)} {
				if want := verdictOf(p.trace(s, facts), [...]Action{Continue, Allow}[s]); !reflect.DeepEqual(have, want) {
					t.Fatalf("%s: have %s, want %s\n%s", s, show(have), show(want), p.Explain(facts, nil))
				}
			}
		}
	})
}

// Scripts come from users.
func FuzzScript(f *testing.F) {
	f.Add([]byte("rules: {access: [{name: a}]}\n---\nrequest GET http://a/ user=x body\n  access: block by \"a\"\n  why access \"a\": yes\n"))
	f.Add([]byte("response GET http://a/ group=\"a b\" at=2026-01-01T00:00:00Z length=5\n  object name=a size=1KB md5=d41d8cd98f00b204e9800998ecf8427e\n  protection malware: skip\n  workspace: none"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseScript(text)
		if err != nil {
			return
		}
		p, err := s.Compile(Options{})
		if err != nil || len(s.Cases) > 50 {
			return
		}
		s.Run(p)
	})
}
