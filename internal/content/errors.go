package content

import (
	"errors"
	"fmt"
)

// The kinds of fault that Walk reports. Test with errors.Is; one error of Walk
// can be of several kinds, because policy may treat each differently.
var (
	// ErrEncoding: a content coding is unknown, or the body does not follow it.
	ErrEncoding = errors.New("content coding")
	// ErrLimit: a bound of Limits stopped the unpacking.
	ErrLimit = errors.New("over a bound")
	// ErrDamaged: a container is damaged, or packed in a way that is not
	// supported, and could not be looked into whole.
	ErrDamaged = errors.New("damaged")
)

// Fault says what could not be looked into, and where. It is of one of the
// kinds ErrEncoding, ErrLimit and ErrDamaged.
type Fault struct {
	Kind error
	Path string // Object.Path of the object that it is about
	What string // one line for people
}

// Error is the line for people: kind, place, reason.
func (f *Fault) Error() string { return fmt.Sprintf("%v: %s: %s", f.Kind, f.Path, f.What) }

// Unwrap returns the kind.
func (f *Fault) Unwrap() error { return f.Kind }

// kinds in the order in which Walk reports them, gravest first.
var kinds = [...]error{ErrLimit, ErrEncoding, ErrDamaged}

// faults keeps the first fault of every kind.
type faults [len(kinds)]*Fault

func (f *faults) add(kind error, path, what string) {
	for i, k := range kinds {
		if errors.Is(kind, k) && f[i] == nil {
			f[i] = &Fault{Kind: kind, Path: path, What: what}
		}
	}
}

func (f *faults) err() error {
	var all []error
	for _, x := range f {
		if x != nil {
			all = append(all, x)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return errors.Join(all...)
}

// stop ends the whole walk. Its cause is returned by Walk together with the
// faults so far.
type stop struct{ cause error }

// Error is that of the cause.
func (s *stop) Error() string { return s.cause.Error() }
func (s *stop) Unwrap() error { return s.cause }

func isStop(err error) bool {
	_, ok := errors.AsType[*stop](err)
	return ok
}

// limitError is what a decoder returns for a bound that concerns one object.
type limitError struct{ what string }

func (e *limitError) Error() string { return e.what }

func isLimit(err error) bool {
	_, ok := errors.AsType[*limitError](err)
	return ok
}

func limitf(format string, args ...any) error { return &limitError{fmt.Sprintf(format, args...)} }

// errUnsupported names a packing method that this package cannot undo.
type errUnsupported string

func (e errUnsupported) Error() string { return string(e) + " is not supported" }
