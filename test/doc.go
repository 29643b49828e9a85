// Package e2e tests the whole product with real programs: Squid with ssl-bump
// in front of a node, clamd and the event engine under it, nginx and vsftpd
// behind, curl, Chromium and c-icap-client as users.
//
// It never runs as part of the unit tests, and never touches services of the
// machine it runs on.
package e2e
