package settings_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"sluice/internal/settings"
)

const fullRules = `
rules:
  bypass:
    - name: Meetings
      action: allow
      match: {all: [{url: [meet.example, "regex:^https://[a-z]+\\.call\\.example/"]}, {direction: response}, {length: ">=1MB"}]}
  access:
    - name: No executables for guests
      comment: agreed with the works council
      enabled: false
      action: block
      from: {any: [{group: Guests}, {address: [10.0.0.0/8, 192.0.2.1-192.0.2.9, "2001:db8::1"]}, {user: "EXAMPLE\\*"}, {agent: "curl/*"}]}
      match: {all: [{type: pe}, {size: ">1MB"}, {url: example.com}, {method: [GET, POST]}, {sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}, {md5: d41d8cd98f00b204e9800998ecf8427e}]}
      except: [{from: {all: [{user: admin}]}}, {match: {any: [{file_name: "*.msi"}, {part_mime: "image/*"}, {mime: text/html}]}}]
      schedule: {zone: Europe/Berlin, spans: [{days: [mon-fri, sun], hours: 08:00-18:00}, {hours: [00:00-24:00]}], from: 2026-01-01, until: 2026-12-31}
      text: shown on the block page
    - group: Finance
      comment: a group
      rules:
        - {name: Out, action: next-group}
        - {name: Watch, action: allow, drop_range: true}
    - workspaces: here
    - {name: Elsewhere, action: redirect, redirect_to: "https://intra.example/x", redirect_status: 307}
    - {name: The default is block}
  protection:
    - {name: Lab, malware: skip, encrypted: block, macros: skip}
workspaces:
  - name: Berlin
    members: [{address: 10.1.0.0/16}, {group: Berlin}, {user: x}]
    text: Berlin
    access: [{name: The default is block}]
    protection: [{group: G, rules: [{name: Lab, malware: disinfect}]}]
`

func TestRulesDocument(t *testing.T) {
	s, err := settings.Parse([]byte(fullRules))
	if err != nil {
		t.Fatal(err)
	}
	r := &s.Rules.Access[0]
	if r.On() || r.From.Any[0].Group[0] != "Guests" || len(r.From.Any[1].Address) != 3 || r.Schedule.From != "2026-01-01" ||
		r.From.Any[2].User[0] != `EXAMPLE\*` || r.Schedule.Spans[0].Hours[0] != "08:00-18:00" {
		t.Errorf("the first rule was read as %+v", r)
	}
	doc, err := yaml.Marshal(map[string]any{"rules": s.Rules, "workspaces": s.Workspaces})
	if err != nil {
		t.Fatal(err)
	}
	again, err := settings.Parse(doc)
	if err != nil {
		t.Fatalf("%v in what was written:\n%s", err, doc)
	}
	if d := cmp.Diff(s, again); d != "" {
		t.Errorf("written and read again (-first +again):\n%s\n%s", d, doc)
	}
}

func TestRuleProblems(t *testing.T) {
	access := func(s string) string { return "rules:\n  access:\n    - " + s }
	long := strings.Repeat("x", 1100)
	for _, c := range []struct{ name, doc, want string }{
		{"no name", access(`{action: block}`), "line 3: rules.access[0].name: a name is needed here"},
		{"name twice", access("{name: a}\n    - group: g\n      rules: [{name: a}]"), `line 5: rules.access[1].rules[0].name: the name "a" is taken by rules.access[0]`},
		{"group twice", access("{group: g, rules: []}\n    - {group: g, rules: []}"), `line 4: rules.access[1].group: the name "g" is taken by rules.access[0]`},
		{"name with line end", access(`{name: "a\nb"}`), "rules.access[0].name: a name is one line"},
		{"unknown key", access(`{name: a, form: {}}`), `line 3: unknown field "form"`},
		{"unknown action", access(`{name: a, action: deny}`), `rules.access[0].action: unknown action "deny"; use allow, block, redirect or next-group`},
		{"redirect without target", access(`{name: a, action: redirect}`), "rules.access[0].redirect_to: action redirect needs an absolute http or https URL"},
		{"redirect to script", access(`{name: a, action: redirect, redirect_to: "javascript:x"}`), "rules.access[0].redirect_to: action redirect needs"},
		{"redirect to line end", access(`{name: a, action: redirect, redirect_to: "http://a/\r\nX: y"}`), "rules.access[0].redirect_to: action redirect needs"},
		{"redirect status", access(`{name: a, action: redirect, redirect_to: "http://a/", redirect_status: 301}`), "rules.access[0].redirect_status: 301 is not 302 or 307"},
		{"target without redirect", access(`{name: a, redirect_to: "http://a/"}`), "redirect_to and redirect_status belong to action redirect"},
		{"range with block", access(`{name: a, drop_range: true}`), "rules.access[0].drop_range: this belongs to access rules with action allow"},
		{"protection in access", access(`{name: a, malware: block}`), "malware, encrypted and macros belong to rules.protection"},
		{"any and all", access(`{name: a, from: {any: [{user: a}], all: [{user: b}]}}`), "rules.access[0].from: write any or all, not both"},
		{"empty any", access(`{name: a, match: {any: []}}`), "rules.access[0].match: the list is empty"},
		{"null any", access("name: a\n      match:\n        any:\n"), "line 5: rules.access[0].match.any: there is no value here"},
		{"null from", access("name: a\n      from:\n"), "line 4: rules.access[0].from: there is no value here"},
		{"null item", access(`{name: a, match: {any: [{url: }]}}`), "rules.access[0].match.any[0].url: there is no value here"},
		{"null in list", access(`{name: a, match: {any: [{url: [a, ~]}]}}`), "want a text, or a list of texts"},
		{"empty list of values", access(`{name: a, match: {any: [{url: []}]}}`), "line 3: the list is empty"},
		{"mapping for values", access(`{name: a, match: {any: [{url: {a: b}}]}}`), "line 3: want a text, or a list of texts"},
		{"two keys", access(`{name: a, match: {any: [{url: a, mime: a/b}]}}`), "rules.access[0].match.any[0]: an item has exactly one key"},
		{"no key", access(`{name: a, from: {any: [{}]}}`), "rules.access[0].from.any[0]: an item has exactly one key, one of user, group"},
		{"empty value", access(`{name: a, from: {any: [{user: ""}]}}`), "rules.access[0].from.any[0].user: a value has 1 to"},
		{"white space", access(`{name: a, from: {any: [{user: "a "}]}}`), `rules.access[0].from.any[0].user: "a " has white space around it`},
		{"long value", access(`{name: a, from: {any: [{user: ` + long + `}]}}`), "a value has 1 to 1000 bytes"},
		{"bad regex", access(`{name: a, from: {any: [{user: "regex:a("}]}}`), "rules.access[0].from.any[0].user: the regular expression is wrong: missing closing )"},
		{"empty regex", access(`{name: a, from: {any: [{user: "regex:"}]}}`), "the regular expression is empty"},
		{"huge regex", access(`{name: a, match: {any: [{url: "regex:(a{1000}|b{1000}|c{1000}){4}"}]}}`), "rules.access[0].match.any[0].url: the regular expression is"},
		{"many stars", access(`{name: a, from: {any: [{user: "` + strings.Repeat("a*", 17) + `"}]}}`), "has more than 16 stars"},
		{"bad address", access(`{name: a, from: {any: [{address: 10.0.0}]}}`), `rules.access[0].from.any[0].address: "10.0.0" is not an address`},
		{"host bits", access(`{name: a, from: {any: [{address: 10.0.0.1/8}]}}`), "did you mean 10.0.0.0/8?"},
		{"mixed range", access(`{name: a, from: {any: [{address: "10.0.0.1-::1"}]}}`), "both ends must be of one family"},
		{"backward range", access(`{name: a, from: {any: [{address: [10.0.0.1, 10.0.0.9-10.0.0.1]}]}}`), "rules.access[0].from.any[0].address[1]: range"},
		{"bad size", access(`{name: a, match: {any: [{size: 1MB}]}}`), `write a comparison such as ">1MB"`},
		{"bad comparison", access(`{name: a, match: {any: [{size: "><1MB"}]}}`), "use one of > >= < <= ="},
		{"below nothing", access(`{name: a, match: {any: [{size: "<0"}]}}`), "nothing is smaller than 0"},
		{"bad digest", access(`{name: a, match: {any: [{sha256: abc}]}}`), "is not a digest of 64 hexadecimal digits"},
		{"bad MIME", access(`{name: a, match: {any: [{mime: image}]}}`), `"image" is not a media type`},
		{"MIME parameters", access(`{name: a, match: {any: [{mime: "text/html; charset=x"}]}}`), "is not a media type"},
		{"method in small letters", access(`{name: a, match: {any: [{method: get}]}}`), "methods are in capitals: GET"},
		{"bad direction", access(`{name: a, match: {any: [{direction: up}]}}`), `"up" is not request or response`},
		{"length in access", access(`{name: a, match: {any: [{length: ">1"}]}}`), "length belongs to bypass rules"},
		{"type in bypass", "rules:\n  bypass:\n    - {name: a, action: allow, match: {any: [{type: pe}]}}", "line 3: rules.bypass[0].match.any[0]: bypass is decided before the body is seen"},
		{"bypass without action", "rules:\n  bypass:\n    - {name: a}", "rules.bypass[0].action: a bypass rule needs an action"},
		{"group in bypass", "rules:\n  bypass:\n    - {group: a}", `line 3: unknown field "group"`},
		{"next-group in bypass", "rules:\n  bypass:\n    - {name: a, action: next-group}", "next-group has no meaning here"},
		{"empty exclusion", access(`{name: a, except: [{}]}`), "rules.access[0].except[0]: an exclusion needs from, match or both"},
		{"zone", access(`{name: a, schedule: {zone: Mars, spans: [{days: mon}]}}`), `rules.access[0].schedule.zone: unknown time zone "Mars"`},
		{"empty schedule", access(`{name: a, schedule: {zone: UTC}}`), "a schedule needs spans, from or until"},
		{"days", access(`{name: a, schedule: {spans: [{days: [mon, someday]}]}}`), `rules.access[0].schedule.spans[0].days[1]: "someday" is not a day`},
		{"hours", access(`{name: a, schedule: {spans: [{hours: 8-18}]}}`), "write HH:MM-HH:MM"},
		{"hours above 24", access(`{name: a, schedule: {spans: [{hours: 08:00-24:01}]}}`), "write HH:MM-HH:MM"},
		{"no hours", access(`{name: a, schedule: {spans: [{hours: 08:00-08:00}]}}`), "hold no time"},
		{"empty span", access(`{name: a, schedule: {spans: [{}]}}`), "a span needs days, hours or both"},
		{"date", access(`{name: a, schedule: {from: 31.12.2026}}`), "write YYYY-MM-DD"},
		{"dates backward", access(`{name: a, schedule: {from: 2026-02-01, until: 2026-01-01}}`), "rules.access[0].schedule.until: the last day 2026-01-01 is before the first"},
		{"group with rule keys", access(`{group: g, action: block, rules: []}`), "rules.access[0]: a group has the keys group, comment, enabled and rules"},
		{"rules without group", access(`{rules: [{name: a}]}`), "rules.access[0].group: a name is needed here"},
		{"row twice", access("workspaces: here\n    - workspaces: here"), "rules.access[1].workspaces: this row stands at rules.access[0] already"},
		{"row elsewhere", access("workspaces: Berlin"), `write "workspaces: here"`},
		{"row with name", access("{workspaces: here, name: a}"), `the row "workspaces: here" has no other key`},
		{"protection without class", "rules:\n  protection:\n    - {name: a}", "a protection rule needs at least one of malware, encrypted and macros"},
		{"protection with action", "rules:\n  protection:\n    - {name: a, malware: skip, action: allow}", "a protection rule has no action of its own"},
		{"disinfect macros", "rules:\n  protection:\n    - {name: a, macros: disinfect}", `rules.protection[0].macros: unknown action "disinfect"; use block or skip`},
		{"workspace without members", "workspaces:\n  - {name: w, members: []}", "line 2: workspaces[0].members: a workspace needs at least one member"},
		{"workspace by agent", "workspaces:\n  - {name: w, members: [{agent: a}]}", "anybody can choose an agent"},
		{"workspace twice", "workspaces:\n  - {name: w, members: [{user: a}]}\n  - {name: w, members: [{user: a}]}", `workspaces[1].name: the name "w" is taken by workspaces[0]`},
		{"row in workspace", "workspaces:\n  - {name: w, members: [{user: a}], access: [{workspaces: here}]}", "only the global tables have this row"},
		{"default protection", "protection:\n  default: {malware: allow}", "protection.default.malware"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := settings.Parse([]byte(c.doc))
			var ps settings.Problems
			if !errors.As(err, &ps) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("have %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestRuleBounds(t *testing.T) {
	many := make([]settings.Entry, settings.MaxRules+1)
	for i := range many {
		many[i].Name = fmt.Sprint(i)
	}
	for name, r := range map[string]settings.Rules{
		"more than 200000":   {Access: many},
		"more than 1000":     {Access: []settings.Entry{{Rule: settings.Rule{Name: "a", From: settings.Initiators{Any: make([]settings.Initiator, 1001)}}}}},
		"1 to 10000 values":  {Access: []settings.Entry{{Rule: settings.Rule{Name: "a", From: settings.Initiators{Any: []settings.Initiator{{User: make(settings.Strings, 10_001)}}}}}}},
		"more than 100":      {Access: []settings.Entry{{Rule: settings.Rule{Name: "a", Except: make([]settings.Exclusion, 101)}}}},
		"longer than 200 ch": {Access: []settings.Entry{{Rule: settings.Rule{Name: strings.Repeat("a", 201)}}}},
	} {
		if err := settings.ValidateRules(&r, nil).Err(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("have %.300v, want %s", err, name)
		}
	}
}

func TestSizeRange(t *testing.T) {
	const top = 1<<63 - 1
	for in, want := range map[string]settings.SizeRange{
		">1KB": {Min: 1025, Max: top}, ">=1KB": {Min: 1024, Max: top}, "<1KB": {Max: 1023}, "<=1KB": {Max: 1024}, "=0": {}, "1KB - 2KB": {Min: 1024, Max: 2048}, "7-7": {Min: 7, Max: 7},
	} {
		if have, err := settings.ParseSizeRange(in); err != nil || have != want {
			t.Errorf("%s: have %v %v, want %v", in, have, err, want)
		}
	}
}

func TestDays(t *testing.T) {
	days, err := settings.ParseDays("sat-mon")
	if err != nil || !days[time.Saturday] || !days[time.Sunday] || !days[time.Monday] || days[time.Tuesday] || days[time.Friday] {
		t.Errorf("sat-mon: %v %v", days, err)
	}
}
