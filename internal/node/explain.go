package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"

	"sluice/internal/event"
	"sluice/internal/policy"
	"sluice/internal/tx"
)

// Explanation is a transaction's event with the decision taken apart again.
type Explanation struct {
	Event   map[string]string  `json:"event"`
	Objects []EventObject      `json:"objects,omitempty"`
	Rules   policy.Explanation `json:"rules"`
	// Note says what could not be explained; empty when all could.
	Note string `json:"note,omitempty"`
}

// EventObject is one object as its event lists it.
type EventObject struct {
	Path   string `json:"path"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	MIME   string `json:"mime"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	MD5    string `json:"md5"`
	Engine string `json:"engine"`
	Status string `json:"status"`
	Threat string `json:"threat"`
	Detail string `json:"detail"`
	Micros int64  `json:"micros"`
}

// explain finds a transaction's event and decides again with the facts in it and
// the revision of its time (docs/decisions/0005-explain.md).
func (n *Node) explain(ctx context.Context, id tx.ID) (*Explanation, error) {
	line, err := n.events.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	e := &Explanation{}
	if err := json.Unmarshal(line, &e.Event); err != nil {
		return nil, fmt.Errorf("event %v: %w", id, err)
	}
	if text := e.Event["objects"]; text != "" {
		if err := json.Unmarshal([]byte(text), &e.Objects); err != nil {
			return nil, fmt.Errorf("event %v: objects: %w", id, err)
		}
		delete(e.Event, "objects")
	}
	if e.Rules, err = e.decideAgain(n.cfg.Paths, id); err != nil {
		e.Note = err.Error()
	} else {
		e.Note = e.doubt()
	}
	return e, nil
}

// doubt says where deciding again came to something else than what happened:
// events keep long values cut, and not all objects of large archives.
func (e *Explanation) doubt() string {
	for _, stage := range [...]string{policy.StageBypass.String(), policy.StageAccess.String()} {
		was := e.Event[stage+"_rule"]
		same := was == ""
		for _, t := range e.Rules.Stages {
			stops := t.Action == policy.Block.String() || t.Action == policy.Redirect.String()
			if t.Stage == stage && (t.Rule == was || was == "" && t.Rule != "" && stops) {
				same = t.Rule == was
				break
			}
		}
		if !same {
			return fmt.Sprintf("what the event keeps is not all that was known: the %s rule that decided was %s, which what follows cannot show", stage, cmp.Or(was, "none"))
		}
	}
	return ""
}

func (e *Explanation) decideAgain(paths Paths, id tx.ID) (policy.Explanation, error) {
	s, err := paths.Revision(e.Event["revision"])
	if err != nil {
		return policy.Explanation{}, err
	}
	p, err := policy.Compile(s.Rules, s.Workspaces, s.Protection.Default, policy.Options{})
	if err != nil {
		return policy.Explanation{}, fmt.Errorf("compile the revision of that time: %w", err)
	}
	t := e.transaction(id)
	var f policy.Facts
	if err := f.Reset(t, id.Time()); err != nil && len(t.Request.URL) > 0 {
		return policy.Explanation{}, err
	}
	return p.Explain(&f, e.objects()), nil
}

// transaction makes the facts of the event a transaction again.
func (e *Explanation) transaction(id tx.ID) *tx.Transaction {
	ev := e.Event
	t := &tx.Transaction{ID: id, Start: id.Time(), Length: number(ev["length"], -1), HasBody: ev["scan_status"] != ""}
	t.Request = tx.Request{Method: []byte(ev["method"])}
	if ev["url"] != "-" {
		t.Request.URL = []byte(ev["url"])
	}
	add := func(h *tx.Header, name, value string) {
		if value != "" {
			*h = append(*h, tx.Field{Name: []byte(name), Value: []byte(value)})
		}
	}
	add(&t.Request.Header, "User-Agent", ev["agent"])
	if ev["direction"] == tx.DirResponse.String() {
		t.Direction = tx.DirResponse
		t.Response.Status = int(number(ev["status"], 0))
		add(&t.Response.Header, "Content-Type", ev["mime"])
	} else {
		add(&t.Request.Header, "Content-Type", ev["mime"])
	}
	t.Client.User = []byte(ev["user"])
	t.Client.Addr, _ = netip.ParseAddr(ev["client"]) // empty: not known then either
	var groups []string
	if json.Unmarshal([]byte(ev["groups"]), &groups) == nil {
		for _, g := range groups {
			t.Client.Groups = append(t.Client.Groups, []byte(g))
		}
	}
	return t
}

func number(s string, missing int64) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return missing
	}
	return v
}

func (e *Explanation) objects() []policy.Object {
	out := make([]policy.Object, len(e.Objects))
	for i, o := range e.Objects {
		out[i] = policy.Object{Name: o.Name, Type: o.Type, PartMIME: o.MIME, Size: o.Size}
		_, _ = hex.Decode(out[i].SHA256[:], []byte(o.SHA256)) // absent when it was not needed
		_, _ = hex.Decode(out[i].MD5[:], []byte(o.MD5))
	}
	return out
}

// Print writes the explanation for people.
func (e *Explanation) Print(w io.Writer) error {
	w = event.Plain(w)
	for _, f := range event.Fields() {
		if v := e.Event[f.Name]; v != "" {
			fmt.Fprintf(w, "%-16s %s\n", f.Name, v)
		}
	}
	if len(e.Objects) > 0 {
		fmt.Fprintf(w, "\nobjects\n")
	}
	for _, o := range e.Objects {
		fmt.Fprintf(w, "  %s: %s, %d bytes, %s says %s", o.Path, o.Type, o.Size, orNone(o.Engine), o.Status)
		if o.Threat != "" {
			fmt.Fprintf(w, " (%s)", o.Threat)
		}
		fmt.Fprintf(w, " in %d µs", o.Micros)
		if o.Detail != "" {
			fmt.Fprintf(w, ": %s", o.Detail)
		}
		fmt.Fprintln(w)
	}
	switch {
	case len(e.Rules.Stages) == 0:
		_, err := fmt.Fprintf(w, "\nThe rules cannot be shown: %s\n", e.Note)
		return err
	case e.Note != "":
		fmt.Fprintf(w, "\nBeware: %s\n", e.Note)
	}
	_, err := fmt.Fprintf(w, "\nrules, for the %v", e.Rules)
	return err
}

func orNone(engine string) string {
	if engine == "" {
		return "no engine"
	}
	return engine
}
