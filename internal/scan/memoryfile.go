package scan

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// memoryFile is a file without a name or a disk. A session passes it to clamd
// again and again: making one for each object costs both sides as much as a
// small object's scan. clamd looks into it only until it has answered, and a
// session whose answer did not come is closed with its file. The zero value has
// no file yet.
type memoryFile struct {
	fd   int
	open bool
	size int64
}

// set makes the object the file's content.
func (m *memoryFile) set(o *Object) error {
	b, ok := o.Data.Bytes()
	if !ok {
		b = make([]byte, o.Data.Size())
		if err := readFull(o, b, 0); err != nil {
			return err
		}
	}
	if !m.open {
		fd, err := unix.MemfdCreate("object", unix.MFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("memory file for clamd: %w", err)
		}
		m.fd, m.open, m.size = fd, true, 0
	}
	if err := m.write(b); err != nil {
		m.close()
		return fmt.Errorf("memory file for clamd: %w", err)
	}
	return nil
}

func (m *memoryFile) write(b []byte) error {
	if size := int64(len(b)); size < m.size {
		if err := unix.Ftruncate(m.fd, size); err != nil {
			return err
		}
	}
	m.size = int64(len(b))
	for at := int64(0); len(b) > 0; {
		n, err := unix.Pwrite(m.fd, b, at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// shrink gives back the memory of a large object.
func (m *memoryFile) shrink() {
	if m.size > memfdKept {
		m.close()
	}
}

func (m *memoryFile) close() {
	if m.open {
		_ = unix.Close(m.fd) // nothing is kept in it
		m.open, m.size = false, 0
	}
}
