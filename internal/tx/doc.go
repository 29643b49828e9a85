// Package tx holds the words that entrances and the pipeline share: the
// Transaction that an entrance decodes from wire bytes, the Verdict it turns
// back into wire bytes, and the Engine and Judge between them.
//
// It never does I/O, knows no protocol, no settings and no rule, and imports
// nothing else of Sluice.
package tx
