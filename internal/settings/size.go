package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Size is a number of bytes. In settings it is written as a number with a unit:
// "64KB", "1.5 MB", "4GB". Units count in 1024, as file managers and clamd do;
// "KiB" and "K" mean the same as "KB". A bare number is bytes.
type Size int64

// Units of Size.
const (
	KB Size = 1 << 10
	MB Size = 1 << 20
	GB Size = 1 << 30
	TB Size = 1 << 40
)

// ParseSize reads the text form of a Size.
func ParseSize(s string) (Size, error) {
	num := strings.TrimSpace(s)
	unit := Size(1)
	if cut := strings.IndexFunc(num, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }); cut >= 0 {
		var ok bool
		if unit, ok = unitOf(strings.TrimSpace(num[cut:])); !ok {
			return 0, fmt.Errorf("size %q: unknown unit; use B, KB, MB, GB or TB", s)
		}
		num = num[:cut]
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || f < 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, fmt.Errorf("size %q: write a number with a unit, such as 64KB or 1.5GB", s)
	}
	if f *= float64(unit); f > 1<<62 {
		return 0, fmt.Errorf("size %q is too large", s)
	}
	return Size(f), nil
}

// unitOf reads a unit: "B", or K, M, G, T alone, with "B" or with "iB".
func unitOf(name string) (Size, bool) {
	name = strings.ToUpper(name)
	if name == "B" {
		return 1, true
	}
	units := map[string]Size{"K": KB, "M": MB, "G": GB, "T": TB}
	u, ok := units[strings.TrimSuffix(strings.TrimSuffix(name, "B"), "I")]
	return u, ok
}

// String is the shortest exact text form.
func (s Size) String() string {
	for _, u := range []struct {
		unit Size
		name string
	}{{TB, "TB"}, {GB, "GB"}, {MB, "MB"}, {KB, "KB"}} {
		if s >= u.unit && s%u.unit == 0 {
			return strconv.FormatInt(int64(s/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// UnmarshalYAML reads the text form.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseSize(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: %w", n.Line, orShape(err, "a size such as 64KB"))
	}
	*s = v
	return nil
}

// MarshalYAML writes the text form.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }

func orShape(err error, want string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("want %s", want)
}
