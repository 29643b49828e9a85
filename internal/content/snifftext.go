package content

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// sniffText tells text formats apart; what has other control characters than
// white space, and is not UTF-16, is data.
func sniffText(b []byte) string {
	b = b[:min(len(b), sniffLen)]
	t := bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if len(b) >= 2 && (b[0] == 0xff && b[1] == 0xfe || b[0] == 0xfe && b[1] == 0xff) {
		return "text"
	}
	t = trimSpaceLeft(t)
	if id := sniffMarkup(t); id != "" {
		return id
	}
	if !isText(b) {
		return "data"
	}
	switch {
	case bytes.HasPrefix(t, []byte("#!")):
		return "script"
	case hasPrefixFold(t, "@echo off"), hasPrefixFold(t, "rem "):
		return "bat"
	case isMail(t):
		return "eml"
	case isJSON(t):
		return "json"
	}
	return "text"
}

func sniffMarkup(t []byte) string {
	if len(t) < 5 || t[0] != '<' {
		return ""
	}
	switch {
	case hasPrefixFold(t, "<?php"), hasPrefixFold(t, "<?="):
		return "php"
	case hasPrefixFold(t, "<?xml"):
		if containsFold(t, "<html") {
			return "html"
		}
		if containsFold(t, "<svg") {
			return "svg"
		}
		return "xml"
	case hasPrefixFold(t, "<svg"):
		return "svg"
	case hasPrefixFold(t, "<!--"):
		if containsFold(t, "<svg") && !containsFold(t, "<html") {
			return "svg"
		}
		return "html"
	}
	for _, tag := range pageTags {
		if hasPrefixFold(t, tag) && (len(t) == len(tag) || strings.IndexByte(" >\n\r\t/", t[len(tag)]) >= 0) {
			return "html"
		}
	}
	return ""
}

// pageTags are the tags by which browsers know a page (WHATWG MIME Sniffing,
// section 7.1), and some more that pages start with.
var pageTags = [...]string{"<!doctype html", "<html", "<head", "<script", "<iframe", "<h1", "<div", "<font", "<table", "<a", "<style", "<title", "<b", "<body", "<br", "<p", "<meta", "<link", "<img", "<form"}

var mailFields = [...]string{"received:", "return-path:", "from:", "to:", "subject:", "date:", "message-id:", "mime-version:", "content-type:", "delivered-to:", "x-", "dkim-signature:", "reply-to:"}

// isMail wants a header field of mail at the very start and one of MIME or mail
// routing somewhere in the first bytes.
func isMail(t []byte) bool {
	start := false
	for _, f := range mailFields {
		if hasPrefixFold(t, f) {
			start = true
			break
		}
	}
	if !start {
		return false
	}
	if hasPrefixFold(t, "x-") {
		if i := bytes.IndexByte(t, ':'); i < 0 || bytes.ContainsAny(t[:i], " \r\n\t") {
			return false
		}
	}
	for _, f := range [...]string{"\ncontent-type:", "\nmime-version:", "\nmessage-id:", "\nreceived:", "\nsubject:", "\ncontent-transfer-encoding:"} {
		if containsFold(t, f) {
			return true
		}
	}
	return hasPrefixFold(t, "content-type:") || hasPrefixFold(t, "mime-version:")
}

func isJSON(t []byte) bool {
	if len(t) < 2 || t[0] != '{' && t[0] != '[' {
		return false
	}
	u := trimSpaceLeft(t[1:])
	if len(u) == 0 {
		return false
	}
	if t[0] == '{' {
		return u[0] == '"' || u[0] == '}'
	}
	return strings.IndexByte("\"{[]0123456789-tfn", u[0]) >= 0
}

const (
	classControl = 1 << iota // no text has it
	classHigh                // UTF-8 or some national alphabet
)

var textClass = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == 0x1b || c == '\b':
		case c < 0x20:
			t[c] = classControl
		case c >= 0x7f:
			t[c] = classHigh
		}
	}
	return t
}()

// isText wants no control characters but white space, form feed, escape and
// backspace, and that not almost all bytes are high unless they are UTF-8.
func isText(b []byte) bool {
	var seen uint8
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 64)
		for _, c := range rest[:n] {
			seen |= textClass[c]
		}
		if seen&classControl != 0 {
			return false
		}
		rest = rest[n:]
	}
	if seen&classHigh == 0 {
		return true
	}
	high := 0
	for _, c := range b {
		if c >= 0x7f {
			high++
		}
	}
	return high*10 <= len(b)*9 || utf8.Valid(wholeRunes(b))
}

// wholeRunes cuts an unfinished rune off the end.
func wholeRunes(b []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

func trimSpaceLeft(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n' || b[0] == '\f') {
		b = b[1:]
	}
	return b
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// hasPrefixFold and containsFold ignore the case of ASCII letters; s is lower
// case. Neither allocates.
func hasPrefixFold(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range len(s) {
		if lower(b[i]) != s[i] {
			return false
		}
	}
	return true
}

func containsFold(b []byte, s string) bool { return indexFold(b, s) >= 0 }

func indexFold(b []byte, s string) int {
	for i := 0; i+len(s) <= len(b); i++ {
		if lower(b[i]) == s[0] && hasPrefixFold(b[i:], s) {
			return i
		}
	}
	return -1
}
