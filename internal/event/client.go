package event

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/internal/tx"
)

// insertPath makes the engine take lines as appendLine writes them. Few streams
// are what it works best with, so only fields of few values name one.
const insertPath = "/insert/jsonline?_time_field=time&_msg_field=url,text&_stream_fields=kind,node"

// client speaks the engine's HTTP API. It is safe for concurrent use.
type client struct{ http *http.Client }

func newClient() *client {
	return &client{http: &http.Client{Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		WriteBufferSize:       64 << 10,
		DisableCompression:    true,
	}}}
}

// statusError is an answer other than 2xx.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the event engine answers %d: %s", e.status, e.text)
}

// request is one question to the engine.
type request struct {
	path, kind, coding string
	body               []byte
}

// do sends a request and returns the answer's body, which the caller closes.
func (c *client) do(ctx context.Context, at endpoint, r request) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("ask event engine: %w", err)
	}
	req.Header.Set("Content-Type", r.kind)
	if r.coding != "" {
		req.Header.Set("Content-Encoding", r.coding)
	}
	if at.user != nil {
		password, _ := at.user.Password()
		req.SetBasicAuth(at.user.Username(), password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask event engine: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return nil, errors.Join(&statusError{resp.StatusCode, strings.TrimSpace(string(text))}, resp.Body.Close())
	}
	return resp.Body, nil
}

// insert gives lines to the engine, as they are or packed in a Snappy block.
func (c *client) insert(ctx context.Context, at endpoint, lines []byte, packed bool) error {
	coding := ""
	if packed {
		coding = "snappy"
	}
	body, err := c.do(ctx, at, request{path: insertPath, kind: "application/stream+json", coding: coding, body: lines})
	if err != nil {
		return err
	}
	return finishBody(body)
}

// show makes what the engine took visible for queries at once.
func (c *client) show(ctx context.Context, at endpoint) error {
	body, err := c.do(ctx, at, request{path: "/internal/force_flush"})
	if err != nil {
		return err
	}
	return finishBody(body)
}

// query runs LogsQL and calls fn for every line of the answer, which is valid
// during the call only.
func (c *client) query(ctx context.Context, at endpoint, logsQL string, fn func(line []byte) error) error {
	form := url.Values{"query": {logsQL}}.Encode()
	body, err := c.do(ctx, at, request{path: "/select/logsql/query", kind: "application/x-www-form-urlencoded", body: []byte(form)})
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), 2*maxLine)
	for lines.Scan() {
		if err := fn(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read answer of event engine: %w", err)
	}
	return nil
}

// present calls found for the ids that the engine has of a node (empty: of all)
// in the time of the question.
func (c *client) present(ctx context.Context, at endpoint, node string, q *question, found func(tx.ID)) error {
	text := append([]byte(nil), timeRange(time.Unix(0, q.from), time.Unix(0, q.to))...)
	if node != "" {
		text = append(text, " {node="...)
		text = strconv.AppendQuote(text, node)
		text = append(text, '}')
	}
	// Reading all ids of a short time is far cheaper than looking for each.
	if q.long() {
		text = append(text, " id:in("...)
		for i, id := range q.ids {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, '"')
			text = id.Append(text)
			text = append(text, '"')
		}
		text = append(text, ')')
	}
	text = append(text, " | fields id"...)
	return c.query(ctx, at, string(text), func(line []byte) error {
		id, err := parseIDRow(line)
		if err == nil {
			found(id)
		}
		return err
	})
}

// parseIDRow reads {"id":"..."}; other events than ours may lack an id.
func parseIDRow(line []byte) (tx.ID, error) {
	const before, after = `{"id":"`, `"}`
	if len(line) == len(before)+tx.IDLen+len(after) && string(line[:len(before)]) == before {
		return tx.ParseID(string(line[len(before) : len(before)+tx.IDLen]))
	}
	var row struct{ ID string }
	if err := json.Unmarshal(line, &row); err != nil {
		return tx.ID{}, fmt.Errorf("answer of event engine: %w", err)
	}
	id, _ := tx.ParseID(row.ID)
	return id, nil
}

// volatile tells how many lines the engine holds only in memory, and when it
// was started (Unix seconds).
func (c *client) volatile(ctx context.Context, at endpoint) (rows int64, start uint64, err error) {
	body, err := c.do(ctx, at, request{path: "/metrics"})
	if err != nil {
		return 0, 0, err
	}
	defer body.Close()
	seen := 0
	lines := bufio.NewScanner(io.LimitReader(body, 4<<20))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case `vl_storage_rows{type="storage/inmemory"}`, `vl_pending_rows{type="storage"}`:
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("metrics of event engine: %w", err)
			}
			rows += n
			seen++
		case "process_start_time_seconds":
			if start, err = strconv.ParseUint(value, 10, 64); err != nil {
				return 0, 0, fmt.Errorf("metrics of event engine: %w", err)
			}
			seen++
		}
	}
	if err := lines.Err(); err != nil {
		return 0, 0, fmt.Errorf("metrics of event engine: %w", err)
	}
	if seen != 3 {
		return 0, 0, errors.New("metrics of event engine: rows or start time are missing; is it VictoriaLogs?")
	}
	return rows, start, nil
}

func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000000Z")
}

// finishBody reads what is left, so that the connection can be used again.
func finishBody(body io.ReadCloser) error {
	_, err := io.Copy(io.Discard, io.LimitReader(body, 64<<10))
	return errors.Join(err, body.Close())
}
