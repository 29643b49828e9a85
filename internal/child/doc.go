// Package child keeps one helper program running beside Sluice: it starts the
// program, restarts it when it ends, hands on what it prints, and takes it down
// together with Sluice.
//
// It never speaks the program's protocol, never decides whether the program is
// healthy, and never runs a program through a shell.
package child
