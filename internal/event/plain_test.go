package event

import (
	"fmt"
	"strings"
	"testing"
)

func TestPlainTextCommandsNoTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"agent\tWörld\n":       "agent\tWörld\n",
		"a\x1b[2Jb":            "a\uFFFD[2Jb",
		"a\u009b2Jb\x7f\r":     "a\uFFFD2Jb\uFFFD\uFFFD",
		"exe.\u202etxt\u2066x": "exe.\uFFFDtxt\uFFFDx",
		"\xff\x9b":             "\uFFFD\uFFFD",
	} {
		var b strings.Builder
		if _, err := fmt.Fprint(Plain(&b), in); err != nil || b.String() != want {
			t.Errorf("%q: %q, %v", in, b.String(), err)
		}
	}
}
