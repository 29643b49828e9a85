package scan

import (
	"strings"
	"testing"
)

// Only the exact words make a clean object.
func FuzzClamdAnswer(f *testing.F) {
	for _, s := range []string{
		"7: fd[10]: OK", "7: stream: OK", "7: stream: X FOUND", "7: fd[3]: Heuristics.Limits.Exceeded.MaxFiles FOUND", sizeError,
		"7: " + sizeError, "7: fd[1]: no memory ERROR", "", "7: ", "8: fd[1]: OK", "7: fd[+1]: OK", "7: fd[]: OK", "7: stream: OK FOUND",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, stream bool) {
		want, prefix := labelFile, "7: fd["
		if stream {
			want, prefix = labelStream, "7: stream"
		}
		r, err := parseScanAnswer(b, 7, want)
		text := string(b)
		switch {
		case err != nil && r != (Result{}):
			t.Fatalf("%q: %+v and %v", text, r, err)
		case err != nil:
			return
		case r.Status == NotScanned:
			t.Fatalf("%q: no status", text)
		case r.Status == Clean && !(strings.HasPrefix(text, prefix) && strings.HasSuffix(text, ": OK")):
			t.Fatalf("%q is clean", text)
		case (r.Status == Infected) != (r.Threat != "" && r.Detail == ""):
			t.Fatalf("%q: %+v", text, r)
		}
	})
}

func FuzzClamdVersion(f *testing.F) {
	for _, s := range []string{"ClamAV 1.4.6", "ClamAV 1.4.6/27000/Tue Nov 24 08:00:00 2026", "ClamAV ", "PONG", "ClamAV \x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseVersion(b)
		if (err == nil) != (v != "") || len(v) > 200 || err == nil && !printable([]byte(v)) {
			t.Fatalf("%q: %q, %v", b, v, err)
		}
	})
}
