package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
)

const (
	stampLen  = 16       // hexadecimal digits at the start of a body that make it one of its own
	pieceLen  = 1024     // of a body's first chunk when there is no preview
	chunkLen  = 32 << 10 // of its further chunks
	unitLen   = 1 << 20  // of the run of chunks that large bodies repeat
	hexDigits = "0123456789abcdef"
)

// spec says what requests look like.
type spec struct {
	mode     string // respmod, reqmod or http
	url      *url.URL
	size     int64
	preview  int64 // -1: none
	allow204 bool
	ctype    string
	variants int // different hosts, paths, users and addresses of one connection
}

// request is one request ready to be sent. Its stamp is changed in place.
type request struct {
	first []byte // heads and the first piece of the body
	stamp []byte // part of first; nil when it holds no body
	rest  rest   // sent after "100 Continue", or at once without a preview
	asks  bool   // whether rest waits for "100 Continue"
}

// rest is the shared, unchanging remainder of a body: unit so many times, then tail.
type rest struct {
	unit  []byte
	times int64
	tail  []byte
}

func (r *rest) empty() bool { return r.times == 0 && len(r.tail) == 0 }

func (s *spec) check() error {
	switch {
	case s.mode != "respmod" && s.mode != "reqmod" && s.mode != "http":
		return fmt.Errorf("-mode %q: want respmod, reqmod or http", s.mode)
	case s.mode == "respmod" && (s.size < stampLen || s.preview >= 0 && s.preview < stampLen):
		return fmt.Errorf("-size and -preview must be at least %d: that many bytes make bodies different", stampLen)
	case s.url.Host == "":
		return errors.New("-url needs a host")
	}
	return nil
}

// requests builds a connection's requests.
func (s *spec) requests(conn int, body rest) []request {
	out := make([]request, s.variants)
	for i := range out {
		switch s.mode {
		case "http":
			out[i].first = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\n\r\n", s.url, s.url.Host)
		case "reqmod":
			out[i].first = s.reqmod(conn*s.variants + i)
		default:
			out[i] = s.respmod(conn*s.variants+i, body)
		}
	}
	return out
}

// clientFields is who asks: one of 1,000 users in one of 40 groups.
func clientFields(n int) string {
	user := n * 7919 % 1000
	return fmt.Sprintf("X-Client-IP: 10.%d.%d.%d\r\nX-Client-Username: user%d\r\nX-Client-Groups: Staff, Team-%d\r\n",
		n%8, n/8%256, user%254+1, user, user%40)
}

func httpRequest(n int) string {
	host := fmt.Sprintf("www%d.site%d.example", n%4, n*104729%5000)
	return fmt.Sprintf("GET http://%s/some/path/%d/file.bin?x=%d HTTP/1.1\r\nHost: %s\r\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"+
		"Accept: */*\r\nAccept-Encoding: gzip\r\n\r\n", host, n%100, n, host)
}

func (s *spec) allow() string {
	if s.allow204 {
		return "Allow: 204\r\n"
	}
	return ""
}

func (s *spec) reqmod(n int) []byte {
	q := httpRequest(n)
	return fmt.Appendf(nil, "REQMOD %s ICAP/1.0\r\nHost: %s\r\n%s%sEncapsulated: req-hdr=0, null-body=%d\r\n\r\n%s",
		s.url, s.url.Host, s.allow(), clientFields(n), len(q), q)
}

func (s *spec) respmod(n int, body rest) request {
	q := httpRequest(n)
	p := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nServer: nginx\r\nDate: Tue, 24 Nov 2026 00:00:00 GMT\r\n\r\n", s.ctype, s.size)
	preview := ""
	if s.preview >= 0 {
		preview = fmt.Sprintf("Preview: %d\r\n", s.preview)
	}
	w := fmt.Appendf(nil, "RESPMOD %s ICAP/1.0\r\nHost: %s\r\n%s%s%sEncapsulated: req-hdr=0, res-hdr=%d, res-body=%d\r\n\r\n%s%s",
		s.url, s.url.Host, s.allow(), preview, clientFields(n), len(q), len(q)+len(p), q, p)
	piece := s.firstPiece()
	w = fmt.Appendf(w, "%x\r\n", piece)
	at := len(w)
	w = append(w, random(piece)...)
	w = append(w, "\r\n"...)
	switch {
	case s.preview < 0 && piece == s.size:
		w = append(w, "0\r\n\r\n"...)
	case s.preview >= 0 && piece == s.size:
		w = append(w, "0; ieof\r\n\r\n"...)
	case s.preview >= 0:
		w = append(w, "0\r\n\r\n"...)
	}
	return request{first: w, stamp: w[at : at+stampLen], rest: body, asks: s.preview >= 0}
}

// firstPiece is how much of the body goes out together with the heads.
func (s *spec) firstPiece() int64 {
	if s.preview >= 0 {
		return min(s.preview, s.size)
	}
	return min(pieceLen, s.size)
}

// rest builds what all bodies have in common behind their first piece.
func (s *spec) rest() rest {
	left := s.size - s.firstPiece()
	if s.mode != "respmod" || left == 0 {
		return rest{}
	}
	var r rest
	if left >= 2*unitLen {
		r.unit = chunks(unitLen)
		r.times = left / unitLen
		left %= unitLen
	}
	r.tail = append(chunks(left), "0\r\n\r\n"...)
	return r
}

// chunks is n random bytes in chunked coding, without the last chunk.
func chunks(n int64) []byte {
	var w bytes.Buffer
	for n > 0 {
		m := min(n, chunkLen)
		fmt.Fprintf(&w, "%x\r\n%s\r\n", m, random(m))
		n -= m
	}
	return w.Bytes()
}

// random bytes do not compress and look like no file type; the seed is fixed so
// that every run sends the same.
func random(n int64) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b) //nolint:errcheck // ChaCha8.Read never fails
	return b
}

// setStamp writes v in hexadecimal digits, mixed so that bodies differ from their
// first byte on; the factor is odd, so different values stay different.
func setStamp(b []byte, v uint64) {
	v *= 0x9e3779b97f4a7c15
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = hexDigits[v&15]
		v >>= 4
	}
}
