package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	cicapAddr  = "127.0.0.1:11345"
	cicap2Addr = "127.0.0.1:11346"
	signatures = 20_000

	clamdSocket = "clamd.sock" // in the services' folder

	// clamdThreads is how many scans clamd runs at once, and how many sessions
	// the node keeps with it.
	clamdThreads = 4
)

// cicapConf is what Debian's c-icap needs to be at its best here: one process
// with threads enough, connections that are kept, no access log.
const cicapConf = `PidFile %[1]s/c-icap.pid
CommandsSocket %[1]s/c-icap.ctl
Port %[2]s
TmpDir %[3]s
ServerLog %[1]s/c-icap-server.log
ServerAdmin bench@localhost
ServerName bench
Timeout 300
KeepAliveTimeout 600
MaxKeepAliveRequests -1
StartServers 1
MaxServers 1
MinSpareThreads 10
MaxSpareThreads 200
ThreadsPerChild 200
MaxRequestsPerChild 0
MaxMemObject 131072
DebugLevel 0
Pipelining on
SupportBuggyClients off
ModulesDir /usr/lib/x86_64-linux-gnu/c_icap
ServicesDir /usr/lib/x86_64-linux-gnu/c_icap
TemplateDir /usr/share/c_icap/templates/
TemplateDefaultLanguage en
LoadMagicFile /etc/c-icap/c-icap.magic
RemoteProxyUsers off
Service echo srv_echo.so
`

// scanConf lets c-icap scan everything with our clamd.
const scanConf = `Service antivirus virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE
virus_scan.SendPercentData 5
virus_scan.PassOnError off
virus_scan.StartSendPercentDataAfter 2M
virus_scan.MaxObjectSize 200M
virus_scan.DefaultEngine clamd
Module common clamd_mod.so
clamd_mod.ClamdSocket %s
`

// clamdConf keeps clamd's temporary folders in memory: it makes one for each
// object, and a disk's file system takes longer for that than clamd for a scan.
const clamdConf = `Foreground yes
LocalSocket %s
LocalSocketMode 666
DatabaseDirectory %s
TemporaryDirectory %s
LogFile %s/clamd-server.log
MaxThreads %d
MaxQueue 200
StreamMaxLength 200M
MaxScanSize 400M
MaxFileSize 200M
AlertExceedsMax yes
User root
`

// startClamd runs one clamd that both contenders use.
func startClamd(ctx context.Context, dir, tmp string) (p *process, socket string, err error) {
	if err := need("clamd"); err != nil {
		return nil, "", err
	}
	db := filepath.Join(dir, "signatures")
	if err := writeSignatures(db); err != nil {
		return nil, "", err
	}
	socket = filepath.Join(dir, clamdSocket)
	conf := filepath.Join(dir, "clamd.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, clamdConf, socket, db, tmp, dir, clamdThreads), 0o644); err != nil {
		return nil, "", err
	}
	if p, err = start(dir, "clamd", "clamd", "-c", conf); err != nil {
		return nil, "", err
	}
	return p, socket, p.until(ctx, listening("unix", socket))
}

// writeSignatures makes a database of patterns that nothing holds.
func writeSignatures(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "bench.ndb"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for i := range signatures {
		fmt.Fprintf(w, "Bench.Sig-%d:0:*:%.40x\n", i, sha256.Sum256(fmt.Append(nil, i)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// startCicap runs c-icap with its echo service, and with virus_scan when it is
// given a clamd, which must run already: c-icap looks for it once, at its start.
func startCicap(ctx context.Context, dir, addr, tmp, clamd string) (*process, error) {
	if err := need("c-icap"); err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "c-icap-"+addr)
	for _, d := range []string{dir, tmp} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return nil, err
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, cicapConf, dir, addr, tmp)
	if clamd != "" {
		fmt.Fprintf(&text, scanConf, clamd)
	}
	conf := filepath.Join(dir, "c-icap.conf")
	if err := os.WriteFile(conf, []byte(text.String()), 0o644); err != nil {
		return nil, err
	}
	p, err := start(dir, "c-icap", "c-icap", "-N", "-f", conf)
	if err != nil {
		return nil, err
	}
	return p, p.until(ctx, listening("tcp", addr))
}
