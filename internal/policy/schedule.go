package policy

import (
	"fmt"
	"time"

	"sluice/internal/settings"
)

// schedule says when a rule holds.
type schedule struct {
	zone        *time.Location
	from, until time.Time // until is the first moment after the last day; zero is open
	spans       []span
}

// span is a time of day on some days. When to is not above from, it ends on the
// day after.
type span struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes of the day
}

func newSchedule(s *settings.Schedule) (*schedule, error) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", s.Zone, err)
	}
	out := &schedule{zone: zone}
	if s.From != "" {
		if out.from, err = settings.ParseDate(s.From, zone); err != nil {
			return nil, err
		}
	}
	if s.Until != "" {
		if out.until, err = settings.ParseDate(s.Until, zone); err != nil {
			return nil, err
		}
		out.until = out.until.AddDate(0, 0, 1)
	}
	for i := range s.Spans {
		if err := out.add(&s.Spans[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *schedule) add(in *settings.Span) error {
	days := [7]bool{}
	for _, d := range in.Days {
		set, err := settings.ParseDays(d)
		if err != nil {
			return err
		}
		for i := range days {
			days[i] = days[i] || set[i]
		}
	}
	if len(in.Days) == 0 {
		days = [7]bool{true, true, true, true, true, true, true}
	}
	if len(in.Hours) == 0 {
		s.spans = append(s.spans, span{days: days, to: 24 * 60})
	}
	for _, h := range in.Hours {
		from, to, err := settings.ParseHours(h)
		if err != nil {
			return err
		}
		s.spans = append(s.spans, span{days: days, from: from, to: to})
	}
	return nil
}

// holds tells whether now lies in the schedule. It does not allocate.
func (s *schedule) holds(now time.Time) bool {
	if !s.from.IsZero() && now.Before(s.from) || !s.until.IsZero() && !now.Before(s.until) {
		return false
	}
	if len(s.spans) == 0 {
		return true
	}
	local := now.In(s.zone)
	day := int(local.Weekday())
	minute := local.Hour()*60 + local.Minute()
	for i := range s.spans {
		p := &s.spans[i]
		if p.from < p.to {
			if p.days[day] && minute >= p.from && minute < p.to {
				return true
			}
			continue
		}
		if p.days[day] && minute >= p.from || p.days[(day+6)%7] && minute < p.to {
			return true
		}
	}
	return false
}
