package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sluice/internal/event"
	"sluice/internal/tx"
)

// serveLocal opens the control socket and the port for metrics and health.
func (n *Node) serveLocal(ctx context.Context) error {
	l, err := listenUnix(ctx, n.cfg.Paths.controlSocket(), 0o600)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	n.control = &http.Server{Handler: n.controlHandler(), ReadHeaderTimeout: 10 * time.Second}
	n.serving.Go(func() { n.served("control socket", n.control.Serve(l)) })
	return n.serveAdmin(ctx)
}

func (n *Node) served(what string, err error) {
	if !errors.Is(err, http.ErrServerClosed) {
		n.failed <- fmt.Errorf("%s: %w", what, err)
	}
}

func (n *Node) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", n.controlEvents)
	mux.HandleFunc("GET /explain/{id}", n.controlExplain)
	mux.HandleFunc("POST /scan", n.controlScan)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, n.Status(), nil) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		// The change must be whole even when the asker hangs up.
		answer(w, struct{}{}, n.Reload(context.WithoutCancel(r.Context())))
	})
	return mux
}

// answer writes a value or the reason why there is none.
func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		v = problem{err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // fails only when the asker hung up
}

func (n *Node) controlExplain(w http.ResponseWriter, r *http.Request) {
	id, err := tx.ParseID(r.PathValue("id"))
	if err != nil {
		answer(w, nil, err)
		return
	}
	e, err := n.explain(r.Context(), id)
	answer(w, e, err)
}

func (n *Node) controlScan(w http.ResponseWriter, r *http.Request) {
	report, err := n.scanFile(r.Context(), r.URL.Query().Get("name"), r.Body)
	answer(w, report, err)
}

// controlEvents streams events, a line each; what goes wrong on the way is in
// the trailer.
func (n *Node) controlEvents(w http.ResponseWriter, r *http.Request) {
	words := r.URL.Query()
	q, err := event.ParseQuery(words["word"], time.Now())
	if err != nil {
		answer(w, nil, err)
		return
	}
	if limit, err := strconv.Atoi(words.Get("limit")); err == nil && q.Limit == 0 {
		q.Limit = limit
	}
	w.Header().Set("Trailer", "Sluice-Error")
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	write := func(line []byte) error {
		_, err := w.Write(append(line, '\n'))
		return err
	}
	if words.Get("follow") == "true" {
		err = n.events.Follow(r.Context(), q, func(line []byte) error { return errors.Join(write(line), flush.Flush()) })
	} else {
		err = n.eventsInOrder(r.Context(), q, write)
	}
	if err != nil && r.Context().Err() == nil {
		w.Header().Set("Sluice-Error", err.Error())
	}
}

// eventsInOrder finds the newest events and gives them oldest first, as people
// read a log.
func (n *Node) eventsInOrder(ctx context.Context, q event.Query, fn func([]byte) error) error {
	var lines [][]byte
	err := n.events.Query(ctx, q, func(line []byte) error {
		lines = append(lines, append([]byte(nil), line...))
		return nil
	})
	for i := len(lines) - 1; i >= 0 && err == nil; i-- {
		err = fn(lines[i])
	}
	return err
}
