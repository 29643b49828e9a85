package node

import (
	"os"
	"time"

	"sluice/internal/settings"
)

// lookEvery is how often the settings and the files they name are looked at.
// Looking costs a stat each and works on every file system, where change
// notification does not.
const lookEvery = time.Second

// stamp tells whether a file is the same as before.
type stamp struct {
	size  int64
	mtime int64
	there bool
}

func stampOf(name string) (stamp, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	return stamp{fi.Size(), fi.ModTime().UnixNano(), true}, nil
}

// inputs are the files that a revision is made of besides its document.
func inputs(s *settings.Settings) []string {
	var files []string
	for _, h := range s.Engines.HashLists {
		files = append(files, h.File)
	}
	for _, f := range s.Pages.Files {
		files = append(files, f)
	}
	for _, f := range []string{s.Node.ICAP.TLS.Certificate, s.Node.ICAP.TLS.Key, s.Node.ICAP.TLS.ClientCA} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

// seen remembers how files looked. A missing file is a state like any other.
type seen map[string]stamp

// look takes in files. It must be called before they are read: a change while
// they are read is then noticed afterwards.
func (s seen) look(files ...string) {
	for _, f := range files {
		s[f], _ = stampOf(f)
	}
}

// changed tells whether any of the files looks different now.
func (s seen) changed() bool {
	for f, before := range s {
		if now, _ := stampOf(f); now != before {
			return true
		}
	}
	return false
}
