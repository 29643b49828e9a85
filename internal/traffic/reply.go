package traffic

import (
	"time"

	"sluice/internal/page"
	"sluice/internal/policy"
	"sluice/internal/tx"
)

// byRule is the verdict of a bypass or access rule that stops the message.
func (j *judge) byRule(d policy.Decision) tx.Verdict {
	v := tx.Verdict{Action: tx.Block, Reason: tx.ByRule, Rule: d.Rule.Name}
	if j.findings.blocked != nil {
		v.Threat = j.findings.blocked.threat
	}
	if d.Action == policy.Redirect {
		v.Action = tx.Redirect
		v.Reply = &tx.Reply{Status: d.Rule.RedirectStatus, Location: d.Rule.RedirectTo}
		return v
	}
	v.Reply = j.page(&v, d.Rule)
	return v
}

// refuse is the verdict about a message that cannot be judged.
func (j *judge) refuse(r tx.Reason, detail string) tx.Verdict {
	v := tx.Verdict{Action: tx.Block, Reason: r, Detail: detail}
	v.Reply = j.page(&v, nil)
	return v
}

// page makes the answer that the user sees instead.
func (j *judge) page(v *tx.Verdict, rule *policy.Rule) *tx.Reply {
	t := j.t
	values := page.Values{
		Now: time.Now(), Processing: time.Since(t.Start),
		Server: j.engine.cfg.Node, Version: j.engine.cfg.Version,
		Direction: t.Direction, Method: string(t.Request.Method), URL: string(t.Request.URL),
		MIME: string(j.facts.MIME()), User: string(t.Client.User), Agent: string(t.Request.Header.Get("User-Agent")),
		Rule: v.Rule, Threat: v.Threat, Reason: v.Reason, Detail: v.Detail, ID: t.ID,
	}
	if t.Client.Addr.IsValid() {
		values.Client = t.Client.Addr.String()
	}
	if rule != nil {
		values.RuleText = rule.Text
	}
	if w := j.snap.Policy.Workspace(&j.facts); w != nil {
		values.Workspace = w.Name
		if values.RuleText == "" {
			values.RuleText = w.Text
		}
	}
	body, tag := j.snap.Pages.Render(string(t.Request.Header.Get("Accept-Language")), &values)
	return &tx.Reply{Status: 403, ContentType: "text/html; charset=utf-8", Language: tag, Body: body}
}
