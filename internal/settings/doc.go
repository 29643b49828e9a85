// Package settings is the whole configuration of Sluice as one typed tree: its
// defaults, strict decoding from YAML, validation that names every wrong field
// with its line, and the canonical hash that serves as the revision's name.
//
// It never reads a file, opens a socket or starts anything, and the mechanisms
// never import it: node translates settings into their own Configs.
package settings
