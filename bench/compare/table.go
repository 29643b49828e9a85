package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// table gathers rows and writes them as Markdown.
type table struct {
	config
	began   time.Time
	rows    []string
	details []string

	loads, disturbed int    // all, and those that others disturbed to the last
	bodies, blocked  uint64 // all, and those that were taken for bad
}

func newTable(c config) *table { return &table{config: c, began: time.Now()} }

// goal is what a figure must reach.
type goal struct {
	text string
	met  func(ours, ratio float64) bool
}

func none() goal { return goal{text: "", met: nil} }

func atLeast(x float64) goal {
	return goal{fmt.Sprintf("≥ %g ×", x), func(_, ratio float64) bool { return ratio >= x }}
}

func atMost(x float64) goal {
	return goal{fmt.Sprintf("≤ %g ×", x), func(_, ratio float64) bool { return ratio <= x }}
}

func below(x float64) goal {
	return goal{fmt.Sprintf("< %g", x), func(ours, _ float64) bool { return ours < x }}
}

func atMostValue(x float64) goal {
	return goal{fmt.Sprintf("≤ %g", x), func(ours, _ float64) bool { return ours <= x }}
}

func (g goal) verdict(ours, ratio float64) string {
	switch {
	case g.met == nil:
		return ""
	case g.met(ours, ratio):
		return "yes"
	default:
		return "**no**"
	}
}

// counted notes that a load was measured, and whether others disturbed it.
func (t *table) counted(disturbed bool) {
	t.loads++
	if disturbed {
		t.disturbed++
	}
}

// compare adds a row from the peer's rounds and ours.
func (t *table) compare(what, unit string, r [][]outcome, of func(*outcome) float64, g goal) {
	ours, x := median(r[1], of), ratio(r[1], r[0], of)
	t.row(what, unit, number(median(r[0], of)), number(ours), fmt.Sprintf("%.2f ×", x), g.text, g.verdict(ours, x))
}

// alone adds a row that no peer has.
func (t *table) alone(what, unit string, r []outcome, of func(*outcome) float64, g goal) {
	t.value(what, unit, median(r, of), g)
}

func (t *table) value(what, unit string, v float64, g goal) {
	t.row(what, unit, "", number(v), "", g.text, g.verdict(v, 0))
}

func (t *table) row(cells ...string) {
	t.rows = append(t.rows, "| "+strings.Join(cells, " | ")+" |")
}

// detail adds what stands behind a comparison.
func (t *table) detail(what string, who []contender, r [][]outcome) {
	for i, c := range who {
		o := r[i]
		t.details = append(t.details, fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %.2f |", what, c.name,
			number(median(o, perSecond)), number(median(o, megabytes)), number(median(o, serviceUs)),
			number(median(o, withHelp)), number(median(o, p50)), number(median(o, p99)), median(o, ownLoad)))
	}
}

// number has three significant digits at least.
func number(v float64) string {
	digits := 0
	switch {
	case v < 10:
		digits = 2
	case v < 100:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

const intro = `# Sluice beside its peers

%s, %s, Linux %s. Load generator on processor %s, the service with all its helpers (event engine, clamd) on processor %s.
%d rounds of %v, contenders in turn; medians, and the median of the rounds' ratios.
Versions: %s.
%d of %d loads were disturbed by other programs, in spite of repetitions (over %.0f %% of a processor).
%d of %d messages with random bodies were blocked: such bodies may look like a broken archive.

c-icap's echo service scans nothing, has no rules and here no log. To every other request it answers 204 after the preview, without
taking the body. Sluice compares each message with %d rules, hashes each body whole and looks it up among %d digests,
and logs each exchange. Bodies are different in every exchange, unless said otherwise.

| figure | unit | c-icap | Sluice | ratio | goal | met |
| --- | --- | --- | --- | --- | --- | --- |
`

const detailIntro = `
## Behind the figures

CPU is of the service's own processes, for each exchange; "with helpers" adds the event engine and clamd while the load lasts. The event
engine has a low priority and goes on after the load. A generator load near 1 means that it, and not the service, was the bound; at a fixed
rate it always is 1, since it waits busily.

| load | service | req/s | MB/s | CPU µs | with helpers µs | p50 µs | p99 µs | generator load |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
`

func (t *table) write(w io.Writer) {
	fmt.Fprintf(w, intro, t.began.UTC().Format("2006-01-02 15:04 UTC"), machine(), firstLine("uname", "-r"), loadCPU, serviceCPU,
		t.rounds, t.length, t.versions(), t.disturbed, t.loads, 100*maxOthers, t.blocked, t.bodies, nodeRules, hashDigest)
	fmt.Fprintln(w, strings.Join(t.rows, "\n"))
	if len(t.details) > 0 {
		fmt.Fprint(w, detailIntro)
		fmt.Fprintln(w, strings.Join(t.details, "\n"))
	}
}

// machine is the processor's name and how many there are.
func machine() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	name, count := "unknown processor", 0
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			name = strings.TrimSpace(v)
			count++
		}
	}
	return fmt.Sprintf("%s, %d processors", name, count)
}

func (t *table) versions() string {
	clamd, _, _ := strings.Cut(firstLine("clamd", "--version"), "/")
	return fmt.Sprintf("%s; c-icap %s; %s; %s", firstLine(t.bin+"/sluice", "version"),
		firstLine("dpkg-query", "-W", "-f", "${Version}", "c-icap"), clamd, firstLine("go", "version"))
}

// firstLine is the first line that a program prints.
func firstLine(argv ...string) string {
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
