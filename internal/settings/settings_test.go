package settings_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"sluice/internal/settings"
)

func TestTemplateMeansTheDefaults(t *testing.T) {
	got, err := settings.Parse(settings.Template())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(settings.Default(), got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("template differs from the defaults (-default +template):\n%s", d)
	}
}

func TestEmptyDocumentIsTheDefaults(t *testing.T) {
	for _, doc := range []string{"", "# nothing\n", "---\n", "{}"} {
		got, err := settings.Parse([]byte(doc))
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		if d := cmp.Diff(settings.Default(), got); d != "" {
			t.Errorf("%q:\n%s", doc, d)
		}
	}
}

func TestProblemsNameLineAndField(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"unknown field", "node:\n  nam: x\n", `line 2: unknown field "nam"`},
		{"unknown top field", "nodes: {}\n", `line 1: unknown field "nodes"`},
		{"twice", "icap: {}\nicap: {}\n", "line 2: "},
		{"syntax", "node:\n\tname: x\n", "line 2: "},
		{"second document", "node: {}\n---\nnode: {}\n", "line 2: a second YAML document"},
		{"wrong shape", "icap:\n  preview: many\n", `line 2: "many" does not fit here: want a whole number`},
		{"list for mapping", "node: []\n", "line 1: a list does not fit here: want a mapping"},
		{"bad size", "node:\n  spool:\n    memory: 10 elephants\n", `line 3: size "10 elephants": unknown unit`},
		{"bad duration", "icap:\n  options_ttl: soon\n", `line 2: duration "soon"`},
		{"range", "# c\nicap:\n  preview: 70000\n", "line 3: icap.preview: 70000 is out of range: 0 to 65536"},
		{"list item", "icap:\n  clients:\n    - 10.0.0.0/8\n    - ten\n", `line 4: icap.clients[1]: "ten": write an address`},
		{"open admin", "node:\n  admin: {listen: \"0.0.0.0:9344\"}\n", "line 2: node.admin.listen: "},
		{"fail policy", "protection:\n  on:\n    timed_out: maybe\n", `line 3: protection.on.timed_out: "maybe" is unknown here: write block or allow`},
		{"tls without key", "node:\n  icap:\n    tls: {listen: [\":11344\"]}\n", "line 3: node.icap.tls: certificate and key are needed"},
		{"two lists, one name", "engines:\n  hashlists:\n    - {name: a, file: /a}\n    - {name: a, file: /b}\n", "line 4: engines.hashlists[1].name"},
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

func TestAllProblemsAreNamedAtOnce(t *testing.T) {
	_, err := settings.Parse([]byte("icap:\n  preview: -1\n  connect: never\npages:\n  language: \"!\"\n"))
	if n := strings.Count(err.Error(), "\n") + 1; n < 3 {
		t.Errorf("want three problems or more, have %d:\n%v", n, err)
	}
}

func TestHashFollowsMeaningNotWriting(t *testing.T) {
	hash := func(doc string) string {
		s, err := settings.Parse([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		h, err := s.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if hash("") != hash(string(settings.Template())) || hash("node: {name: a}") != hash("# x\nnode:\n  name: \"a\"\n") {
		t.Error("equal settings have different hashes")
	}
	if hash("") == hash("node: {name: a}") {
		t.Error("different settings have one hash")
	}
}

func TestCanonicalFormReadsBack(t *testing.T) {
	s := settings.Default()
	doc, err := s.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	got, err := settings.Parse(doc)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	if d := cmp.Diff(s, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]settings.Size{
		"0": 0, "17": 17, "17B": 17, "64KB": 65536, "64 kib": 65536, "1.5 MB": 3 << 19, "2g": 2 << 30, "1TB": 1 << 40,
	} {
		if got, err := settings.ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %d", text, int64(got), err, want)
		}
	}
	for _, text := range []string{"", "KB", "-1", "1XB", "1.2.3MB", "NaN", "Inf", "99999999999TB", "1 i"} {
		if got, err := settings.ParseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, int64(got))
		}
	}
}

func TestTextFormsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settings.Size(rapid.Int64Range(0, 1<<50).Draw(t, "size"))
		if got, err := settings.ParseSize(s.String()); err != nil || got != s {
			t.Fatalf("%v: %v, %v", s, got, err)
		}
		d := settings.Duration(time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "duration")))
		if got, err := settings.ParseDuration(d.String()); err != nil || got != d {
			t.Fatalf("%v: %v, %v", d, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(settings.Template())
	f.Add([]byte("rules: {access: [{name: a, action: block, match: {all: [{url: x.test}]}}]}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := settings.Parse(doc)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		out, err := s.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		again, err := settings.Parse(out)
		if err != nil {
			t.Fatalf("canonical form is refused: %v\n%s", err, out)
		}
		if d := cmp.Diff(s, again, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	})
}
