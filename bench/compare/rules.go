package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// writeRules writes count rules as a mid-sized organisation has them: lists of
// hosts, users, groups and addresses, methods, MIME types and file types,
// exclusions and schedules. None of them is for the traffic of the load
// generator, so that every request and response is compared with all of them.
func writeRules(w io.Writer, count int) {
	bypass, protection := count/20, count/20
	fmt.Fprintln(w, "rules:\n  bypass:")
	for i := range bypass {
		fmt.Fprintf(w, "    - {name: Updates %d, action: allow, match: {all: [{url: [updates%d.vendor.example, cdn%d.vendor.example/pub]}, {mime: [application/x-update, application/vnd.*]}]}}\n", i, i, i)
	}
	fmt.Fprintln(w, "  access:")
	for i := range count - bypass - protection {
		fmt.Fprintf(w, "    - {name: Access %d, %s}\n", i, accessRule(i))
	}
	fmt.Fprintln(w, "  protection:")
	for i := range protection {
		fmt.Fprintf(w, "    - {name: Scan %d, malware: block, macros: skip, from: {any: [{group: Finance-%d}]}, match: {any: [{url: reports%d.corp.example}, {type: [pdf]}]}}\n", i, i, i)
	}
}

// accessRule is one of ten kinds of rules.
func accessRule(i int) string {
	switch i % 10 {
	case 0:
		return fmt.Sprintf("action: block, match: {any: [{url: [bad%d.test, worse%d.test, \"*.evil%d.test\", phish%d.test/login]}]}", i, i, i, i)
	case 1:
		return fmt.Sprintf("action: block, from: {any: [{group: [Contractors-%d, Guests-%d]}]}, match: {all: [{url: [social%d.test, video%d.test]}]}", i, i, i, i)
	case 2:
		return fmt.Sprintf("action: block, from: {any: [{user: [leaver%d, \"DOMAIN\\\\temp%d\"]}]}, match: {all: [{method: [PUT, DELETE, POST]}]}", i, i)
	case 3:
		return fmt.Sprintf("action: block, from: {any: [{address: 172.%d.%d.0/24}]}, match: {all: [{mime: [video/*, audio/*]}]}", 16+i%16, i/16%256)
	case 4:
		return fmt.Sprintf("action: allow, from: {any: [{group: Team-%d}]}, match: {all: [{url: intranet%d.corp.test}, {method: [GET, POST]}]}", i%40, i)
	case 5:
		return fmt.Sprintf("action: redirect, redirect_to: \"https://help.corp.test/%d\", match: {all: [{url: old%d.corp.test}]}", i, i)
	case 6:
		return fmt.Sprintf("action: block, from: {any: [{group: Guests-%d}]}, match: {all: [{type: [pe, elf]}, {size: \">1MB\"}]}", i)
	case 7:
		return fmt.Sprintf("action: block, match: {all: [{url: \"regex:^https?://ads[0-9]+\\\\.tracker%d\\\\.test/\"}]}", i)
	case 8:
		return fmt.Sprintf("action: block, match: {all: [{url: games%d.test}]}, schedule: {zone: Europe/Berlin, spans: [{days: mon-fri, hours: \"08:00-18:00\"}]}", i)
	default:
		return fmt.Sprintf("action: block, match: {all: [{url: upload%d.test}, {method: POST}]}, except: [{from: {any: [{group: Staff}]}, match: {all: [{mime: text/plain}]}}]", i)
	}
}

// writeHashList writes a list of SHA-256 digests that no body has.
func writeHashList(path string, count int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for i := range count {
		fmt.Fprintf(w, "%x Bench.Hash-%d\n", sha256.Sum256(fmt.Append(nil, "hash", i)), i%100)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
