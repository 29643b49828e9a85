package policy

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/settings"
	"sluice/internal/tx"
)

// mixedRules is a table such as a large organisation might have: mostly blocked
// hosts, some by group, user, address, mask, expression, digest, type and MIME.
// Half of the rules on hosts are for one and the same group.
func mixedRules(n int) settings.Rules {
	rnd := rand.New(rand.NewPCG(1, 2))
	word := func(k int) string {
		b := make([]byte, k)
		for i := range b {
			b[i] = byte('a' + rnd.IntN(26))
		}
		return string(b)
	}
	from := func(i ...settings.Initiator) settings.Initiators { return settings.Initiators{Any: i} }
	match := func(c ...settings.Criterion) settings.Criteria { return settings.Criteria{All: c} }
	text := func(s string) settings.Strings { return settings.Strings{s} }
	out := settings.Rules{Access: make([]settings.Entry, n)}
	for i := range out.Access {
		r := settings.Rule{Name: fmt.Sprintf("rule %d", i), Action: "block"}
		host := word(8) + "." + word(5) + ".example"
		switch k := rnd.IntN(100); {
		case k < 40:
			r.Match = match(settings.Criterion{URL: text(host)})
		case k < 55:
			r.From = from(settings.Initiator{Group: text("Guests")})
			r.Match = match(settings.Criterion{URL: settings.Strings{host, word(9) + ".test"}})
		case k < 62:
			r.From = from(settings.Initiator{User: text("user" + word(6))})
		case k < 68:
			r.From = from(settings.Initiator{Group: text("Group " + word(6))})
			r.Match = match(settings.Criterion{MIME: text("video/*")})
		case k < 75:
			a := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(256)), byte(rnd.IntN(256)), 0})
			r.From = from(settings.Initiator{Address: text(netip.PrefixFrom(a, 24).String())})
			r.Match = match(settings.Criterion{Method: text("POST")}, settings.Criterion{URL: text(host)})
		case k < 82:
			r.Match = match(settings.Criterion{URL: text("*/*" + word(7) + "*.js")})
		case k < 86:
			r.Match = match(settings.Criterion{URL: text("*" + word(6) + "*.example")})
		case k < 90:
			r.Match = match(settings.Criterion{URL: text("regex:/" + word(6) + "[0-9]+/(ad|track)")})
		case k < 94:
			var h [32]byte
			h[0], h[1], h[2] = byte(i), byte(i>>8), byte(i>>16)
			r.Match = match(settings.Criterion{SHA256: text(hex.EncodeToString(h[:]))})
		case k < 97:
			r.Match = match(settings.Criterion{URL: text(host + "/" + word(5))}, settings.Criterion{Type: text("pe")})
		default:
			r.Action = "allow"
			r.Match = match(settings.Criterion{URL: text(host)}, settings.Criterion{MIME: text("image/*")})
		}
		out.Access[i].Rule = r
	}
	return out
}

func benchExchange() (req, resp *tx.Transaction) {
	req = &tx.Transaction{Length: -1}
	req.Request.Method = []byte("GET")
	req.Request.URL = []byte("https://www.static.contoso-intranet.org/assets/v2/app.bundle.min.js?build=20261124&lang=de")
	req.Request.Header = tx.Header{{Name: []byte("User-Agent"), Value: []byte("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36")}}
	req.Client.User = []byte(`EXAMPLE\userjohndoe`)
	req.Client.Groups = [][]byte{[]byte("Domain Users"), []byte("Guests"), []byte("Berlin Office"), []byte("VPN")}
	req.Client.Addr = netip.MustParseAddr("10.17.3.44")
	resp = new(tx.Transaction)
	*resp = *req
	resp.Direction, resp.HasBody, resp.Response.Status = tx.DirResponse, true, 200
	resp.Response.Header = tx.Header{{Name: []byte("Content-Type"), Value: []byte("application/javascript; charset=utf-8")}}
	return req, resp
}

var benchNow = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// cpuLoop runs step as b.Loop does and reports the CPU time of the process as
// well: on a busy machine it says more than the time on the wall.
func cpuLoop(b *testing.B, step func(i int)) {
	b.ReportAllocs()
	i, start := 0, cpuTime()
	for b.Loop() {
		step(i)
		i++
	}
	b.ReportMetric(float64(cpuTime()-start)/float64(i), "cpu-ns/op")
}

func cpuTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkDecision(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		p, err := Compile(mixedRules(n), nil, settings.DefaultProtection(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		req, resp := benchExchange()
		object := &Object{Name: "app.bundle.min.js", Type: "text", Size: 80_000}
		for _, c := range []struct {
			name   string
			t      *tx.Transaction
			object *Object
		}{{"request", req, nil}, {"response", resp, nil}, {"object", resp, object}} {
			f := factsOf(b, c.t, benchNow)
			b.Run(fmt.Sprintf("rules=%d/%s", n, c.name), func(b *testing.B) {
				cpuLoop(b, func(int) {
					if c.object != nil {
						f.SetObject(c.object)
					}
					p.Access(f)
				})
			})
			b.Run(fmt.Sprintf("rules=%d/%s-with-facts", n, c.name), func(b *testing.B) {
				cpuLoop(b, func(int) {
					_ = f.Reset(c.t, benchNow)
					if c.object != nil {
						f.SetObject(c.object)
					}
					p.Bypass(f)
					p.Access(f)
				})
			})
		}
	}
}

// Traffic whose hosts, paths, users and addresses differ from one decision to
// the next, a third of it to hosts of the rules: memory is not warm.
func BenchmarkVaried(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		rules := mixedRules(n)
		p, err := Compile(rules, nil, settings.DefaultProtection(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		facts := make([]*Facts, 8192)
		for i := range facts {
			req, _ := benchExchange()
			host := fmt.Sprintf("www.h%d.example", rnd.IntN(100_000))
			if m := rules.Access[rnd.IntN(n)].Match.All; i%3 == 0 && len(m) > 0 && len(m[0].URL) > 0 && !strings.ContainsAny(m[0].URL[0], "*:/") {
				host = m[0].URL[0]
			}
			req.Request.URL = fmt.Appendf(nil, "https://%s/static/%x/app.%x.js?id=%d", host, rnd.Uint32(), rnd.Uint32(), rnd.IntN(1e6))
			req.Client.User = fmt.Appendf(nil, "EXAMPLE\\user%d", rnd.IntN(50_000))
			req.Client.Addr = netip.AddrFrom4([4]byte{10, byte(rnd.IntN(256)), byte(rnd.IntN(256)), byte(rnd.IntN(256))})
			facts[i] = factsOf(b, req, benchNow)
		}
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			cpuLoop(b, func(i int) { p.Access(facts[i%len(facts)]) })
		})
	}
}

func BenchmarkFacts(b *testing.B) {
	req, _ := benchExchange()
	f := new(Facts)
	cpuLoop(b, func(int) { _ = f.Reset(req, benchNow) })
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		rules := mixedRules(n)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				p, err := Compile(rules, nil, settings.DefaultProtection(), Options{})
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(p)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/rule")
		})
	}
}
