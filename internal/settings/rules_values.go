package settings

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RegexPrefix marks a value as a regular expression (RE2 syntax).
const RegexPrefix = "regex:"

// AddressRange is a run of addresses of one family, both ends included.
type AddressRange struct{ First, Last netip.Addr }

// ParseAddressRange reads one address, "first-last" or a prefix. IPv4 addresses
// in IPv6 form become plain IPv4; zones are refused.
func ParseAddressRange(s string) (AddressRange, error) {
	bad := fmt.Errorf("%q is not an address, a range such as 10.0.0.1-10.0.0.9, or a prefix such as 10.0.0.0/8", s)
	if first, last, ok := strings.Cut(s, "-"); ok {
		a, err1 := netip.ParseAddr(strings.TrimSpace(first))
		b, err2 := netip.ParseAddr(strings.TrimSpace(last))
		a, b = a.Unmap(), b.Unmap()
		if err1 != nil || err2 != nil || a.Zone() != "" || b.Zone() != "" {
			return AddressRange{}, bad
		}
		if a.BitLen() != b.BitLen() || b.Less(a) {
			return AddressRange{}, fmt.Errorf("range %q: both ends must be of one family, the first not after the last", s)
		}
		return AddressRange{a, b}, nil
	}
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return AddressRange{}, bad
		}
		if p.Addr().Is4In6() {
			return AddressRange{}, fmt.Errorf("prefix %q: write the IPv4 form", s)
		}
		if p != p.Masked() {
			return AddressRange{}, fmt.Errorf("prefix %q has bits set behind its length; did you mean %v?", s, p.Masked())
		}
		return AddressRange{p.Addr(), lastOf(p)}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return AddressRange{}, bad
	}
	return AddressRange{a.Unmap(), a.Unmap()}, nil
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// SizeRange is a span of byte counts, both ends included.
type SizeRange struct{ Min, Max int64 }

// ParseSizeRange reads ">1MB", ">=1MB", "<1MB", "<=1MB", "=1MB" or "1MB-10MB".
func ParseSizeRange(s string) (SizeRange, error) {
	t := strings.TrimSpace(s)
	op := t[:len(t)-len(strings.TrimLeft(t, "<>="))]
	if op == "" {
		return parseSizeSpan(s, t)
	}
	v, err := ParseSize(t[len(op):])
	if err != nil {
		return SizeRange{}, err
	}
	n := int64(v)
	switch op {
	case ">":
		return SizeRange{n + 1, math.MaxInt64}, nil
	case ">=":
		return SizeRange{n, math.MaxInt64}, nil
	case "<":
		if n == 0 {
			return SizeRange{}, fmt.Errorf("size %q: nothing is smaller than 0", s)
		}
		return SizeRange{0, n - 1}, nil
	case "<=":
		return SizeRange{0, n}, nil
	case "=":
		return SizeRange{n, n}, nil
	}
	return SizeRange{}, fmt.Errorf("size %q: use one of > >= < <= =", s)
}

func parseSizeSpan(s, t string) (SizeRange, error) {
	low, high, ok := strings.Cut(t, "-")
	if !ok {
		return SizeRange{}, fmt.Errorf("size %q: write a comparison such as \">1MB\", or a range such as 1MB-10MB", s)
	}
	a, err1 := ParseSize(low)
	b, err2 := ParseSize(high)
	if err := errors.Join(err1, err2); err != nil {
		return SizeRange{}, fmt.Errorf("size range %q: both ends need a number and a unit, such as 1MB-10MB", s)
	}
	if b < a {
		return SizeRange{}, fmt.Errorf("size range %q ends below its begin", s)
	}
	return SizeRange{int64(a), int64(b)}, nil
}

// weekdays in the order of a week as people of most time zones write it.
var weekdays = [7]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// ParseDays reads "mon" or "fri-mon" and sets the days in the result, whose
// index is time.Weekday.
func ParseDays(s string) (days [7]bool, err error) {
	first, last, isRange := strings.Cut(strings.ToLower(s), "-")
	a, b := dayIndex(first), dayIndex(last)
	if !isRange {
		b = a
	}
	if a < 0 || b < 0 {
		return days, fmt.Errorf("%q is not a day (mon tue wed thu fri sat sun) or a range such as mon-fri", s)
	}
	for i := a; ; i = (i + 1) % 7 {
		days[(i+1)%7] = true // time.Weekday counts from Sunday
		if i == b {
			return days, nil
		}
	}
}

func dayIndex(s string) int { return slices.Index(weekdays[:], strings.TrimSpace(s)) }

// Minutes of the day that ParseHours gives at most.
const minutesOfDay = 24 * 60

// ParseHours reads "08:00-18:00" into minutes of the day; from is below 1440,
// to at most 1440. A to that is below from lies on the next day.
func ParseHours(s string) (from, to int, err error) {
	a, b, ok := strings.Cut(s, "-")
	from, err1 := parseClock(a)
	to, err2 := parseClock(b)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("hours %q: write HH:MM-HH:MM, such as 08:00-18:00 or 22:00-06:00", s)
	}
	if from == minutesOfDay || from == to {
		return 0, 0, fmt.Errorf("hours %q hold no time; the whole day is 00:00-24:00", s)
	}
	return from, to, nil
}

func parseClock(s string) (int, error) {
	s = strings.TrimSpace(s)
	bad := errors.New("not a time of day")
	if len(s) != 5 || s[2] != ':' {
		return 0, bad
	}
	h, err1 := strconv.ParseUint(s[:2], 10, 8)
	m, err2 := strconv.ParseUint(s[3:], 10, 8)
	if err1 != nil || err2 != nil || m > 59 || h*60+m > minutesOfDay {
		return 0, bad
	}
	return int(h*60 + m), nil
}

// ParseDate reads "2026-01-31" as that day's first moment in zone.
func ParseDate(s string, zone *time.Location) (time.Time, error) {
	t, err := time.ParseInLocation(time.DateOnly, s, zone)
	if err != nil || t.Year() < 1970 {
		return time.Time{}, fmt.Errorf("date %q: write YYYY-MM-DD, such as 2026-01-31", s)
	}
	return t, nil
}

// Bounds on one regular expression.
const (
	maxRegex        = 1000 // bytes
	maxRegexProgram = 5000 // instructions after compiling
)

// checkRegex refuses expressions that are wrong or that would compile to a
// program too large to keep in thousands.
func checkRegex(expr string) error {
	if expr == "" {
		return errors.New("the regular expression is empty")
	}
	if len(expr) > maxRegex {
		return fmt.Errorf("the regular expression is longer than %d bytes", maxRegex)
	}
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return fmt.Errorf("the regular expression is wrong: %v", errorText(err))
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return fmt.Errorf("the regular expression is wrong: %v", errorText(err))
	}
	if len(prog.Inst) > maxRegexProgram {
		return fmt.Errorf("the regular expression is too complex: it compiles to %d steps, more than %d", len(prog.Inst), maxRegexProgram)
	}
	return nil
}

func errorText(err error) string { return strings.TrimPrefix(err.Error(), "error parsing regexp: ") }
