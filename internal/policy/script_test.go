package policy

import (
	"os"
	"path/filepath"
	"testing"
)

// Every script in testdata holds.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.rules")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseScript(text)
			if err != nil {
				t.Fatal(err)
			}
			p, err := s.Compile(Options{})
			if err != nil {
				t.Fatal(err)
			}
			checks := 0
			for _, c := range s.Cases {
				checks += len(c.checks)
			}
			if checks < len(s.Cases) {
				t.Errorf("%d messages have only %d expectations", len(s.Cases), checks)
			}
			for _, f := range s.Run(p) {
				t.Error(f)
			}
		})
	}
}

func TestScriptErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown field", "rules: {acces: []}\n---\n", "settings of the script: yaml: unmarshal errors:\n  line 1: field acces not found in type settings.Rules"},
		{"no message", "rules: {}\n---\n  access: allow by default\n", "line 3: there is no message above this line"},
		{"short message", "request GET\n", "line 1: a message begins with: request or response, method, URL"},
		{"unknown key", "request GET http://a/ colour=red\n", `line 1: unknown key "colour"; use user, group, address, agent, mime, length or at`},
		{"open quote", "request GET http://a/ user=\"x\n", `line 1: a quoted value does not end: "x`},
		{"bad expectation", "request GET http://a/\n  block\n", `line 2: "block" is not an expectation such as: access: block by "rule"`},
		{"bad digest", "request GET http://a/\n  object md5=12\n", "line 2: this is not a digest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseScript([]byte(c.text))
			if err == nil || err.Error() != c.want {
				t.Errorf("have %v, want %s", err, c.want)
			}
		})
	}
}

// A script that does not hold says what it wanted, and explains.
func TestScriptFailure(t *testing.T) {
	s, err := ParseScript([]byte("rules:\n  access:\n  - {name: A, match: {any: [{url: a.test}]}}\n---\nrequest GET http://b.test/\n  access: block by \"A\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Compile(Options{})
	if err != nil {
		t.Fatal(err)
	}
	failures := s.Run(p)
	want := `line 6: access: want block by "A", have allow by default
request of GET http://b.test/ at 2026-01-05T12:00:00Z

bypass
  = continue: no rule decided: go on to the access rules

access
  no       A (block): host b.test is not a.test or below
  = allow: no rule decided: allowed

protection
  = malware disinfect, encrypted block, macros block: the default protection policy decides
`
	if len(failures) != 1 || failures[0].String() != want {
		t.Errorf("have %v\nwant %s", failures, want)
	}
}
