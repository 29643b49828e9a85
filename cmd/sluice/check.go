package main

import (
	"crypto/md5" //nolint:gosec // rules may name MD5 digests
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"

	"sluice/internal/content"
	"sluice/internal/policy"
	"sluice/internal/tx"
)

type checkCmd struct {
	place
	URL       string   `arg:"" help:"What is asked for, such as http://example.com/file.zip."`
	User      string   `help:"The user's name as the proxy tells it."`
	Group     []string `help:"A group of the user; may be repeated."`
	IP        string   `help:"The client's address."`
	Agent     string   `help:"User-Agent."`
	Method    string   `help:"Request method." default:"GET"`
	Direction string   `help:"Judge the request or the response; default: the response when --mime or --file is given." enum:"request,response," default:""`
	MIME      string   `help:"Content-Type of the message." name:"mime"`
	Length    int64    `help:"Content-Length of the message." default:"-1"`
	File      string   `help:"A file that is the message's body: judged by name, type, size and digests, not scanned." type:"existingfile"`
	Time      string   `help:"When, as 2026-01-31T08:00 in local time; default now."`
	JSON      bool     `help:"Print JSON."`
}

// maxCheckedFile bounds the file given to check, in bytes.
const maxCheckedFile = 256 << 20

// Run explains the decision. It needs no running node.
func (c *checkCmd) Run(s *streams) error {
	d, err := c.load()
	if err != nil {
		return err
	}
	p, err := d.Policy()
	if err != nil {
		return err
	}
	t, err := c.transaction()
	if err != nil {
		return err
	}
	now, err := c.when()
	if err != nil {
		return err
	}
	var f policy.Facts
	if err := f.Reset(t, now); err != nil {
		return err
	}
	objects, err := c.object()
	if err != nil {
		return err
	}
	e := p.Explain(&f, objects)
	if c.JSON {
		return json.NewEncoder(s.out).Encode(e)
	}
	_, err = fmt.Fprint(s.out, e)
	return err
}

func (c *checkCmd) transaction() (*tx.Transaction, error) {
	t := &tx.Transaction{Length: c.Length, HasBody: c.File != ""}
	t.Request = tx.Request{Method: []byte(strings.ToUpper(c.Method)), URL: []byte(c.URL)}
	if c.Direction == tx.DirResponse.String() || c.Direction == "" && (c.MIME != "" || c.File != "") {
		t.Direction = tx.DirResponse
		t.Response.Status = 200
	}
	if c.Agent != "" {
		t.Request.Header = append(t.Request.Header, tx.Field{Name: []byte("User-Agent"), Value: []byte(c.Agent)})
	}
	if c.MIME != "" {
		h := &t.Request.Header
		if t.Direction == tx.DirResponse {
			h = &t.Response.Header
		}
		*h = append(*h, tx.Field{Name: []byte("Content-Type"), Value: []byte(c.MIME)})
	}
	t.Client.User = []byte(c.User)
	for _, g := range c.Group {
		t.Client.Groups = append(t.Client.Groups, []byte(g))
	}
	if c.IP != "" {
		addr, err := netip.ParseAddr(c.IP)
		if err != nil {
			return nil, fmt.Errorf("--ip: %w", err)
		}
		t.Client.Addr = addr
	}
	return t, nil
}

func (c *checkCmd) when() (time.Time, error) {
	if c.Time == "" {
		return time.Now(), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, c.Time, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--time %q: write it as 2026-01-31T08:00", c.Time)
}

// object describes the file as the pipeline would. Members of an archive are
// left to the running node (sluice scan).
func (c *checkCmd) object() ([]policy.Object, error) {
	if c.File == "" {
		return nil, nil
	}
	fi, err := os.Stat(c.File)
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxCheckedFile {
		return nil, errors.New("--file: larger than 256MB")
	}
	b, err := os.ReadFile(c.File)
	if err != nil {
		return nil, err
	}
	return []policy.Object{{
		Name: path.Base(c.File), Type: content.Sniff(b), Size: int64(len(b)), SHA256: sha256.Sum256(b), MD5: md5.Sum(b), //nolint:gosec // see the import
	}}, nil
}
