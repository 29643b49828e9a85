package settings

import (
	"fmt"
	"strings"
)

// FieldError is one thing that is wrong with the settings. Path names the field
// from the root, as in "rules.access[3].match.all[0].size"; Text says what is
// wrong and what to write instead.
type FieldError struct{ Path, Text string }

// Error is the path and the text.
func (e FieldError) Error() string { return e.Path + ": " + e.Text }

// Errors is everything found wrong in one pass, in the order of the document.
type Errors []FieldError

// Error lists all errors, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Add notes one more error.
func (e *Errors) Add(path, format string, args ...any) {
	*e = append(*e, FieldError{Path: path, Text: fmt.Sprintf(format, args...)})
}

// Err is e as an error, or nil when there is none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
