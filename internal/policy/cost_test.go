package policy

import (
	"fmt"
	"testing"

	"sluice/internal/settings"
	"sluice/internal/tx"
)

// manyRules makes n access rules, each by fill.
func manyRules(n int, fill func(i int, r *settings.Rule)) settings.Rules {
	out := settings.Rules{Access: make([]settings.Entry, n)}
	for i := range out.Access {
		out.Access[i].Name = fmt.Sprintf("rule %d", i)
		fill(i, &out.Access[i].Rule)
	}
	return out
}

func anyMatch(c ...settings.Criterion) settings.Criteria  { return settings.Criteria{Any: c} }
func allMatch(c ...settings.Criterion) settings.Criteria  { return settings.Criteria{All: c} }
func anyFrom(i ...settings.Initiator) settings.Initiators { return settings.Initiators{Any: i} }
func textf(format string, args ...any) settings.Strings {
	return settings.Strings{fmt.Sprintf(format, args...)}
}
func digest32(i int) string { return fmt.Sprintf("%064x", i) }
func mustCompile(t testing.TB, r settings.Rules) *Policy {
	t.Helper()
	p, err := Compile(r, nil, settings.DefaultProtection(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// However thousands of rules are alike, only a few are asked, at every level of
// knowledge.
func TestFewRulesAreAsked(t *testing.T) {
	const n, few = 5000, 12
	hash := func(i int) settings.Criterion { return settings.Criterion{SHA256: settings.Strings{digest32(i + 1)}} }
	for _, c := range []struct {
		name string
		fill func(i int, r *settings.Rule)
	}{
		{"hosts", func(i int, r *settings.Rule) { r.Match = anyMatch(settings.Criterion{URL: textf("h%d.example", i)}) }},
		{"hosts of one group", func(i int, r *settings.Rule) {
			r.From, r.Match = anyFrom(settings.Initiator{Group: textf("Guests")}), anyMatch(settings.Criterion{URL: textf("h%d.example", i)})
		}},
		{"groups at one host", func(i int, r *settings.Rule) {
			r.From, r.Match = anyFrom(settings.Initiator{Group: textf("Group %d", i)}), anyMatch(settings.Criterion{URL: textf("contoso-intranet.org")})
		}},
		{"paths at one host", func(i int, r *settings.Rule) {
			r.Match = anyMatch(settings.Criterion{URL: textf("contoso-intranet.org/doc%05d", i)})
		}},
		{"digests", func(i int, r *settings.Rule) { r.Match = anyMatch(hash(i)) }},
		{"digests of one group", func(i int, r *settings.Rule) {
			r.From, r.Match = anyFrom(settings.Initiator{Group: textf("Guests")}), anyMatch(hash(i))
		}},
		{"digests of another group", func(i int, r *settings.Rule) {
			r.From, r.Match = anyFrom(settings.Initiator{Group: textf("Others")}), anyMatch(hash(i))
		}},
		{"digests of uploads", func(i int, r *settings.Rule) { r.Match = allMatch(hash(i), settings.Criterion{Direction: "request"}) }},
		{"MIME types", func(i int, r *settings.Rule) {
			r.Match = anyMatch(settings.Criterion{MIME: textf("application/x-%d", i)})
		}},
		{"networks", func(i int, r *settings.Rule) {
			r.From = anyFrom(settings.Initiator{Address: textf("10.%d.%d.0/24", 20+i/250, i%250)})
		}},
		{"path masks", func(i int, r *settings.Rule) { r.Match = anyMatch(settings.Criterion{URL: textf("*/*ad%05dx*", i)}) }},
		{"expressions", func(i int, r *settings.Rule) {
			r.Match = anyMatch(settings.Criterion{URL: textf("regex:/q%04d[a-z]+/(x|y)", i)})
		}},
		{"agents", func(i int, r *settings.Rule) { r.From = anyFrom(settings.Initiator{Agent: textf("bot-%d/*", i)}) }},
		{"file names", func(i int, r *settings.Rule) {
			r.Match = anyMatch(settings.Criterion{FileName: textf("evil%d*.exe", i)})
		}},
		{"hosts allowed by MIME", func(i int, r *settings.Rule) {
			r.Action = settings.ActionAllow
			r.Match = allMatch(settings.Criterion{URL: textf("h%d.example", i)}, settings.Criterion{MIME: textf("image/*")})
		}},
		{"users or groups", func(i int, r *settings.Rule) {
			r.From = anyFrom(settings.Initiator{User: textf("u%d", i)}, settings.Initiator{Group: textf("G%d", i)}, settings.Initiator{Address: textf("10.200.%d.%d", i/250, i%250)})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustCompile(t, manyRules(n, c.fill))
			req, resp := benchExchange()
			for _, x := range []*tx.Transaction{req, resp} {
				for _, body := range []bool{false, true} {
					x.HasBody = body
					f := factsOf(t, x, benchNow)
					objects := []*Object{f.object}
					if body {
						objects = append(objects, &Object{Name: "app.js", Type: "text", Size: 10})
					}
					for _, o := range objects {
						if o != nil {
							f.SetObject(o)
						}
						var tally tally
						p.access.before.walk(&tally, p.seed, f)
						if tally.asked > few {
							t.Errorf("%s, body %v, object %v: %d rules of %d were asked", x.Direction, body, o != nil, tally.asked, n)
						}
					}
				}
			}
		})
	}
}

// What a hostile client repeats in a URL costs once.
func TestRepeatedGrams(t *testing.T) {
	p := mustCompile(t, manyRules(1000, func(i int, r *settings.Rule) {
		r.Match = anyMatch(settings.Criterion{URL: textf("regex:evil%d", i)})
	}))
	url := []byte("http://a.test/")
	for len(url) < 50_000 {
		url = append(url, "evil"...)
	}
	x := &tx.Transaction{Request: tx.Request{Method: []byte("GET"), URL: url}, Length: -1}
	f := factsOf(t, x, benchNow)
	if d := p.Access(f); !d.Decided || d.Action != Allow {
		t.Errorf("have %s", show(d))
	}
	if len(f.cursors.hits) > 10 {
		t.Errorf("%d postings were walked for one gram", len(f.cursors.hits))
	}
}

func TestDecisionsWithoutAllocation(t *testing.T) {
	if raceEnabled {
		return
	}
	rules := mixedRules(2000)
	rules.Bypass = []settings.Rule{{Name: "b", Action: "allow", Match: anyMatch(settings.Criterion{MIME: settings.Strings{"video/*"}})}}
	rules.Protection = manyRules(100, func(i int, r *settings.Rule) {
		r.Malware, r.From = "skip", anyFrom(settings.Initiator{User: textf("u%d*", i)})
	}).Access
	ws := []settings.Workspace{{Name: "w", Members: []settings.Initiator{{Address: settings.Strings{"10.0.0.0/8"}}}, Access: manyRules(10, func(i int, r *settings.Rule) {
		r.Match = anyMatch(settings.Criterion{FileName: textf("*.e%d", i)})
	}).Access}}
	p, err := Compile(rules, ws, settings.DefaultProtection(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	req, resp := benchExchange()
	object := &Object{Name: "dir/App.JS", Type: "text", PartMIME: "text/plain; x=y"}
	f := new(Facts)
	run := func() {
		for _, x := range []*tx.Transaction{req, resp} {
			_ = f.Reset(x, benchNow)
			p.Workspace(f)
			p.Bypass(f)
			p.Access(f)
			f.SetObject(object)
			p.Access(f)
			p.Protection(f, Malware).Rule.Hit()
		}
	}
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSkewed(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		for _, c := range []struct {
			name string
			fill func(i int, r *settings.Rule)
		}{
			{"hosts", func(i int, r *settings.Rule) { r.Match = anyMatch(settings.Criterion{URL: textf("h%d.example", i)}) }},
			{"users", func(i int, r *settings.Rule) { r.From = anyFrom(settings.Initiator{User: textf("u%d", i)}) }},
			{"expressions", func(i int, r *settings.Rule) {
				if i < 20_000 {
					r.Match = anyMatch(settings.Criterion{URL: textf("regex:/q%04d[a-z]+/(x|y)", i)})
				} else {
					r.Match = anyMatch(settings.Criterion{URL: textf("*/*q%05dx*", i)})
				}
			}},
			{"digests", func(i int, r *settings.Rule) {
				r.Match = anyMatch(settings.Criterion{SHA256: settings.Strings{digest32(i + 1)}})
			}},
		} {
			p := mustCompile(b, manyRules(n, c.fill))
			_, resp := benchExchange()
			f := factsOf(b, resp, benchNow)
			f.SetObject(&Object{Name: "a.js", Type: "text"})
			b.Run(fmt.Sprintf("%s/rules=%d", c.name, n), func(b *testing.B) {
				cpuLoop(b, func(int) { p.Access(f) })
			})
		}
	}
}
