package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/settings"
	"sluice/internal/tx"
)

func factsOf(t testing.TB, x *tx.Transaction, now time.Time) *Facts {
	t.Helper()
	f := new(Facts)
	if err := f.Reset(x, now); err != nil {
		t.Fatalf("facts of %s: %v", x.Request.URL, err)
	}
	return f
}

// levels calls each with the facts of a message at every level of knowledge.
func atLevels(f *Facts, objects []*Object, each func(level string)) {
	if f.objects == objectsPending {
		each("body pending")
	}
	for _, o := range objects {
		f.SetObject(o)
		each("object known")
	}
}

// The compiled policy decides as the reference does, whatever is known.
func TestCompiledIsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, ws := genRules(t)
		p, err := Compile(rules, ws, settings.DefaultProtection(), Options{})
		if err != nil {
			t.Fatalf("compile: %v", err)
		}
		for range 4 {
			now := genTime(t)
			req, resp := genExchange(t)
			for _, x := range []*tx.Transaction{req, resp} {
				f := new(Facts)
				if err := f.Reset(x, now); err != nil {
					t.Fatal(err)
				}
				atLevels(f, genObjects(t, x), func(level string) {
					compare(t, p, f, level)
				})
			}
		}
	})
}

func compare(t *rapid.T, p *Policy, f *Facts, level string) {
	for _, c := range []struct {
		stage Stage
		have  Decision
		def   Action
	}{
		{StageBypass, p.Bypass(f), Continue}, {StageAccess, p.Access(f), Allow},
	} {
		want := verdictOf(p.trace(c.stage, f), c.def)
		if c.have != want {
			t.Fatalf("%s %s of %s: have %v, want %v\n%v", level, c.stage, f.URL(), show(c.have), show(want), p.Explain(f, nil))
		}
	}
	if f.objects == objectsPending {
		return
	}
	steps := p.trace(StageProtection, f)
	want := verdictOf(steps, Continue)
	for class := range numClasses {
		action := p.byDefault[class]
		if r := ruleOf(steps, want); r != nil {
			action = r.protect[class]
		}
		if have := p.Protection(f, class); !have.Decided || have.Rule != want.Rule || have.Action != action {
			t.Fatalf("protection %s: have %v, want %v %v", class, show(have), action, show(want))
		}
	}
}

func show(d Decision) string {
	if !d.Decided {
		return "undecided"
	}
	if d.Rule == nil {
		return d.Action.String() + " by default"
	}
	return d.Action.String() + " by " + d.Rule.Path
}

// A decision made early is the decision made with everything known: of a whole
// exchange while only its request is known, of a message while its objects are
// not.
func TestLawOfEarlyDecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, ws := genRules(t)
		p, err := Compile(rules, ws, settings.DefaultProtection(), Options{})
		if err != nil {
			t.Fatalf("compile: %v", err)
		}
		now := genTime(t)
		req, resp := genExchange(t)
		fq, fr := new(Facts), new(Facts)
		if fq.Reset(req, now) != nil || fr.Reset(resp, now) != nil {
			t.Fatal("facts")
		}
		reqObjects, respObjects := genObjects(t, req), genObjects(t, resp)
		for _, stage := range []Stage{StageBypass, StageAccess} {
			lawOfRequest(t, p, stage, fq, fr, reqObjects, respObjects)
			lawOfResponse(t, p, stage, fr, respObjects)
			_ = fq.Reset(req, now)
			_ = fr.Reset(resp, now)
		}
	})
}

func decide(p *Policy, s Stage, f *Facts) Decision {
	if s == StageBypass {
		return p.Bypass(f)
	}
	return p.Access(f)
}

func lawOfRequest(t *rapid.T, p *Policy, s Stage, fq, fr *Facts, reqObjects, respObjects []*Object) {
	early := decide(p, s, fq)
	for _, o := range reqObjects {
		fq.SetObject(o)
		later := decide(p, s, fq)
		for _, o2 := range respObjects {
			fr.SetObject(o2)
			full := omniscient(p, s, fq, fr)
			sameEffect(t, "request head", early, full)
			sameEffect(t, "request with body", later, full)
		}
	}
}

func lawOfResponse(t *rapid.T, p *Policy, s Stage, fr *Facts, objects []*Object) {
	if fr.objects == objectsPending {
		return
	}
	fr.objects = objectsPending
	early := decide(p, s, fr)
	for _, o := range objects {
		fr.SetObject(o)
		full := decide(p, s, fr)
		if !full.Decided {
			t.Fatalf("undecided though everything is known")
		}
		sameEffect(t, "response head", early, full)
	}
}

// omniscient decides a stage of an exchange of which both messages are known.
func omniscient(p *Policy, s Stage, fq, fr *Facts) Decision {
	var steps []step
	for _, seg := range p.chain(s, fq) {
		if seg == nil {
			continue
		}
		for i := range seg.rules {
			r := &seg.rules[i]
			a, _ := explainRule(r, fq, true)
			if !r.hasDirection {
				b, _ := explainRule(r, fr, true)
				a = max(a, b)
			}
			steps = append(steps, step{rule: r, answer: a})
		}
	}
	return verdictOf(steps, [...]Action{Continue, Allow}[s])
}

func sameEffect(t *rapid.T, when string, early, full Decision) {
	switch {
	case !early.Decided:
	case !full.Decided:
		t.Fatalf("%s: the full decision is undecided", when)
	case early.Action != full.Action:
		t.Fatalf("%s: decided %s, with everything known %s", when, show(early), show(full))
	case early.Action == Block:
	case early.Action == Redirect:
		if early.Rule.RedirectTo != full.Rule.RedirectTo || early.Rule.RedirectStatus != full.Rule.RedirectStatus {
			t.Fatalf("%s: redirected to %s, with everything known to %s", when, early.Rule.RedirectTo, full.Rule.RedirectTo)
		}
	case early.Rule != full.Rule:
		t.Fatalf("%s: passed %s, with everything known %s", when, show(early), show(full))
	}
}
