// Package lab starts the real programs around a Sluice node on free loopback
// ports: Squid with ssl-bump, nginx, vsftpd, an origin of its own for odd
// answers, and the node itself.
//
// It never touches the machine's own services or /etc, never reaches beyond
// loopback, and stops everything that it started, by pid.
package lab
