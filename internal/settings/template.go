package settings

import _ "embed" // the commented document

//go:embed template.yaml
var template []byte

// Template is a document with comments that means the same as Default: what
// `sluice settings init` writes.
func Template() []byte { return template }
