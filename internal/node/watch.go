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

// inputs are the files that a revision was made of.
func inputs(document string, s *settings.Settings) []string {
	files := []string{document}
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

// stamps looks at all of them; a missing file is a state like any other.
func stamps(files []string) map[string]stamp {
	out := make(map[string]stamp, len(files))
	for _, f := range files {
		out[f], _ = stampOf(f)
	}
	return out
}
