package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	maxSignatureFiles = 10_000
	maxSignatureBytes = 4 << 30 // of one file
)

// eicarLDB is the EICAR test file as its authors define it: the 68 characters
// at the start of a file, then at most 60 of white space. clamd starts with
// this database even when there is no other.
const eicarLDB = `Eicar-Test-Signature;Engine:81-255,FileSize:68-128,Target:0;0&1;0:` +
	`58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e444152442d414e544956495255532d544553542d46494c452124482b482a;` +
	`0/\A.{68}[\x09\x0a\x0d\x1a\x20]*\z/s` + "\n"

const eicarFile = "sluice-eicar.ldb"

// databaseTypes are the endings of the files that clamd loads.
var databaseTypes = []string{
	".cvd", ".cld", ".cud", ".hdb", ".hsb", ".hdu", ".hsu", ".mdb", ".msb", ".mdu", ".msu", ".ndb", ".ndu", ".ldb", ".ldu",
	".idb", ".yar", ".yara", ".cdb", ".cbc", ".ftm", ".fp", ".sfp", ".ign", ".ign2", ".pdb", ".gdb", ".wdb", ".pwdb", ".crb", ".cat", ".imp", ".sign",
}

// signature is one database file for clamd.
type signature struct {
	path string
	size int64
	time time.Time
	own  bool // from the directory of ours: copied; else linked to
}

// signatureSet is what clamd's database directory should hold, by name there.
type signatureSet map[string]signature

// listSignatures looks into the directory of our signatures and into the
// system's. Where both have an official database, ours is taken.
func listSignatures(own, system string) (signatureSet, error) {
	set := signatureSet{}
	if err := set.add(own, true); err != nil {
		return nil, err
	}
	if err := set.add(system, false); err != nil {
		return nil, err
	}
	return set, nil
}

func (set signatureSet) add(dir string, own bool) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !(errors.Is(err, fs.ErrNotExist) && !own) {
		return fmt.Errorf("list signatures: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		ext := strings.ToLower(filepath.Ext(name))
		if strings.HasPrefix(name, ".") || !slices.Contains(databaseTypes, ext) || set.has(name) {
			continue
		}
		fi, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // moved away meanwhile
		}
		if err != nil {
			return fmt.Errorf("list signatures: %w", err)
		}
		if !fi.Mode().IsRegular() || fi.Size() > maxSignatureBytes {
			return fmt.Errorf("signature file %s must be a regular file of at most %d bytes", filepath.Join(dir, name), int64(maxSignatureBytes))
		}
		if len(set) == maxSignatureFiles {
			return fmt.Errorf("more than %d signature files in %s", maxSignatureFiles, dir)
		}
		set[name] = signature{path: filepath.Join(dir, name), size: fi.Size(), time: fi.ModTime(), own: own}
	}
	return nil
}

// has tells whether name, or the same official database packed another way, is
// in the set: clamd would load both.
func (set signatureSet) has(name string) bool {
	if _, ok := set[name]; ok || name == eicarFile {
		return true
	}
	stem, ext := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
	if ext != ".cvd" && ext != ".cld" {
		return false
	}
	_, cvd := set[stem+".cvd"]
	_, cld := set[stem+".cld"]
	return cvd || cld
}

// digest names the set by the names, sizes and times of its files.
func (set signatureSet) digest() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		s := set[name]
		fmt.Fprintf(h, "%q %d %d\n", name, s.size, s.time.UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// stage makes clamd's database directory hold exactly the set and the EICAR
// signature. Files of ours are copied, because the account that clamd runs
// under need not be allowed to read where they lie.
func (set signatureSet) stage(dir string) error {
	have, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("stage signatures: %w", err)
	}
	for _, e := range have {
		if _, ok := set[e.Name()]; !ok && e.Name() != eicarFile {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("stage signatures: %w", err)
			}
		}
	}
	// Its time is fixed: a new one would make clamd load everything again.
	if err := writeAtomic(filepath.Join(dir, eicarFile), strings.NewReader(eicarLDB), time.Unix(1e9, 0)); err != nil {
		return fmt.Errorf("stage signatures: %w", err)
	}
	for name, s := range set {
		if err := s.stage(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("stage signatures: %w", err)
		}
	}
	return nil
}

func (s signature) stage(to string) error {
	if fi, err := os.Stat(to); err == nil && fi.Size() == s.size && fi.ModTime().Equal(s.time) {
		return nil
	}
	if !s.own {
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Symlink(s.path, to)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	return errors.Join(writeAtomic(to, io.LimitReader(f, maxSignatureBytes), s.time), f.Close())
}

// writeAtomic writes a file that all may read; its directory decides who does.
func writeAtomic(path string, r io.Reader, mtime time.Time) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil && !mtime.IsZero() {
		err = os.Chtimes(f.Name(), mtime, mtime)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
