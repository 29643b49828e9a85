package scan

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

const (
	maxSocketPath = 107       // sockaddr_un holds 108 bytes with the NUL
	maxClamdFile  = 2<<30 - 3 // bytes; clamd takes no larger file
	maxClamdScan  = 4<<30 - 2 // bytes
	maxNormalized = 128 << 20 // bytes
)

// clamdConf renders clamd's configuration. Paths go in as they are: clamd knows
// no quoting, so those it would misread are refused.
func clamdConf(cfg *ClamdChildConfig, dir string) ([]byte, error) {
	if strings.ContainsFunc(dir, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '#' || r == '"' }) {
		return nil, fmt.Errorf("directory %q: clamd.conf cannot hold blanks, quotes or # in a path", dir)
	}
	if n := len(socketPath(dir)); n > maxSocketPath {
		return nil, fmt.Errorf("socket path %s has %d bytes, more than the %d of the system: choose a shorter data directory", socketPath(dir), n, maxSocketPath)
	}
	var b strings.Builder
	set := func(name string, value any) { fmt.Fprintf(&b, "%s %v\n", name, value) }
	b.WriteString("# Written by Sluice at every start; changes are lost.\n")
	set("Foreground", "yes")
	set("LocalSocket", socketPath(dir))
	set("LocalSocketMode", "600")
	set("FixStaleSocket", "yes")
	set("DatabaseDirectory", databaseDir(dir))
	set("TemporaryDirectory", tempDir(dir))
	set("MaxThreads", cfg.Sessions)
	set("MaxQueue", max(100, 3*cfg.Sessions))
	set("ReadTimeout", 60)
	set("CommandReadTimeout", 30)
	set("IdleTimeout", 60)
	set("SelfCheck", 0) // we look ourselves, and must know when clamd loads
	set("ConcurrentDatabaseReload", "yes")
	set("ExitOnOOM", "yes")
	set("AllowAllMatchScan", "no")
	// clamd remembers clean files by their MD5, and MD5 collides at will.
	set("DisableCache", "yes")
	set("LogClean", "no")
	set("ExtendedDetectionInfo", "no")
	setLimits(set, cfg)
	return []byte(b.String()), nil
}

// setLimits makes clamd say so when it stops at a limit, instead of "OK". Its
// limits stay a little above ours, so that ours speak first.
func setLimits(set func(string, any), cfg *ClamdChildConfig) {
	set("StreamMaxLength", cfg.MaxObject+1)
	size := min(max(cfg.MaxObject, cfg.MaxScan)+1, maxClamdFile)
	set("MaxFileSize", size)
	set("MaxScanSize", max(cfg.MaxObject, cfg.MaxScan)+1)
	// Above these clamd leaves a part of its work out and still says OK; the
	// first four cost memory.
	for _, name := range []string{"MaxEmbeddedPE", "MaxHTMLNormalize", "MaxHTMLNoTags", "MaxScriptNormalize"} {
		set(name, min(size, maxNormalized))
	}
	set("PCREMaxFileSize", size)
	set("MaxRecursion", cfg.MaxRecursion)
	set("MaxFiles", cfg.MaxFiles)
	set("MaxScanTime", cfg.MaxTime.Milliseconds())
	set("AlertExceedsMax", "yes")
	set("AlertEncryptedArchive", yesNo(cfg.AlertEncrypted))
	set("AlertEncryptedDoc", yesNo(cfg.AlertEncrypted))
	set("AlertOLE2Macros", yesNo(cfg.AlertMacros))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func socketPath(dir string) string  { return filepath.Join(dir, "run", "clamd.sock") }
func databaseDir(dir string) string { return filepath.Join(dir, "db") }
func tempDir(dir string) string     { return filepath.Join(dir, "tmp") }
func confPath(dir string) string    { return filepath.Join(dir, "clamd.conf") }

func (c *ClamdChildConfig) setDefaults() error {
	if c.Dir == "" || !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("directory %q must be an absolute path", c.Dir)
	}
	if c.Sessions < 0 || c.Queue < 0 || c.MaxObject < 0 || c.MaxScan < 0 || c.MaxRecursion < 0 || c.MaxFiles < 0 || c.MaxTime < 0 || c.HangTimeout < 0 {
		return errors.New("limits must not be negative")
	}
	c.MaxObject, c.MaxScan = min(c.MaxObject, maxClamdFile), min(c.MaxScan, maxClamdScan)
	client := ClamdConfig{Network: "unix", Name: c.Name, Sessions: c.Sessions, MaxTime: c.MaxTime, MaxObject: c.MaxObject, PollInterval: c.PollInterval}
	if err := client.setDefaults(); err != nil {
		return err
	}
	c.Name, c.Sessions, c.MaxTime, c.MaxObject, c.PollInterval = client.Name, client.Sessions, client.MaxTime, client.MaxObject, client.PollInterval
	setDefault(&c.Program, "/usr/sbin/clamd")
	setDefault(&c.User, "clamav")
	setDefault(&c.MaxScan, min(4*c.MaxObject, maxClamdScan))
	setDefault(&c.MaxRecursion, 32)
	setDefault(&c.MaxFiles, 10_000)
	setDefault(&c.HangTimeout, time.Minute)
	return nil
}
