package page

import (
	"strconv"
	"time"

	"sluice/internal/tx"
)

// Values is what a page can tell about a transaction.
type Values struct {
	Now        time.Time
	Processing time.Duration
	Server     string // node
	Version    string
	Direction  tx.Direction
	Method     string
	URL        string
	MIME       string
	User       string
	Client     string
	Agent      string
	Workspace  string
	Rule       string
	RuleText   string // the rule's own text
	Threat     string
	Reason     tx.Reason
	Detail     string
	ID         tx.ID
}

// value takes one macro's text out of the values.
type value func(v *Values, l *language) string

// macros keeps the reference's names; REASON, ID, RULE_TEXT and CONTACT are ours.
// CATEGORY stays empty while no category feed is in use, and CURED_LIST shows a
// dash: what was cured passes without a page.
var macros = map[string]value{
	"DATE":            func(v *Values, _ *language) string { return v.Now.Format("2006-01-02 15:04:05 -07:00") },
	"APPLICATION":     func(*Values, *language) string { return "Sluice" },
	"BUILD":           func(v *Values, _ *language) string { return v.Version },
	"SERVER_NAME":     func(v *Values, _ *language) string { return v.Server },
	"TYPE":            func(v *Values, l *language) string { return l.directions[v.Direction] },
	"METHOD":          func(v *Values, _ *language) string { return v.Method },
	"RULE_NAME":       ruleName,
	"THREAT":          func(v *Values, l *language) string { return orDash(v.Threat) },
	"CURED_LIST":      func(*Values, *language) string { return "-" },
	"SCAN_RESULT":     func(v *Values, _ *language) string { return v.Reason.String() },
	"CATEGORY":        func(*Values, *language) string { return "" },
	"PROCESSING_TIME": func(v *Values, _ *language) string { return strconv.FormatInt(v.Processing.Milliseconds(), 10) + " ms" },
	"WORKSPACE_NAME":  func(v *Values, l *language) string { return orDash(v.Workspace) },
	"USER_NAME":       func(v *Values, l *language) string { return orDash(v.User) },
	"USER_AGENT":      func(v *Values, l *language) string { return orDash(v.Agent) },
	"CLIENT_IP":       func(v *Values, l *language) string { return orDash(v.Client) },
	"URL":             func(v *Values, _ *language) string { return v.URL },
	"MIME_TYPE":       func(v *Values, l *language) string { return orDash(v.MIME) },
	"REASON":          reasonText,
	"DETAIL":          func(v *Values, l *language) string { return orDash(v.Detail) },
	"ID":              func(v *Values, _ *language) string { return v.ID.String() },
	"RULE_TEXT":       func(v *Values, _ *language) string { return v.RuleText },
	"CONTACT":         func(_ *Values, l *language) string { return l.contact },
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ruleName names the default protection policy where it decided.
func ruleName(v *Values, l *language) string {
	if v.Rule == "" && (v.Reason == tx.Malware || v.Reason == tx.Encrypted || v.Reason == tx.Macro) {
		return l.byDefault
	}
	return orDash(v.Rule)
}

// reasonText is one sentence for the user. A rule's own text goes before ours.
func reasonText(v *Values, l *language) string {
	if v.RuleText != "" {
		return v.RuleText
	}
	return l.reasons[v.Reason]
}
