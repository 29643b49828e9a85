package event

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/tx"
)

// anyBytes draws what clients may put into a header: mostly text, often not.
func anyBytes(most int) *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, most),
		rapid.Map(rapid.StringN(0, most/4, most), func(s string) []byte { return []byte(s) }),
		rapid.SliceOfN(rapid.SampledFrom([]byte("ab\"\\\n\x00\x7f\x80\xe2\x80\xa8")), 0, most),
	)
}

func TestTextIsWhatWasGivenAsValidJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyBytes(300).Draw(t, "in")
		limit := rapid.IntRange(0, 320).Draw(t, "limit")
		line := appendText([]byte(`"`), in, limit)
		line = append(line, '"')
		var got string
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q gives %q: %v", in, line, err)
		}
		if bytes.IndexByte(line, '\n') >= 0 || !utf8.Valid(line) {
			t.Fatalf("%q gives a raw line feed or invalid UTF-8: %q", in, line)
		}
		// encoding/json replaces invalid bytes the same way; the cut may take
		// up to three bytes more so that no character is cut in two.
		want := in[:min(len(in), limit)]
		if text := string(bytes.ToValidUTF8([]byte(string([]rune(string(want)))), nil)); len(in) <= limit {
			if got != text {
				t.Fatalf("%q gives %q, want %q", in, got, text)
			}
		} else if valid := utf8.Valid(in); valid && (!strings.HasPrefix(string(in), got) || len(got) < limit-3 && len(got) < len(in)-3) {
			t.Fatalf("%q cut at %d gives %q", in, limit, got)
		}
	})
}

func drawObject(t *rapid.T) ObjectResult {
	return ObjectResult{
		Path: rapid.String().Draw(t, "path"), Name: rapid.String().Draw(t, "name"),
		Size: rapid.Int64Range(0, 1<<40).Draw(t, "size"), Status: "clean",
		SHA256: [32]byte{rapid.Byte().Draw(t, "hash")}, Micros: rapid.Int64Range(-1, 1000).Draw(t, "micros"),
	}
}

func TestAnyTrafficIsOneValidLine(t *testing.T) {
	head := headTail(KindTraffic, "n\"1")
	rapid.Check(t, func(t *rapid.T) {
		raw := func(name string) []byte { return anyBytes(50).Draw(t, name) }
		e := Traffic{
			Time: time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "time")), ID: tx.NewID(time.Now()),
			Workspace: string(raw("workspace")), Method: raw("method"), URL: raw("url"), User: raw("user"),
			Groups: rapid.SliceOfN(anyBytes(20), 0, 70).Draw(t, "groups"), Agent: raw("agent"),
			Client: netip.MustParseAddr("fe80::1%\"eth\n0"), Status: rapid.IntRange(-1, 999).Draw(t, "status"),
			Received: rapid.Int64().Draw(t, "received"), Rule: string(raw("rule")), Error: string(raw("error")),
			Objects: rapid.SliceOfN(rapid.Custom(drawObject), 0, 70).Draw(t, "objects"),
		}
		line := e.appendLine(nil, e.Time, head)
		var got struct {
			Time    int64
			Node    string
			Groups  []string
			Objects []map[string]any
			Left    int `json:"objects_left_out"`
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if bytes.Count(line, []byte{'\n'}) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("not one line: %q", line)
		}
		at, id, ok := parseHead(line)
		if !ok || at != e.Time.UnixNano() || id != e.ID || got.Time != at || got.Node != `n"1` {
			t.Fatalf("head of %q reads as %d %v %v", line, at, id, ok)
		}
		if len(got.Groups) != min(len(e.Groups), maxGroups) || len(got.Objects)+got.Left != len(e.Objects) {
			t.Fatalf("%d groups, %d objects and %d left out of %d", len(got.Groups), len(got.Objects), got.Left, len(e.Objects))
		}
	})
}

// worst is an event with every value at its bound and every byte escaped.
func worst() *Traffic {
	long := bytes.Repeat([]byte{1}, 8<<10)
	s := string(long)
	e := &Traffic{
		Time: time.Now(), ID: tx.NewID(time.Now()), Workspace: s, Entrance: s, Direction: s, Method: long, URL: long,
		Host: long, User: long, Client: netip.IPv6Unspecified(), Peer: netip.IPv6Unspecified(), Agent: long, MIME: long,
		FileType: s, FileName: long, BypassRule: s, AccessRule: s, ProtectionRule: s, Action: s, Reason: s, Rule: s,
		Threat: s, Engine: s, ScanStatus: s, ScanDetail: s, Revision: s, Error: s,
	}
	for range 100 {
		e.Groups = append(e.Groups, long)
		e.Objects = append(e.Objects, ObjectResult{Path: s, Name: s, Type: s, MIME: s, Engine: s, Status: s, Threat: s, Detail: s})
	}
	return e
}

func TestLargestLineFitsEverywhere(t *testing.T) {
	n := len(worst().appendLine(nil, time.Now(), headTail(KindTraffic, strings.Repeat("\x01", 1000))))
	if n > maxLine || n > chunkSize {
		t.Errorf("the largest line has %d bytes, more than %d", n, maxLine)
	}
	t.Logf("the largest line has %d bytes", n)
	s := System{Time: time.Now(), Code: strings.Repeat("\x01", 9999), Text: strings.Repeat("\x01", 9999)}
	for range 100 {
		s.Attributes = append(s.Attributes, Attribute{strings.Repeat("\x01", 9999), strings.Repeat("\x01", 9999)})
	}
	if n := len(s.appendLine(nil, tx.NewID(s.Time), "")); n > maxLine {
		t.Errorf("the largest system line has %d bytes, more than %d", n, maxLine)
	}
}

func TestDocumentedFieldsAreTheOnesWritten(t *testing.T) {
	keys := func(line []byte) map[string]bool {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		got := make(map[string]bool)
		for k := range m {
			if strings.HasPrefix(k, "attr.") {
				k = "attr.*"
			}
			got[k] = true
		}
		return got
	}
	e := worst()
	e.Status, e.Received, e.Sent, e.Length = 1, 1, 1, 1
	e.Decide, e.WaitBody, e.Inspect, e.Scan, e.Total, e.Unscanned = 1, 1, 1, 1, 1, true
	s := System{Severity: Warning, Code: "c", Text: "t", Attributes: []Attribute{{"a", "b"}}}
	got := map[Kind]map[string]bool{
		KindTraffic: keys(e.appendLine(nil, e.Time, headTail(KindTraffic, "n"))),
		KindSystem:  keys(s.appendLine(nil, e.ID, headTail(KindSystem, "n"))),
	}
	want := map[Kind]map[string]bool{KindTraffic: {}, KindSystem: {}}
	for _, f := range Fields() {
		for k := range want {
			if f.Kind == "" || f.Kind == k {
				want[k][f.Name] = true
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("documented (-) and written (+) fields differ:\n%s", d)
	}
}

func TestTrafficDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		return // the race detector makes sync.Pool drop buffers at random
	}
	l := &Log{in: newIntake(1 << 30)}
	l.scratch.New = func() any { b := make([]byte, 0, 4<<10); return &b }
	e := sample()
	e.Time = time.Now()
	l.Traffic(e)
	if n := testing.AllocsPerRun(200, func() { l.Traffic(e) }); n != 0 {
		t.Errorf("%v allocations an event, want none", n)
	}
}
