package traffic

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"sluice/internal/content"
	"sluice/internal/scan"
	"sluice/internal/tx"
)

// inspect finds out what is in the body and weighs every object. A body that was
// seen before, with the same meaning and engines, is only weighed again.
func (j *judge) inspect(ctx context.Context, body tx.Content) {
	start := time.Now()
	defer func() { j.inspecting += time.Since(start) }()
	if j.snap.Chain.Instant() && j.plain(ctx, body, start) {
		return
	}
	key := j.reportKey(body)
	if r, ok := j.engine.known(key); ok {
		j.weighReport(r)
		return
	}
	m := j.message(body)
	ctx, cancel := context.WithTimeout(ctx, j.snap.TimeLimit)
	defer cancel()
	r := &report{}
	err := j.walk(ctx, &m, r)
	r.took = time.Since(start)
	j.report = r
	for _, f := range ofWalk(err) {
		j.fail(f)
	}
	if err == nil && r.cacheable() && j.snap.Chain.Key() == j.chainKey {
		j.engine.keep(key, r)
	}
}

// plain visits a small plain body when only hash lists are asked: that is done
// sooner than a cache could be asked and told. It tells whether the body is one.
func (j *judge) plain(ctx context.Context, body tx.Content, start time.Time) bool {
	o, ok := j.snap.Walker.Simple(j.message(body))
	if !ok {
		return false
	}
	j.report = &j.own
	j.own.objects, j.own.visited = j.own.objects[:0], 0
	for _, f := range ofWalk(j.visit(ctx, j.report, &o)) {
		j.fail(f)
	}
	j.own.took = time.Since(start)
	return true
}

// walk visits everything in the body. A small plain body has only itself, and
// does not wait for its turn.
func (j *judge) walk(ctx context.Context, m *content.Message, r *report) error {
	if o, ok := j.snap.Walker.Simple(*m); ok {
		return j.visit(ctx, r, &o)
	}
	if err := j.engine.enter(ctx); err != nil {
		return err
	}
	defer j.engine.leave()
	j.around = j.around[:0]
	return j.snap.Walker.WalkAround(ctx, *m,
		func(o *content.Object) error { return j.visit(ctx, r, o) },
		func(o *content.Object, over bool) error { return j.leave(ctx, r, o, over) })
}

// message says what the transaction knows about the body's meaning.
func (j *judge) message(body tx.Content) content.Message {
	h := j.t.Header()
	m := content.Message{
		ContentType:        string(oneList(h, "Content-Type")),
		ContentDisposition: string(h.Get("Content-Disposition")),
		FileName:           decoded(fileName(j.t.Request.URL)),
		Body:               body,
		Partial:            j.asked(),
	}
	for v := range h.Values("Content-Encoding") {
		m.ContentEncoding = append(m.ContentEncoding, string(v))
	}
	for v := range h.Values("Transfer-Encoding") {
		m.ContentEncoding = append(m.ContentEncoding, transferCodings(v)...)
	}
	return m
}

// oneList returns the value of a field, of several lines as the one that they
// are equal to (RFC 9110 section 5.2).
func oneList(h tx.Header, name string) (list []byte) {
	for v := range h.Values(name) {
		if list == nil {
			list = v
			continue
		}
		list = append(append(slices.Clip(list), ", "...), v...)
	}
	return list
}

// transferCodings lists what a proxy that undoes chunked alone leaves on the
// body (RFC 9112 section 6.1).
func transferCodings(value []byte) (codings []string) {
	for c := range bytes.SplitSeq(value, []byte(",")) {
		if c = bytes.TrimSpace(c); len(c) > 0 && !tx.EqualFold(c, "chunked") {
			codings = append(codings, string(c))
		}
	}
	return codings
}

// partial tells whether the message carries only a range of an object (RFC 9110
// section 15.3.7; for a request, section 14.5).
func (j *judge) partial() bool {
	if j.t.Direction == tx.DirResponse {
		return j.t.Response.Status == 206
	}
	return j.t.Request.Header.Has("Content-Range")
}

// asked tells whether a range was wanted: then it is no damage that codings and
// archives are not whole. A range that nobody asked for is judged like the
// whole, or every origin could choose what is overlooked by its status.
func (j *judge) asked() bool {
	r := &j.t.Request
	return j.partial() && (j.t.Direction == tx.DirRequest || len(r.URL) == 0 || r.Header.Has("Range"))
}

// decoded undoes percent-coding, as browsers do before they save a file.
func decoded(name []byte) string {
	if bytes.IndexByte(name, '%') < 0 {
		return string(name)
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		var c [1]byte
		if name[i] == '%' && i+2 < len(name) {
			if _, err := hex.Decode(c[:], name[i+1:i+3]); err == nil {
				out = append(out, c[0])
				i += 2
				continue
			}
		}
		out = append(out, name[i])
	}
	return string(out)
}

// fileName is the last segment of a URL's path.
func fileName(url []byte) []byte {
	if i := bytes.IndexAny(url, "?#"); i >= 0 {
		url = url[:i]
	}
	if i := bytes.Index(url, []byte("://")); i >= 0 {
		url = url[i+3:]
		if !bytes.Contains(url, []byte("/")) {
			return nil
		}
	}
	return url[bytes.LastIndexByte(url, '/')+1:]
}

// reportKey names everything that a report depends on: the bytes, their declared
// meaning, the engines' state, and the revision with its limits.
func (j *judge) reportKey(body tx.Content) scan.Key {
	j.chainKey = j.snap.Chain.Key()
	var h maphash.Hash
	h.SetSeed(j.engine.seed)
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], j.chainKey)
	h.Write(n[:])
	h.WriteString(j.snap.Revision)
	h.Write(fileName(j.t.Request.URL))
	for _, f := range j.t.Header() {
		if tx.EqualFold(f.Name, "Content-Type") || tx.EqualFold(f.Name, "Content-Disposition") ||
			tx.EqualFold(f.Name, "Content-Encoding") || tx.EqualFold(f.Name, "Transfer-Encoding") {
			h.WriteByte(0)
			h.Write(f.Name)
			h.WriteByte(0)
			h.Write(f.Value)
		}
	}
	if j.asked() {
		h.WriteByte(1)
	}
	return scan.Key{Sum: body.SHA256(), Version: h.Sum64()}
}

// visit scans one object and weighs what was found. It never stops the walk: a
// damaged or harmless member must not hide what comes after it. A container has
// its place in the report before its members and is scanned after them.
func (j *judge) visit(ctx context.Context, r *report, c *content.Object) error {
	at := len(r.objects)
	r.visited++
	if at < maxKept {
		r.objects = append(r.objects, object{path: c.Path, name: c.Name, typ: c.Type, depth: c.Depth})
	}
	if c.Container {
		j.around = append(j.around, at)
		return ctx.Err()
	}
	return j.examine(ctx, r, c, at)
}

// leave scans a container whose members were visited, save one that a bound
// stopped: engines unpack on their own, and would be kept busy by a bomb that is
// blocked anyhow.
func (j *judge) leave(ctx context.Context, r *report, c *content.Object, over bool) error {
	at := j.around[len(j.around)-1]
	j.around = j.around[:len(j.around)-1]
	if over && !j.snap.Fail.open[tx.OverLimit] {
		return ctx.Err()
	}
	return j.examine(ctx, r, c, at)
}

// examine scans an object and keeps what was found at its place in the report.
func (j *judge) examine(ctx context.Context, r *report, c *content.Object, at int) error {
	o := object{
		path: c.Path, name: c.Name, typ: c.Type, depth: c.Depth, size: c.Data.Size(), sha256: c.Data.SHA256(),
		flagged: c.Encrypted, macros: c.Macros,
	}
	if c.Depth > 0 {
		o.mime = c.DeclaredMIME
	}
	so := scan.Object{Name: c.Path, Data: c.Data}
	results := j.snap.Chain.Scan(ctx, &so)
	worst := scan.Worst(results)
	o.status, o.engine, o.threat, o.detail, o.took = worst.Status, worst.Engine, worst.Threat, worst.Detail, worst.Took
	for i := range results {
		if reason, bad := ofStatus(results[i].Status); bad {
			o.failures = append(o.failures, failure{reason, fmt.Sprintf("%s: %s: %s", results[i].Engine, c.Path, results[i].Detail)})
		}
	}
	if j.snap.Policy.Needs().MD5 {
		sum, err := so.MD5(ctx)
		if err != nil && !errors.Is(err, ctx.Err()) {
			o.failures = append(o.failures, failure{tx.InternalError, err.Error()})
		}
		o.md5 = sum
	}
	j.scanning += worst.Took
	if at < maxKept {
		r.objects[at] = o
	}
	j.weigh(&o)
	return ctx.Err()
}

// known returns what is remembered about a body.
func (e *Engine) known(k scan.Key) (*report, bool) {
	if e.reports == nil {
		return nil, false
	}
	return e.reports.Get(k)
}

func (e *Engine) keep(k scan.Key, r *report) {
	if e.reports != nil {
		e.reports.Put(k, r)
	}
}

// enter waits for a turn to take a body apart: decoders have large windows, and
// more of them than processors only cost memory.
func (e *Engine) enter(ctx context.Context) error {
	select {
	case e.walks <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Engine) leave() { <-e.walks }
