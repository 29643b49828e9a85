package page_test

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/page"
	"sluice/internal/tx"
)

func values() *page.Values {
	return &page.Values{
		Now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), Processing: 1500 * time.Microsecond,
		Server: "gw1", Version: "1.0", Direction: tx.DirResponse, Method: "GET",
		URL: "http://a.test/<script>alert(1)</script>", MIME: "text/html", User: `EXAMPLE\alice`,
		Client: "10.0.0.1", Agent: "curl/8", Workspace: "Sales", Rule: `No "exe"`, Threat: "Eicar-Test",
		Reason: tx.Malware, Detail: "message > a.zip > b", ID: tx.NewID(time.Unix(1, 0)),
	}
}

func TestEveryMacroShowsItsValueEscaped(t *testing.T) {
	v := values()
	s, err := page.New(page.Config{Language: "en", Templates: map[string]string{"en": strings.Join(page.Macros(), "|")}})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := s.Render("", v)
	want := "2026-11-24 08:00:00 +00:00"
	for _, w := range []string{
		want, "gw1", "1.0", "response", "GET", "&lt;script&gt;alert(1)&lt;/script&gt;", "text/html",
		`EXAMPLE\alice`, "10.0.0.1", "curl/8", "Sales", "No &#34;exe&#34;", "Eicar-Test", "malware",
		"message &gt; a.zip &gt; b", v.ID.String(), "It contains malware.", "1 ms", "your administrator", "Sluice",
	} {
		if !strings.Contains(string(got), w) {
			t.Errorf("page lacks %q:\n%s", w, got)
		}
	}
	if strings.Contains(string(got), "%") || strings.Contains(string(got), "<script>") {
		t.Errorf("a macro or markup was left in:\n%s", got)
	}
}

func TestLanguageFollowsTheBrowser(t *testing.T) {
	s, err := page.New(page.Config{Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]string{
		"": "en", "de": "de", "de-AT,en;q=0.5": "de", "fr, de;q=0.1": "de", "en;q=0.2,de;q=0.9": "de",
		"de;q=0": "en", "xx": "en", "de;q=huge": "en", strings.Repeat("x,", 100) + "de": "en",
	} {
		if _, tag := s.Render(accept, values()); tag != want {
			t.Errorf("Accept-Language %q gives %q, want %q", accept, tag, want)
		}
	}
}

func TestRuleTextGoesBeforeTheReason(t *testing.T) {
	s, _ := page.New(page.Config{Language: "en", Contact: "help@example.test"})
	v := values()
	v.RuleText = "Ask Finance first."
	got, _ := s.Render("", v)
	if !strings.Contains(string(got), "Ask Finance first.") || !strings.Contains(string(got), "help@example.test") {
		t.Errorf("page:\n%s", got)
	}
}

func TestTheDefaultPolicyHasAName(t *testing.T) {
	s, _ := page.New(page.Config{Language: "en"})
	v := values()
	v.Rule = ""
	if got, _ := s.Render("de", v); !strings.Contains(string(got), "Standard-Schutzrichtlinie") {
		t.Errorf("page:\n%s", got)
	}
	v.Reason = tx.EngineError
	if got, _ := s.Render("de", v); strings.Contains(string(got), "Standard-Schutzrichtlinie") {
		t.Errorf("page:\n%s", got)
	}
}

func TestBadTemplatesAreRefused(t *testing.T) {
	for name, c := range map[string]page.Config{
		`block page "en": line 2: unknown macro %USERNAME%`: {Language: "en", Templates: map[string]string{"en": "a\n%USERNAME%"}},
		"not UTF-8":               {Language: "en", Templates: map[string]string{"en": "\xff"}},
		"default language \"fr\"": {Language: "fr"},
		"larger than":             {Language: "en", Templates: map[string]string{"en": strings.Repeat("x", page.MaxTemplate+1)}},
	} {
		if _, err := page.New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want an error with %q, have %v", name, err)
		}
	}
}

func FuzzRender(f *testing.F) {
	s, err := page.New(page.Config{Language: "en"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("de;q=0.5,en", "http://x/<b>", "\x00\xff")
	f.Fuzz(func(t *testing.T, accept, url, agent string) {
		v := values()
		v.URL, v.Agent, v.Detail = url, agent, agent
		got, _ := s.Render(accept, v)
		clean := values()
		clean.URL, clean.Agent, clean.Detail = "u", "u", "u"
		want, _ := s.Render(accept, clean)
		if strings.Count(string(got), "<") != strings.Count(string(want), "<") {
			t.Errorf("a value brought markup into the page: %q %q", url, agent)
		}
	})
}
