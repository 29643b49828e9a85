package child

import (
	"bytes"
	"sync"
)

// MaxLine bounds one line of output in bytes; what is longer is cut.
const MaxLine = 8 << 10

// lineWriter cuts a byte stream into lines, in bounded memory.
type lineWriter struct {
	emit func(line []byte)

	mu   sync.Mutex
	part []byte // the line so far
}

// Write never fails: a program must not die because nobody wants its output.
func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(b)
	for {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		w.part = append(w.part, line[:min(len(line), MaxLine-len(w.part))]...)
		if !ended {
			return n, nil
		}
		w.send()
		b = rest
	}
}

// flush sends a last line that has no line end.
func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send()
}

func (w *lineWriter) send() {
	if line := bytes.TrimRight(w.part, "\r"); len(line) > 0 {
		w.emit(line)
	}
	w.part = w.part[:0]
}
