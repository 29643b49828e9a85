package node_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/node"
)

const noA = "rules: {access: [{name: no a, match: {all: [{url: a.test}]}}]}\n"

func (r *running) blocked(url string) bool {
	r.t.Helper()
	return strings.HasPrefix(respmod(r.t, r.icap, url, "hello"), "ICAP/1.0 200 ")
}

// TestALostDocumentIsNoReset: a settings file that was moved away, or is deleted
// for a moment by an editor, leaves the rules in force, over a restart too.
func TestALostDocumentIsNoReset(t *testing.T) {
	r := start(t)
	r.write(noA)
	eventually(t, "the rule acts", func() bool { return r.blocked("http://a.test/") })
	if err := os.Remove(filepath.Join(r.dir, "sluice.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lost document is reported", func() bool { return strings.Contains(r.Status().Problem, "no such file") })
	if !r.blocked("http://a.test/") {
		t.Error("the rules went with the document")
	}
	r.stop()
	r.start()
	if !r.blocked("http://a.test/") {
		t.Error("the rules went with the document at the restart")
	}
	r.write("")
	eventually(t, "the new document is in force", func() bool { return !r.blocked("http://a.test/") })
}

// TestSettingsThatCannotBeKeptAreNotCalledRefused: what is in force is said to be.
func TestSettingsThatCannotBeKeptAreNotCalledRefused(t *testing.T) {
	r := start(t)
	if err := os.RemoveAll(filepath.Join(r.dir, "revisions")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "revisions"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.write(noA)
	eventually(t, "the rule acts", func() bool { return r.blocked("http://a.test/") })
	if p := r.Status().Problem; p != "" {
		t.Errorf("settings that are in force have the problem %q", p)
	}
}

// TestAnotherClamdTakesOverUnnoticed: a change of what clamd is started with
// blocks nothing while the new one loads, and the old one ends its scans.
func TestAnotherClamdTakesOverUnnoticed(t *testing.T) {
	r := start(t)
	signatures := filepath.Join(r.dir, "signatures")
	if err := os.MkdirAll(signatures, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(signatures, "lab.ndb"), []byte("Lab.Test:0:*:6c61622d74657374\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(limit string) {
		doc := strings.Replace(r.document("protection: {limits: {time: "+limit+"}}\n"), `clamd: {mode: "off"}`, "cache: {entries: 0}", 1)
		name := filepath.Join(r.dir, "sluice.yaml")
		if err := os.WriteFile(name+".new", []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	write("20s")
	eventually(t, "clamd answers", func() bool {
		_, m := r.get("/metrics")
		return strings.Contains(m, `sluice_engine_up{engine="clamd"} 1`)
	})
	for i, limit := range []string{"21s", "22s", "20s", "21s"} {
		before := r.Status().Revision
		write(limit)
		n := 0
		eventually(t, "the revision changes", func() bool {
			n++
			if a := respmod(t, r.icap, "http://a.test/", fmt.Sprintf("body %d %d", i, n)); !strings.HasPrefix(a, "ICAP/1.0 204 ") {
				t.Errorf("change %d: %s", i, a)
			}
			return r.Status().Revision != before
		})
	}
	if a := respmod(t, r.icap, "http://a.test/", "a lab-test b"); !strings.Contains(a, "Lab.Test") {
		t.Errorf("the new clamd: %s", a)
	}
}

// TestExplanationsTellWhatTheyCannotShow: an event keeps a long URL cut, so that
// deciding again may come to something else. That is said.
func TestExplanationsTellWhatTheyCannotShow(t *testing.T) {
	r := start(t)
	r.write("rules: {access: [{name: no secret, match: {all: [{url: \"*/*secret*\"}]}}]}\n")
	eventually(t, "the rule acts", func() bool { return r.blocked("http://a.test/secret") })
	for _, c := range []struct {
		url  string
		note bool
	}{{"http://a.test/" + strings.Repeat("x", 5000) + "/secret", true}, {"http://a.test/secret", false}} {
		a := respmod(t, r.icap, c.url, "hello")
		raw, err := r.client.Explain(t.Context(), receipt(a))
		if err != nil {
			t.Fatal(err)
		}
		var e node.Explanation
		if err := json.Unmarshal(raw, &e); err != nil || (e.Note != "") != c.note || len(e.Rules.Stages) == 0 {
			t.Errorf("note %q, %d stages, %v", e.Note, len(e.Rules.Stages), err)
		}
		var out strings.Builder
		if err := e.Print(&out); err != nil || strings.Contains(out.String(), "Beware") != c.note {
			t.Errorf("for people: %v\n%s", err, out.String())
		}
	}
}
