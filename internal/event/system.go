package event

import (
	"time"

	"sluice/internal/tx"
)

// Severity says how much a system event matters.
type Severity uint8

// The severities, from least to most.
const (
	Info Severity = iota
	Warning
	Critical
)

var severityNames = [...]string{"info", "warning", "critical"}

// String is the severity's name in the log.
func (s Severity) String() string { return severityNames[min(int(s), len(severityNames)-1)] }

// System is one event about Sluice itself.
type System struct {
	Time       time.Time // zero means now
	Severity   Severity
	Code       string // one word of the kind "engine-down", for filters and alarms
	Text       string // one line for people
	Attributes []Attribute
}

// Attribute is one detail of a system event. Its field in the log is "attr."
// followed by Name.
type Attribute struct{ Name, Value string }

const maxAttributes = 32

// appendLine adds the event as one JSON line.
func (e *System) appendLine(b []byte, id tx.ID, kindAndNode string) []byte {
	b = appendHead(b, e.Time, id, kindAndNode)
	b = appendField(b, `,"severity":"`, e.Severity.String(), maxName)
	b = appendField(b, `,"code":"`, e.Code, maxName)
	b = appendField(b, `,"text":"`, e.Text, maxText)
	for _, a := range e.Attributes[:min(len(e.Attributes), maxAttributes)] {
		if a.Name == "" || a.Value == "" {
			continue
		}
		b = append(b, `,"attr.`...)
		b = appendText(b, a.Name, 64)
		b = append(b, `":"`...)
		b = appendText(b, a.Value, maxText)
		b = append(b, '"')
	}
	return append(b, '}', '\n')
}
