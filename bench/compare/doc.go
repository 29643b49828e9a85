// Package main is compare, which measures a Sluice node side by side with its
// peers: it starts c-icap, clamd and the node on one processor, the load
// generator on another, gives each contender the same load in turn, round after
// round, and prints medians and ratios as Markdown.
//
// It never touches a service that it did not start, and never leaves out a
// figure because it is bad.
package main
