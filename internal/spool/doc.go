// Package spool keeps bodies while they are judged: in memory as long as they
// are small and the budget allows, then in a file that has no name and vanishes
// with the process. A body can be read while it fills.
//
// It never looks into a body, never waits for a sender, and never holds more
// memory or disk than its Config says, however many bodies there are.
package spool
