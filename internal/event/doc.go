// Package event keeps the traffic log and the system log: it takes events from
// the data path without making it wait, queues them in memory and on disk, ships
// them to the event engine (VictoriaLogs, a supervised child or an external
// one), and searches them there.
//
// It never judges traffic, never lets a slow disk or engine slow an exchange
// down, and never loses an event silently: what it must drop is counted and
// reported as a system event. DESIGN.md tells how a line travels and why none
// is lost or doubled when the engine is killed.
package event
