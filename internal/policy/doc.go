// Package policy turns rules into an immutable compiled policy, decides by it
// what happens to a message, and explains the decision.
//
// It answers three stages apart from each other: bypass, access and protection.
// Each criterion answers yes, no or not yet, and a stage is decided as soon as
// its outcome cannot change any more; DESIGN.md beside this file has the laws.
//
// It never does I/O, reads no clock, starts no goroutine, and never looks into
// a body: what is known of a message comes in as Facts and Objects.
package policy
