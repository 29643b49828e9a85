// Package page makes the pages that users see instead of what was blocked:
// templates in several languages with macros, every value escaped.
//
// It never decides anything, never reads a file at the time of a transaction,
// and never puts a value into a page unescaped.
package page
