package event

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/internal/tx"
)

// ParseQuery reads a query from the words of a command line, such as
//
//	user=alice action=block host~example total>500ms since=1h
//
// Besides conditions on fields (see Fields; operators = != ~ !~ ^ > < >= <=)
// there are kind=traffic|system, since= and until= (RFC 3339, 2006-01-02,
// 15:04, or how long ago: 90s, 15m, 2h, 7d), limit=N, order=newest|oldest and
// query=LOGSQL. A word that is a transaction id alone means id=. Newest first
// is the default.
func ParseQuery(words []string, now time.Time) (Query, error) {
	q := Query{Newest: true}
	for _, w := range words {
		if err := q.addWord(w, now); err != nil {
			return Query{}, err
		}
	}
	if q.From.IsZero() {
		q.widenForID(now)
	}
	if _, _, err := q.compile(now); err != nil { // everything that can be wrong is found here
		return Query{}, err
	}
	return q, nil
}

// widenForID makes a query for an id look where its transaction was.
func (q *Query) widenForID(now time.Time) {
	for _, f := range q.Filters {
		if f.Field != "id" || f.Op != OpIs {
			continue
		}
		if id, err := tx.ParseID(f.Value); err == nil && id.Time().Before(now) {
			q.From = id.Time().Add(-idSlack)
		}
	}
}

func (q *Query) addWord(w string, now time.Time) error {
	name, op, value := splitWord(w)
	if op == "" {
		if _, err := tx.ParseID(w); err == nil {
			q.Filters = append(q.Filters, Filter{"id", OpIs, w})
			return nil
		}
		return fmt.Errorf("%q is not a condition; write FIELD=VALUE or FIELD~PART, for instance url~%s", w, w)
	}
	known, err := q.setOption(name, value, now)
	switch {
	case !known:
		q.Filters = append(q.Filters, Filter{name, op, value})
	case op != OpIs:
		return fmt.Errorf("%q: %s takes = only", w, name)
	case err != nil:
		return fmt.Errorf("%q: %w", w, err)
	}
	return nil
}

// setOption takes the words that are not conditions on fields.
func (q *Query) setOption(name, value string, now time.Time) (known bool, err error) {
	switch name {
	case "kind":
		q.Kind = Kind(value)
	case "since":
		q.From, err = parseMoment(value, now)
	case "until":
		q.To, err = parseMoment(value, now)
	case "limit":
		if q.Limit, err = strconv.Atoi(value); err == nil && q.Limit <= 0 {
			err = fmt.Errorf("limit is %d, want 1 to %d", q.Limit, maxLimit)
		}
	case "order":
		q.Newest = value == "newest"
		if value != "newest" && value != "oldest" {
			err = fmt.Errorf("order is %q, want newest or oldest", value)
		}
	case "query":
		q.Free = value
	default:
		return false, nil
	}
	return true, err
}

// splitWord cuts a word at its first operator.
func splitWord(w string) (name string, op Op, value string) {
	i := strings.IndexAny(w, "=!~^<>")
	if i <= 0 {
		return w, "", ""
	}
	for _, op := range []Op{OpIsNot, OpHasNot, OpAtLeast, OpAtMost, OpIs, OpHas, OpPrefix, OpAbove, OpBelow} {
		if value, ok := strings.CutPrefix(w[i:], string(op)); ok {
			return w[:i], op, value
		}
	}
	return w, "", ""
}

// parseMoment reads a point in time; local time where no zone is written.
func parseMoment(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		t, err := time.ParseInLocation(layout, s, now.Location())
		if err != nil {
			continue
		}
		if t.Year() < 1970 || t.Year() > 2200 {
			return time.Time{}, fmt.Errorf("year %d is out of range", t.Year())
		}
		return t, nil
	}
	if t, err := time.ParseInLocation("15:04", s, now.Location()); err == nil {
		t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location())
		if t.After(now) {
			t = t.AddDate(0, 0, -1)
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write 15m, 2h, 7d, 15:04, 2006-01-02 or 2006-01-02T15:04:05Z", s)
}
