// Package arch holds the architecture as tests: the table of layers, package
// comments, forbidden dependencies with their reason, no global mutable state.
//
// It never holds code that the product runs; nothing imports it.
package arch
