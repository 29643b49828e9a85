// Package node turns settings into running objects: it builds everything a
// revision needs, opens listeners, swaps the snapshot and retires what is no
// longer used, and it answers for health and metrics.
//
// It never judges traffic, and it never keeps half of a revision: a revision
// that can't be built leaves the one before in force.
package node
