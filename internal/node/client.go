package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
)

// controlSocket is where a running node answers the command line.
func (p Paths) controlSocket() string { return filepath.Join(p.Data, "control.sock") }

// maxAnswer bounds an answer that is read whole, in bytes.
const maxAnswer = 64 << 20

// Client talks to the node that runs on a data directory.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client; it connects at the first call.
func NewClient(p Paths) *Client {
	socket := p.controlSocket()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// problem is how the node says no.
type problem struct {
	Error string `json:"error"`
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "node", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("ask the node: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("no node answers at %s (is it running? use --data to name its data directory): %w", c.socket, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p); err != nil || p.Error == "" {
		return nil, fmt.Errorf("the node answered %s", resp.Status)
	}
	return nil, errors.New(p.Error)
}

func (c *Client) whole(ctx context.Context, method, path string, query url.Values, body io.Reader) (json.RawMessage, error) {
	resp, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the node's answer: %w", err)
	}
	return b, nil
}

// Events calls fn with each event that fits the words, as one JSON line each.
func (c *Client) Events(ctx context.Context, words []string, limit int, follow bool, fn func(line []byte) error) error {
	q := url.Values{"word": words, "limit": {fmt.Sprint(limit)}}
	if follow {
		q.Set("follow", "true")
	}
	resp, err := c.do(ctx, http.MethodGet, "/events", q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue // keeps a quiet stream alive
		}
		if err := fn(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	if e := resp.Trailer.Get("Sluice-Error"); e != "" {
		return errors.New(e)
	}
	return nil
}

// Explain returns the Explanation of one transaction as JSON.
func (c *Client) Explain(ctx context.Context, id string) (json.RawMessage, error) {
	return c.whole(ctx, http.MethodGet, "/explain/"+url.PathEscape(id), nil, nil)
}

// Scan has the node's engines look at one file and returns the ScanReport as JSON.
func (c *Client) Scan(ctx context.Context, name string, body io.Reader) (json.RawMessage, error) {
	return c.whole(ctx, http.MethodPost, "/scan", url.Values{"name": {name}}, body)
}

// Status returns the node's Status as JSON.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	return c.whole(ctx, http.MethodGet, "/status", nil, nil)
}

// Reload makes the node read its settings again and says whether it took them.
func (c *Client) Reload(ctx context.Context) error {
	_, err := c.whole(ctx, http.MethodPost, "/reload", nil, nil)
	return err
}
