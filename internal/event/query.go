package event

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/tx"
)

// Op compares a field with a value.
type Op string

// The operators.
const (
	OpIs          Op = "="
	OpIsNot       Op = "!="
	OpHas         Op = "~"  // contains, whatever the case of letters
	OpHasNot      Op = "!~" // does not contain
	OpPrefix      Op = "^"  // begins with
	OpAbove       Op = ">"
	OpBelow       Op = "<"
	OpAtLeast     Op = ">="
	OpAtMost      Op = "<="
	maxValue         = 1024
	maxFilters       = 32
	maxFreeQL        = 4096
	maxLimit         = 100_000
	plainLimit       = 1000
	flushBefore      = 2 * time.Second
	idSlack          = 2 * time.Second
	idSearchSpan     = 10 * time.Minute
	idSearchWhole    = 7 * 24 * time.Hour
)

// Filter is one condition on one field.
type Filter struct {
	Field string
	Op    Op
	Value string
}

// Query says which events are wanted.
type Query struct {
	Kind     Kind      // empty means KindTraffic
	From, To time.Time // zero From: 24 hours before To; zero To: now
	Filters  []Filter  // all must hold
	// Free is a further filter in LogsQL, for people who may see everything:
	// it can reach past Filters.
	Free string
	// Limit is how many events at most; 0 means 1,000, more than 100,000 is
	// refused.
	Limit  int
	Newest bool // the newest first and preferred, else the oldest
}

// ErrNoEngine says that the event engine has not been reached yet.
var ErrNoEngine = errors.New("the event engine does not run yet")

// ErrNotFound says that no event has the id asked for.
var ErrNotFound = errors.New("no such event")

// Query calls fn for every event wanted, as one JSON object whose values are all
// strings; the slice is valid during the call only. What was logged before the
// call is found too, unless the engine is more than two seconds behind.
// An error of fn ends the query and is returned.
func (l *Log) Query(ctx context.Context, q Query, fn func(line []byte) error) error {
	found, limit, err := q.compile(time.Now())
	if err != nil {
		return err
	}
	l.flushFor(ctx)
	return l.pages(ctx, found, limit, fn)
}

func (l *Log) flushFor(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, flushBefore)
	defer cancel()
	_ = l.Flush(short) // what is not there yet comes later
}

func (l *Log) run(ctx context.Context, k Kind, text string, fn func(line []byte) error) error {
	at, ok := l.engine.current()
	if !ok {
		return ErrNoEngine
	}
	var room []byte
	return l.client.query(ctx, at, text, func(line []byte) error {
		var err error
		if room, err = renameLine(room[:0], line, k); err != nil {
			return err
		}
		return fn(room)
	})
}

// Get returns the event of one transaction as a JSON object, or ErrNotFound.
func (l *Log) Get(ctx context.Context, id tx.ID) ([]byte, error) {
	l.flushFor(ctx)
	start := id.Time().Add(-idSlack)
	// Nearly every transaction ends within minutes: the first question is
	// cheap, the second is for the others.
	for _, span := range []time.Duration{idSearchSpan, idSearchWhole} {
		text := timeRange(start, start.Add(span)) + ` id:="` + id.String() + `"` + withoutStream
		var found []byte
		err := l.run(ctx, KindTraffic, text, func(line []byte) error {
			found = slices.Clone(line)
			return nil
		})
		if err != nil || found != nil {
			return found, err
		}
	}
	return nil, fmt.Errorf("event %v: %w", id, ErrNotFound)
}

// search is a checked query in the engine's language.
type search struct {
	kind     Kind
	from, to time.Time
	filters  string
	newest   bool
}

// text asks for at most limit events.
func (s *search) text(limit int) string {
	order := "_time"
	if s.newest {
		order = "_time desc"
	}
	// Nothing but "delete" may follow: the engine then looks for the last N
	// without sorting all. Names are turned back by renameLine for the same
	// reason.
	return fmt.Sprintf(`%s {kind="%s"}%s | sort by (%s) limit %d%s`,
		timeRange(s.from, s.to), s.kind, s.filters, order, limit, withoutStream)
}

// compile checks the query and fills in what it leaves open.
func (q Query) compile(now time.Time) (s search, limit int, err error) {
	s = search{kind: cmp.Or(q.Kind, KindTraffic), from: q.From, to: q.To, newest: q.Newest}
	if s.to.IsZero() {
		s.to = now.Add(time.Minute) // clocks of nodes differ
	}
	if s.from.IsZero() {
		s.from = s.to.Add(-24 * time.Hour)
	}
	limit = cmp.Or(q.Limit, plainLimit)
	switch {
	case limit < 0 || limit > maxLimit:
		return s, 0, fmt.Errorf("limit is %d, want 1 to %d", limit, maxLimit)
	case s.to.Before(s.from):
		return s, 0, fmt.Errorf("the time range ends (%s) before it begins (%s)", s.to.Format(time.RFC3339), s.from.Format(time.RFC3339))
	case s.kind != KindTraffic && s.kind != KindSystem:
		return s, 0, fmt.Errorf("kind is %q, want traffic or system", s.kind)
	}
	s.filters, err = q.filters(s.kind)
	return s, limit, err
}

func (q Query) filters(k Kind) (string, error) {
	if len(q.Filters) > maxFilters {
		return "", fmt.Errorf("%d filters, at most %d", len(q.Filters), maxFilters)
	}
	if len(q.Free) > maxFreeQL {
		return "", fmt.Errorf("the LogsQL filter has %d bytes, at most %d", len(q.Free), maxFreeQL)
	}
	var b strings.Builder
	for _, f := range q.Filters {
		text, err := f.logsQL(k)
		if err != nil {
			return "", err
		}
		b.WriteString(" " + text)
	}
	if q.Free != "" {
		b.WriteString(" (" + q.Free + "\n)") // the line feed ends a comment
	}
	return b.String(), nil
}

func timeRange(from, to time.Time) string {
	b := append([]byte(nil), "_time:["...)
	b = appendTime(b, from)
	b = append(b, ", "...)
	b = appendTime(b, to)
	return string(append(b, ']'))
}

// logsQL is the filter in the engine's language. The value is always quoted:
// nothing in it can be taken for anything else.
func (f Filter) logsQL(k Kind) (string, error) {
	field, err := lookField(k, f.Field)
	if err != nil {
		return "", err
	}
	if len(f.Value) > maxValue {
		return "", fmt.Errorf("the value for %s has %d bytes, at most %d", f.Field, len(f.Value), maxValue)
	}
	name := strconv.QuoteToASCII(engineName(f.Field))
	text := strings.ToValidUTF8(f.Value, "\uFFFD") // as events have it
	value := strconv.QuoteToASCII(text)
	match := func(begin, end string) string {
		return name + ":~" + strconv.QuoteToASCII(begin+regexp.QuoteMeta(text)+end)
	}
	// The engine takes U+FFFD for a letter in one place and not in another, and
	// so does not find words beside it. An expression without a fixed word in
	// it goes round that; U+10FFFF is no character and never matches.
	const noWord = `^(?:\x{10FFFF}|`
	odd := strings.ContainsRune(text, utf8.RuneError)
	switch f.Op {
	case OpIs, OpIsNot:
		is := name + ":=" + value
		if field.Unit == UnitList {
			is = name + ":json_array_contains_any(" + value + ")"
		} else if odd {
			is = match(noWord, ")$")
		}
		return negate(f.Op == OpIsNot, is), nil
	case OpHas, OpHasNot:
		return negate(f.Op == OpHasNot, match("(?i)", "")), nil
	case OpPrefix:
		if odd {
			return match(noWord, ")"), nil
		}
		return name + ":=" + value + "*", nil
	case OpAbove, OpBelow, OpAtLeast, OpAtMost:
		number, err := field.number(f.Value)
		if err != nil {
			return "", err
		}
		return name + ":" + string(f.Op) + strconv.FormatInt(number, 10), nil
	}
	return "", fmt.Errorf("operator %q is not known; there are = != ~ !~ ^ > < >= <=", f.Op)
}

func negate(not bool, s string) string {
	if not {
		return "!" + s
	}
	return s
}

// withoutStream takes the engine's own fields out of an answer.
const withoutStream = " | delete _stream, _stream_id"

// engineName is the name under which the engine keeps a field.
func engineName(name string) string {
	switch name {
	case "time":
		return "_time"
	case "url", "text":
		return "_msg"
	}
	return name
}

func lookField(k Kind, name string) (Field, error) {
	var names []string
	for _, f := range Fields() {
		if f.Kind != "" && f.Kind != k {
			continue
		}
		prefix, open := strings.CutSuffix(f.Name, "*")
		if f.Name == name || open && len(name) > len(prefix) && len(name) < 100 && strings.HasPrefix(name, prefix) {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Field{}, fmt.Errorf("%s events have no field %q; they have: %s", k, name, strings.Join(names, ", "))
}

// number reads a value to compare with, in the unit of the field.
func (f Field) number(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && f.Unit != UnitText && f.Unit != UnitList {
		return n, nil
	}
	switch f.Unit {
	case UnitMicros:
		if d, err := time.ParseDuration(s); err == nil {
			return d.Microseconds(), nil
		}
		return 0, fmt.Errorf("%s: %q is not a time; write 500ms or 2s, or microseconds as a number", f.Name, s)
	case UnitBytes:
		if n, ok := parseBytes(s); ok {
			return n, nil
		}
		return 0, fmt.Errorf("%s: %q is not a size; write 10MiB, 500KB or bytes as a number", f.Name, s)
	case UnitNumber:
		return 0, fmt.Errorf("%s: %q is not a number", f.Name, s)
	}
	return 0, fmt.Errorf("%s is text: > and < do not apply", f.Name)
}

func parseBytes(s string) (int64, bool) {
	units := []struct {
		suffix string
		factor int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.factor {
			return 0, false
		}
		return n * u.factor, true
	}
	return 0, false
}
