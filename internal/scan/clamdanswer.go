package scan

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	maxAnswer  = 2048 // bytes of one answer of clamd
	sizeError  = "INSTREAM size limit exceeded. ERROR"
	idleNotice = "COMMAND READ TIMED OUT\n"
)

// label is what clamd calls the object in its answer.
type label uint8

const (
	labelStream label = iota // "stream", after INSTREAM
	labelFile                // "fd[12]", after FILDES
)

// parseScanAnswer reads an answer without its NUL: "<id>: <object>: <result>".
// The id must be the one of the command and the object the one that was sent:
// anything else belongs to another scan or another protocol. Error is the
// status of a failure that clamd reports in due form.
func parseScanAnswer(b []byte, id uint64, want label) (Result, error) {
	text := string(b)
	if text == sizeError {
		return Result{Status: OverLimit, Detail: "clamd: " + text}, nil
	}
	rest, ok := strings.CutPrefix(text, strconv.FormatUint(id, 10)+": ")
	if !ok {
		return Result{}, badAnswer(b)
	}
	switch {
	case rest == sizeError:
		return Result{Status: OverLimit, Detail: "clamd: " + rest}, nil
	case strings.HasSuffix(rest, " ERROR") && printable(b):
		return Result{Status: Error, Detail: "clamd: " + rest}, nil
	}
	object, result, ok := strings.Cut(rest, ": ")
	if !ok || !want.is(object) {
		return Result{}, badAnswer(b)
	}
	if result == "OK" {
		return Result{Status: Clean}, nil
	}
	threat, ok := strings.CutSuffix(result, " FOUND")
	if !ok || threat == "" || !printable([]byte(threat)) {
		return Result{}, badAnswer(b)
	}
	return classify(threat), nil
}

func (l label) is(object string) bool {
	if l == labelStream {
		return object == "stream"
	}
	n, ok := strings.CutPrefix(object, "fd[")
	n, closed := strings.CutSuffix(n, "]")
	_, err := strconv.ParseUint(n, 10, 31)
	return ok && closed && err == nil
}

// classify tells malware from the names under which clamd reports what it could
// not read, or not read whole (clamd.conf: AlertExceedsMax, AlertEncrypted,
// AlertOLE2Macros).
func classify(threat string) Result {
	r := Result{Status: Infected, Threat: threat}
	switch {
	case strings.HasPrefix(threat, "Heuristics.Limits.Exceeded.MaxScanTime"):
		r.Status, r.Detail = TimedOut, "clamd: the scan took longer than its MaxScanTime"
	case strings.HasPrefix(threat, "Heuristics.Limits.Exceeded"):
		r.Status, r.Detail = OverLimit, "clamd: not scanned whole: "+threat
	case strings.HasPrefix(threat, "Heuristics.Encrypted."):
		r.Status, r.Detail = Encrypted, "clamd: "+threat
	case strings.HasPrefix(threat, "Heuristics.OLE2.ContainsMacros"):
		r.Status, r.Detail = Macro, "clamd: "+threat
	}
	return r
}

// parseVersion reads the answer to VERSION: "ClamAV 1.4.6", or with the
// official database "ClamAV 1.4.6/27000/Tue Nov 24 08:00:00 2026".
func parseVersion(b []byte) (string, error) {
	v, ok := bytes.CutPrefix(b, []byte("ClamAV "))
	if !ok || len(v) == 0 || len(v) > 200 || !printable(v) {
		return "", badAnswer(b)
	}
	return string(v), nil
}

var errAnswer = errors.New("clamd gave an answer that its protocol does not have")

func badAnswer(b []byte) error {
	return fmt.Errorf("%w: %q", errAnswer, b[:min(len(b), 100)])
}
