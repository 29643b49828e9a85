package policy

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/internal/settings"
)

// Bounds on the words of one reason.
const (
	maxReasonValues = 5
	maxReasonText   = 200 // bytes of one value
	maxReasonParts  = 8
)

// explainRule answers for a rule as rule.answer does, one value at a time, and
// says why.
func explainRule(r *rule, f *Facts, onlyOwn bool) (answer, string) {
	switch {
	case !r.src.On():
		return no, "the rule is disabled"
	case !r.enabled:
		return no, "its group is disabled"
	}
	a, why := explainView(r, f, ownMessage)
	if a != yes && f.dir == dirRequest && !onlyOwn && !r.hasDirection {
		if b, later := explainView(r, f, messageToCome); b > a {
			a, why = b, later
		}
	}
	if a != no && r.sched != nil && !r.sched.holds(f.now) {
		return no, "its schedule does not hold at " + f.now.In(r.sched.zone).Format("Mon 2006-01-02 15:04 MST")
	}
	return a, why
}

func explainView(r *rule, f *Facts, v view) (answer, string) {
	a, why := explainCondition(&r.from, f, v)
	b, whyMatch := explainCondition(&r.match, f, v)
	switch {
	case b < a || a == yes && why == "":
		a, why = min(a, b), whyMatch
	case a == b && whyMatch != "" && a != no:
		why += "; " + whyMatch
	}
	for i := range r.except {
		x := &r.except[i]
		c, whyFrom := explainCondition(&x.from, f, v)
		d, whyTraffic := explainCondition(&x.match, f, v)
		if e := not(min(c, d)); e < a {
			a, why = e, fmt.Sprintf("exclusion %d: %s", i+1, joinReasons(whyFrom, whyTraffic))
			if e == notYet && c == yes {
				why = fmt.Sprintf("exclusion %d: %s", i+1, whyTraffic)
			}
		}
	}
	if why == "" {
		why = "it has no conditions"
	}
	return a, why
}

func joinReasons(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	if n := len(out) - maxReasonParts; n > 0 {
		out = append(out[:maxReasonParts], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(out, "; ")
}

func explainCondition(c *condition, f *Facts, v view) (answer, string) {
	if len(c.leaves) == 0 {
		return yes, ""
	}
	result := answerOf(c.all)
	answers, reasons := make([]answer, len(c.leaves)), make([]string, len(c.leaves))
	for i := range c.leaves {
		answers[i], reasons[i] = explainLeaf(&c.leaves[i], f, v)
		if c.all {
			result = min(result, answers[i])
		} else {
			result = max(result, answers[i])
		}
	}
	var deciding []string
	for i, a := range answers {
		if a == result {
			deciding = append(deciding, reasons[i])
		}
	}
	return result, joinReasons(deciding...)
}

// explainLeaf compares value by value.
func explainLeaf(l *leaf, f *Facts, v view) (answer, string) {
	bit := kinds(1) << l.kind
	switch {
	case bit&staticKinds == 0 && v == messageToCome:
		return notYet, factNames[l.kind] + " of the response is not yet known"
	case bit&objectKinds != 0 && f.objects == objectsPending:
		return notYet, factNames[l.kind] + " of the body is not yet known"
	case bit&objectKinds != 0 && f.objects == objectsAbsent:
		return no, "the message has no body"
	}
	for _, text := range l.values {
		one, err := newLeaf(l.kind, []string{text})
		if err == nil && one.eval(f, v) == yes {
			return yes, reasonYes(l.kind, text, f)
		}
	}
	return no, reasonNo(l.kind, l.values, f)
}

var factNames = [numKinds]string{
	kindUser: "user", kindGroup: "group", kindAddress: "address", kindAgent: "agent", kindURL: "URL",
	kindMethod: "method", kindMIME: "the MIME type", kindLength: "the length", kindDirection: "direction",
	kindType: "the type", kindFileName: "the file name", kindPartMIME: "the MIME type of a part",
	kindSize: "the size", kindMD5: "the MD5 digest", kindSHA256: "the SHA-256 digest",
}

func reasonYes(k kind, text string, f *Facts) string {
	have := describe(k, f)
	switch k {
	case kindURL:
		if p, err := parseURLPattern(text); err == nil && p.host != "" && p.below && p.path == "" && p.pathIs == nil {
			return fmt.Sprintf("host %s is %s or below", f.Host(), clip(text))
		}
	case kindDirection, kindMethod, kindType, kindMD5, kindSHA256:
		return have
	}
	return fmt.Sprintf("%s fits %s", have, clip(text))
}

func reasonNo(k kind, values []string, f *Facts) string {
	have := describe(k, f)
	switch {
	case k == kindURL && f.url.connect && allPaths(values):
		return "a tunnel has no path to compare with " + list(values)
	case k == kindURL && len(values) == 1:
		p, err := parseURLPattern(values[0])
		if err == nil && p.host != "" && p.below && !(&urlPattern{host: p.host, below: true}).match(&f.url) {
			return fmt.Sprintf("host %s is not %s or below", f.Host(), clip(p.host))
		}
	}
	if len(values) == 1 {
		return fmt.Sprintf("%s is not %s", have, clip(values[0]))
	}
	return fmt.Sprintf("%s is none of %s", have, list(values))
}

// allPaths tells whether every pattern asks for a path.
func allPaths(values []string) bool {
	for _, v := range values {
		p, err := parseURLPattern(v)
		if strings.HasPrefix(v, settings.RegexPrefix) || err != nil || p.path == "" && p.pathIs == nil {
			return false
		}
	}
	return true
}

func list(values []string) string {
	more := len(values) - maxReasonValues
	parts := make([]string, 0, maxReasonValues)
	for _, v := range values[:min(len(values), maxReasonValues)] {
		parts = append(parts, clip(v))
	}
	s := strings.Join(parts, ", ")
	if more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

func clip(s string) string {
	if len(s) > maxReasonText {
		s = s[:maxReasonText] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// describe says what the facts are for a kind of leaf.
func describe(k kind, f *Facts) string {
	switch k {
	case kindUser:
		return named("user", f.user, "no user is known: it")
	case kindGroup:
		if len(f.groups) == 0 {
			return "no group is known: it"
		}
		names := make([]string, len(f.groups))
		for i, g := range f.groups {
			names[i] = string(g)
		}
		return "group " + list(names)
	case kindAddress:
		if !f.addr.IsValid() {
			return "no address is known: it"
		}
		return "address " + f.addr.String()
	case kindAgent:
		return named("agent", f.agent, "the request names no agent: it")
	case kindURL:
		return "URL " + clip(string(f.URL()))
	case kindMethod:
		return "method " + clip(string(f.method))
	case kindMIME:
		return named("MIME type", f.mime, "the message names no MIME type: it")
	case kindLength:
		if f.length < 0 {
			return "the message declares no length: it"
		}
		return "length " + strconv.FormatInt(f.length, 10)
	case kindDirection:
		return "direction " + f.dir.String()
	}
	return describeObject(k, f)
}

func describeObject(k kind, f *Facts) string {
	o := f.object
	switch k {
	case kindType:
		return named("type", []byte(o.Type), "no type is known: it")
	case kindFileName:
		return named("file name", f.name, "the object has no name: it")
	case kindPartMIME:
		return named("MIME type of the part", []byte(o.PartMIME), "the object is no part of a multipart message: it")
	case kindSize:
		return "size " + strconv.FormatInt(o.Size, 10)
	case kindMD5:
		return "MD5 " + hex.EncodeToString(o.MD5[:])
	}
	return "SHA-256 " + hex.EncodeToString(o.SHA256[:])
}

func named(what string, have []byte, none string) string {
	if len(have) == 0 {
		return none
	}
	return what + " " + clip(string(have))
}

// timeText is how explanations write a moment.
func timeText(t time.Time) string { return t.Format(time.RFC3339) }
