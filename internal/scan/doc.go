// Package scan asks engines whether an object is harmful: clamd, outside or as
// a supervised child, and lists of hashes. A Chain asks several engines in
// order behind one bounded cache of verdicts.
//
// It never unpacks an object, never decides what happens to it, and never says
// Clean of an object that an engine did not look at whole: an engine that is
// down, slow, full or at a limit gives a status of its own, with the reason.
package scan
