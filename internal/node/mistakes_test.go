package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
