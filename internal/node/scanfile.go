package node

import (
	"context"
	"errors"
	"fmt"
	"io"

	"sluice/internal/content"
	"sluice/internal/scan"
)

// ScanReport is what the engines said about one file.
type ScanReport struct {
	Status  string        `json:"status"` // "clean" only when all of it was scanned whole
	Threat  string        `json:"threat,omitempty"`
	Detail  string        `json:"detail,omitempty"`
	Objects []EventObject `json:"objects"`
}

// maxScanned bounds the objects listed in a report.
const maxScanned = 10_000

// scanFile has the running engines look at a file, as they would at a download.
// No rule is asked.
func (n *Node) scanFile(ctx context.Context, name string, r io.Reader) (*ScanReport, error) {
	snap := n.engine.Snapshot()
	body := n.spool.New(0)
	defer body.Close() //nolint:errcheck // an unnamed file: nothing can be lost
	size, err := io.Copy(body, io.LimitReader(r, snap.BodyLimit+1))
	if err != nil {
		return nil, fmt.Errorf("take in the file: %w", err)
	}
	if size > snap.BodyLimit {
		return &ScanReport{Status: scan.OverLimit.String(), Detail: fmt.Sprintf("larger than %d bytes", snap.BodyLimit)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, snap.TimeLimit)
	defer cancel()
	report := &ScanReport{}
	worst := scan.Result{Status: scan.Clean}
	examine := func(o *content.Object) error {
		so := scan.Object{Name: o.Path, Data: o.Data}
		res := scan.Worst(snap.Chain.Scan(ctx, &so))
		switch {
		case res.Status == scan.Infected:
		case o.Encrypted:
			res.Status, res.Detail = scan.Encrypted, "cannot be read without a password"
		case o.Macros:
			res.Status, res.Detail = scan.Macro, "carries macros"
		}
		worst = scan.Worst([]scan.Result{worst, res})
		if len(report.Objects) < maxScanned {
			report.Objects = append(report.Objects, EventObject{
				Path: o.Path, Name: o.Name, Type: o.Type, MIME: o.MIME, Size: o.Data.Size(), SHA256: fmt.Sprintf("%x", o.Data.SHA256()),
				Engine: res.Engine, Status: res.Status.String(), Threat: res.Threat, Detail: res.Detail, Micros: res.Took.Microseconds(),
			})
		}
		return ctx.Err()
	}
	err = snap.Walker.WalkAround(ctx, content.Message{FileName: name, Body: body}, func(o *content.Object) error {
		if o.Container {
			return ctx.Err()
		}
		return examine(o)
	}, func(o *content.Object, over bool) error {
		if over { // engines would unpack the bomb on their own
			return ctx.Err()
		}
		return examine(o)
	})
	report.Status, report.Threat, report.Detail = worst.Status.String(), worst.Threat, worst.Detail
	if err != nil && worst.Status != scan.Infected {
		report.Status, report.Detail = failureStatus(err), err.Error()
	}
	return report, nil
}

// failureStatus names what kept a file from being scanned whole.
func failureStatus(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return scan.TimedOut.String()
	case errors.Is(err, content.ErrLimit):
		return scan.OverLimit.String()
	}
	return scan.Error.String()
}

// Print writes the report for people: a line for the file, and one for every
// object in it that is not clean.
func (r *ScanReport) Print(w io.Writer, name string) {
	fmt.Fprintf(w, "%s: %s", name, r.Status)
	if r.Threat != "" {
		fmt.Fprintf(w, " %s", r.Threat)
	}
	if r.Detail != "" {
		fmt.Fprintf(w, " (%s)", r.Detail)
	}
	fmt.Fprintln(w)
	for _, o := range r.Objects {
		if o.Status != scan.Clean.String() {
			fmt.Fprintf(w, "  %s: %s %s %s\n", o.Path, o.Status, o.Threat, o.Detail)
		}
	}
}
