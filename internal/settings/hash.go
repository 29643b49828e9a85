package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Canonical returns the settings as YAML with every field written out, always
// in the same order: equal settings give equal bytes.
func (s *Settings) Canonical() ([]byte, error) {
	b, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("settings: write canonical form: %w", err)
	}
	return b, nil
}

// Hash names the revision: the first 16 hexadecimal digits of the SHA-256 of
// the canonical form.
func (s *Settings) Hash() (string, error) {
	b, err := s.Canonical()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), nil
}
