package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/tx"
)

func TestFiltersFindWhatTheySay(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	put := func(user string, change func(*Traffic)) {
		e := sample()
		e.User, e.Time = []byte(user), time.Now()
		change(e)
		l.Traffic(e)
	}
	put("alice", func(e *Traffic) { e.Action, e.Total, e.Received = "block", 900_000, 5<<20 })
	put("Bob", func(e *Traffic) { e.Host, e.Groups = []byte("intra.example.org"), [][]byte{[]byte(`EX\staff, "all"`)} })
	put("o'neil", func(e *Traffic) { e.Status, e.Groups, e.Threat = 404, nil, "Eicar-Test" })
	put(`a" or "b`, func(e *Traffic) { e.URL, e.Client = []byte("ftp://ftp.example.net/Pub/Datei.ZIP"), e.Peer })
	all := []string{"alice", "Bob", "o'neil", `a" or "b`}
	for _, tc := range []struct {
		words string
		want  []string
	}{
		{"", all},
		{"user=alice", []string{"alice"}},
		{"user=ALICE", nil},
		{"user=ali", nil},
		{"user!=alice", []string{"Bob", "o'neil", `a" or "b`}},
		{"user~BO", []string{"Bob"}},
		{"user!~o", []string{"alice"}},
		{`user=a" or "b`, []string{`a" or "b`}},
		{`user~" or "`, []string{`a" or "b`}},
		{"user^o'n", []string{"o'neil"}},
		{"user~.*", nil},
		{"host~example.org", []string{"Bob"}},
		{"url~datei.zip", []string{`a" or "b`}},
		{"url^ftp://ftp.example.net/", []string{`a" or "b`}},
		{"url=ftp://ftp.example.net/Pub/Datei.ZIP", []string{`a" or "b`}},
		{"groups=staff user=alice", []string{"alice"}},
		{"groups=staf", nil},
		{`groups=EX\staff, "all"`, []string{"Bob"}},
		{"groups!=staff", []string{"Bob", "o'neil"}},
		{"status>=400", []string{"o'neil"}},
		{"status<400 status>199 user~alice", []string{"alice"}},
		{"total>500ms", []string{"alice"}},
		{"received>=5MiB", []string{"alice"}},
		{"received<=5MB action=block", nil},
		{"client=10.0.0.1", []string{`a" or "b`}},
		{"threat~eicar", []string{"o'neil"}},
		{"objects~page.html action=block", []string{"alice"}},
		{"query=user:Bob", []string{"Bob"}},
		{"user=) or (*", nil},
		{`user=alice" or user:="Bob`, nil},
		{"since=1m until=0s node=n1 kind=traffic entrance=icap", all},
		{"until=1h", nil},
	} {
		var words []string
		if strings.Contains(tc.words, `"`) || strings.Contains(tc.words, ") or") || strings.HasPrefix(tc.words, "query") {
			words = []string{tc.words}
		} else {
			words = strings.Fields(tc.words)
		}
		q, err := ParseQuery(append(words, "order=oldest"), time.Now())
		if err != nil {
			t.Errorf("%s: %v", tc.words, err)
			continue
		}
		var got []string
		err = l.Query(t.Context(), q, func(line []byte) error {
			var row struct{ User string }
			err := json.Unmarshal(line, &row)
			got = append(got, row.User)
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", tc.words, err)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: wanted (-) and got (+):\n%s", tc.words, d)
		}
	}
}

func TestLimitAndOrder(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	begin := time.Now().Add(-time.Minute)
	for i := range 10 {
		e := sample()
		e.Time, e.Status = begin.Add(time.Duration(i)*time.Second), 100+i
		l.Traffic(e)
	}
	statuses := func(q Query) (got []string) {
		for _, row := range query(t, l, q) {
			got = append(got, row["status"])
		}
		return got
	}
	if d := cmp.Diff([]string{"109", "108", "107"}, statuses(Query{Limit: 3, Newest: true})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"100", "101"}, statuses(Query{Limit: 2})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"102", "103"}, statuses(Query{From: begin.Add(2 * time.Second), To: begin.Add(3 * time.Second)})); d != "" {
		t.Error(d)
	}
}

func TestManyEventsComeInPages(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	// Several events at the same time, also where pages meet, and some so
	// large that the engine's memory does not hold a page of them.
	begin := time.Now().Add(-time.Hour)
	e := sample()
	for i := range 6000 {
		e.Time = begin.Add(time.Duration(i/3) * time.Millisecond)
		e.ID = tx.NewID(e.Time)
		e.Objects = nil
		if i > 5000 {
			for range 20 {
				e.Objects = append(e.Objects, ObjectResult{Path: strings.Repeat("x", 1000)})
			}
		}
		l.Traffic(e)
		if i%100 == 0 {
			stored(l)
		}
	}
	for _, newest := range []bool{false, true} {
		for _, limit := range []int{999, 1001, 3500, 6000, 100_000} {
			seen := make(map[string]bool)
			var last string
			err := l.Query(t.Context(), Query{Limit: limit, Newest: newest}, func(line []byte) error {
				var row struct{ ID, Time string }
				if err := json.Unmarshal(line, &row); err != nil {
					return err
				}
				if seen[row.ID] || last != "" && row.Time != last && (row.Time < last) != newest {
					return fmt.Errorf("%s comes twice or out of order after %s", line, last)
				}
				seen[row.ID], last = true, row.Time
				return nil
			})
			if err != nil || len(seen) != min(limit, 6000) {
				t.Errorf("limit %d, newest %v: %d events, %v", limit, newest, len(seen), err)
			}
		}
	}
}

func TestAnyValueIsFoundByItselfAlone(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	marks := make(map[string]int)
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.OneOf(rapid.StringN(1, 40, 200), rapid.StringMatching(`[ -~]{1,30}`),
			rapid.StringOfN(rapid.SampledFrom([]rune("\\\"'`|(){}[]*:=~!<>\n\t\x00 ao")), 1, 12, -1)).Draw(rt, "value")
		e := sample()
		e.Time, e.User, e.Agent = time.Now(), []byte(value), []byte(value)
		l.Traffic(e)
		marks[value]++
		for _, f := range []Filter{{"user", OpIs, value}, {"agent", OpPrefix, value}, {"user", OpHas, value}} {
			found := 0
			err := l.Query(t.Context(), Query{Filters: []Filter{f}}, func(line []byte) error {
				var row struct{ User string }
				if err := json.Unmarshal(line, &row); err != nil {
					return err
				}
				if row.User == value {
					found++
				} else if f.Op == OpIs {
					return fmt.Errorf("%v also finds %q", f, row.User)
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
			if found != marks[value] {
				rt.Fatalf("%q finds %d of %d", f, found, marks[value])
			}
		}
	})
}

func TestGet(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	quick, slow := sample(), sample()
	slow.ID = tx.NewID(time.Now().Add(-3 * time.Hour)) // a download that took that long
	l.Traffic(quick)
	l.Traffic(slow)
	for _, e := range []*Traffic{quick, slow} {
		line, err := l.Get(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		var row struct{ ID, URL string }
		if err := json.Unmarshal(line, &row); err != nil || row.ID != e.ID.String() || row.URL != string(e.URL) {
			t.Errorf("got %s (%v)", line, err)
		}
	}
	if _, err := l.Get(t.Context(), tx.NewID(time.Now())); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown id gives %v", err)
	}
}

func TestFollowShowsEveryEventOnce(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	l.Traffic(sample()) // before: not shown
	time.Sleep(10 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	seen := make(map[string]int)
	var done sync.WaitGroup
	began := make(chan struct{})
	done.Go(func() {
		close(began)
		err := l.Follow(ctx, Query{Filters: []Filter{{"user", OpIs, "carol"}}}, func(line []byte) error {
			var row struct{ Status string }
			mu.Lock()
			defer mu.Unlock()
			seen[row.Status]++
			err := json.Unmarshal(line, &row)
			seen[row.Status]++
			return err
		})
		if err != nil {
			t.Errorf("follow: %v", err)
		}
	})
	<-began
	time.Sleep(20 * time.Millisecond)
	const n = 300
	for i := range n {
		e := sample()
		e.User, e.Status, e.Time = []byte("carol"), 100+i, time.Now()
		l.Traffic(e)
		l.Traffic(sample())
		if i == n/2 {
			kill(t, l)
		}
		time.Sleep(2 * time.Millisecond)
	}
	eventually(t, "all were shown", 15*time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) >= n+1
	})
	cancel()
	done.Wait()
	delete(seen, "")
	for status, times := range seen {
		if times != 1 {
			t.Errorf("status %s was shown %d times", status, times)
		}
	}
	stop := errors.New("enough")
	done.Go(func() {
		if err := l.Follow(t.Context(), Query{}, func([]byte) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("follow gives %v, want the error of the callback", err)
		}
	})
	e := sample()
	e.Time = time.Now().Add(time.Second)
	l.Traffic(e)
	done.Wait()
	if err := l.Follow(t.Context(), Query{Free: "((("}, func([]byte) error { return nil }); err == nil {
		t.Error("following a query that the engine does not understand gives no error")
	}
}

func TestSystemEvents(t *testing.T) {
	t.Parallel()
	l, _ := open(t, testConfig(t))
	running(t, l)
	l.System(System{Severity: Critical, Code: "engine-down", Text: "clamd does not answer", Attributes: []Attribute{{"engine", "clamd"}}})
	q, err := ParseQuery([]string{"kind=system", "severity=critical", "attr.engine=clamd", "text~CLAMD"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	rows := query(t, l, q)
	if len(rows) != 1 || rows[0]["code"] != "engine-down" || rows[0]["text"] != "clamd does not answer" || rows[0]["node"] != "n1" {
		t.Errorf("got %v", rows)
	}
}

func TestParseQuery(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
	id := tx.NewID(now.Add(-48 * time.Hour))
	for words, want := range map[string]Query{
		"":                   {Newest: true},
		"user=alice host~ex": {Newest: true, Filters: []Filter{{"user", OpIs, "alice"}, {"host", OpHas, "ex"}}},
		"since=1h until=15m": {Newest: true, From: now.Add(-time.Hour), To: now.Add(-15 * time.Minute)},
		"since=7d":           {Newest: true, From: now.AddDate(0, 0, -7)},
		"since=10:15":        {Newest: true, From: time.Date(2026, 11, 23, 10, 15, 0, 0, time.UTC)},
		"since=2026-11-20":   {Newest: true, From: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)},
		"since=2026-11-24T08:00:00+01:00 order=oldest limit=5": {From: time.Date(2026, 11, 24, 7, 0, 0, 0, time.UTC), Limit: 5},
		"kind=system code=x":       {Newest: true, Kind: KindSystem, Filters: []Filter{{"code", OpIs, "x"}}},
		"url=a=b!=c":               {Newest: true, Filters: []Filter{{"url", OpIs, "a=b!=c"}}},
		"total>=2s status!=200":    {Newest: true, Filters: []Filter{{"total", OpAtLeast, "2s"}, {"status", OpIsNot, "200"}}},
		id.String():                {Newest: true, From: id.Time().Add(-idSlack), Filters: []Filter{{"id", OpIs, id.String()}}},
		"query=(user:x)|limit:1":   {Newest: true, Free: "(user:x)|limit:1"},
		"mime^text/ user!~x url=":  {Newest: true, Filters: []Filter{{"mime", OpPrefix, "text/"}, {"user", OpHasNot, "x"}, {"url", OpIs, ""}}},
		"since=12h2m received>1GB": {Newest: true, From: now.Add(-722 * time.Minute), Filters: []Filter{{"received", OpAbove, "1GB"}}},
	} {
		got, err := ParseQuery(strings.Fields(words), now)
		if err != nil {
			t.Errorf("%s: %v", words, err)
			continue
		}
		if !got.From.Equal(want.From) || !got.To.Equal(want.To) {
			t.Errorf("%s: from %v to %v, want from %v to %v", words, got.From, got.To, want.From, want.To)
		}
		got.From, got.To, want.From, want.To = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: wanted (-) and got (+):\n%s", words, d)
		}
	}
	for words, want := range map[string]string{
		"usr=alice":           "they have: time, id, kind, node, workspace",
		"kind=system url=x":   `system events have no field "url"`,
		"alice":               "write FIELD=VALUE or FIELD~PART",
		"=x":                  "not a condition",
		"user>5":              "user is text",
		"status>many":         "not a number",
		"total>fast":          "write 500ms or 2s",
		"sent>9999999999GiB":  "not a size",
		"since=yesterday":     "write 15m, 2h, 7d",
		"limit=0":             "want 1 to 100000",
		"limit=x":             "limit=x",
		"limit=999999":        "want 1 to 100000",
		"order=up":            "want newest or oldest",
		"kind=audit":          "want traffic or system",
		"kind~traffic":        "takes = only",
		"since=1h until=2h":   "ends",
		"since=9999-01-01":    "out of range",
		"attr.x=1":            "no field",
		"kind=system attr.=1": "no field",
		"since=-1h":           "is not a time",
		"since=99999999999d":  "is not a time",
	} {
		if _, err := ParseQuery(strings.Fields(words), now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", words, err, want)
		}
	}
	if _, err := ParseQuery([]string{"user=" + strings.Repeat("x", 5000)}, now); err == nil {
		t.Error("an endless value is accepted")
	}
}

// skeleton is a LogsQL text without its quoted strings.
func skeleton(t testing.TB, text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, `"`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		quoted, err := strconv.QuotedPrefix(`"` + rest)
		if err != nil {
			t.Fatalf("unbalanced quotes in %q", text)
		}
		text = rest[len(quoted)-1:]
	}
}

func TestRenameLine(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:                               `{}`,
		`{"_time":"1","_msg":"u","a":"b"}`: `{"time":"1","url":"u","a":"b"}`,
		`{"a":"\"_msg\":\"","_msg":"x\\"}`: `{"a":"\"_msg\":\"","url":"x\\"}`,
		`{"_msgs":"_msg"}`:                 `{"_msgs":"_msg"}`,
		"":                                 "",
		`{"a":1}`:                          "",
		`{"a":"b"`:                         "",
		`{"a":"b",}`:                       "",
		`{"a":"b"}x`:                       "",
		`{"a`:                              "",
		`{"a":"\`:                          "",
	} {
		got, err := renameLine(nil, []byte(in), KindTraffic)
		if (err == nil) != (want != "") || err == nil && string(got) != want {
			t.Errorf("%s gives %s (%v), want %s", in, got, err, want)
		}
	}
}

func FuzzRenameLine(f *testing.F) {
	f.Add([]byte(`{"_time":"1","_msg":"u\"","a":"b"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := renameLine(nil, b, KindSystem)
		if err != nil || !json.Valid(b) {
			return
		}
		var m map[string]string
		if err := json.Unmarshal(got, &m); err != nil {
			t.Fatalf("%q gives %q: %v", b, got, err)
		}
	})
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"user=alice\nhost~ex", "total>500ms\nsince=1h", "user=\" or \"", "kind=system\nattr.x\"y=1", "groups=a\nlimit=3"} {
		f.Add(s)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, s string) {
		q, err := ParseQuery(strings.Split(s, "\n"), now)
		if err != nil {
			return
		}
		q.Free = ""
		found, limit, err := q.compile(now)
		if err != nil {
			t.Fatalf("%q parses but gives %v", s, err)
		}
		text := found.text(limit)
		if strings.Count(skeleton(t, text), "|") != 2 || strings.ContainsAny(skeleton(t, text), "'`\n") {
			t.Fatalf("%q breaks out of its quotes: %s", s, text)
		}
	})
}
