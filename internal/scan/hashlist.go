package scan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// HashListConfig says what list an engine has.
type HashListConfig struct {
	Name string // of the engine, in results
	// Path is the source: one hash a line, MD5 or SHA-256 in hexadecimal, with
	// an optional name after a comma or space; "#" starts a comment line.
	Path string
	// CacheDir holds the compiled list, about 40 bytes an entry, and while it
	// compiles the same again. It is created with mode 0700.
	CacheDir string
	// Threat is the name for entries without one; "Hash." and Name by default.
	Threat string
	// MaxObject is the largest object in bytes; 0 is no bound. SHA-256 costs
	// nothing here, an MD5 in the list a read of each object.
	MaxObject int64
}

// HashList is an engine that knows bad objects by their digest. Clean from it
// means: not listed.
type HashList struct {
	cfg   HashListConfig
	state atomic.Pointer[hashState]

	scans, failures, busy atomic.Int64

	reload sync.Mutex // one Reload at a time

	mu     sync.Mutex // the fields below
	since  time.Time
	lastAt time.Time
	last   error
	failed bool // the last Reload did
}

type hashState struct {
	table   *hashTable
	version string
}

// NewHashList opens the list, compiled before if the source is still the same:
// then it takes no longer for ten million entries than for ten. Else it
// compiles it, about a second for a million entries, in bounded memory.
func NewHashList(ctx context.Context, cfg HashListConfig) (*HashList, error) {
	l := newHashList(cfg)
	if err := os.MkdirAll(cfg.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("hash list %s: %w", cfg.Name, err)
	}
	if _, err := l.Reload(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// ReadHashList compiles a list from r; Path is not used, and nothing stays in
// CacheDir.
func ReadHashList(ctx context.Context, cfg HashListConfig, r io.Reader) (*HashList, error) {
	l := newHashList(cfg)
	if err := os.MkdirAll(cfg.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("hash list %s: %w", cfg.Name, err)
	}
	s, err := newScratch(cfg.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("hash list %s: %w", cfg.Name, err)
	}
	err = compileHashes(ctx, r, cfg.CacheDir, hashStamp{}, s.f)
	if err == nil {
		err = l.use(s.f)
	}
	if err := errors.Join(err, s.f.Close()); err != nil {
		return nil, fmt.Errorf("hash list %s: %w", cfg.Name, err)
	}
	return l, nil
}

func newHashList(cfg HashListConfig) *HashList {
	if cfg.Threat == "" {
		cfg.Threat = "Hash." + cfg.Name
	}
	return &HashList{cfg: cfg, since: time.Now()}
}

// Reload looks at the source again and swaps the list when it changed. When it
// fails, the old list stays in use and Health says Degraded. Scans go on
// meanwhile.
func (l *HashList) Reload(ctx context.Context) (changed bool, err error) {
	l.reload.Lock()
	defer l.reload.Unlock()
	changed, err = l.load(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("hash list %s: %s: %w", l.cfg.Name, l.cfg.Path, err)
		l.last, l.lastAt = err, time.Now()
	}
	if l.failed != (err != nil) {
		l.failed, l.since = err != nil, time.Now()
	}
	return changed, err
}

func (l *HashList) load(ctx context.Context) (changed bool, err error) {
	src, err := os.Open(l.cfg.Path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	stamp, err := stampOf(src)
	if err != nil {
		return false, err
	}
	if s := l.state.Load(); s != nil && s.table.meta.Stamp == stamp {
		return false, nil
	}
	if err := l.openCompiled(ctx, src, stamp); err == nil {
		return true, nil
	}
	return true, l.compile(ctx, src, stamp)
}

// stampOf refuses what is not a plain file: a list from a pipe could not be
// read again.
func stampOf(f *os.File) (hashStamp, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return hashStamp{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return hashStamp{}, errors.New("not a regular file")
	}
	return hashStamp{Size: uint64(st.Size), MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano(), Inode: st.Ino}, nil //nolint:gosec // sizes are not negative
}

func (l *HashList) compiledPath() string {
	path, err := filepath.Abs(l.cfg.Path)
	if err != nil {
		path = l.cfg.Path
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(l.cfg.CacheDir, hex.EncodeToString(sum[:8])+".hashes")
}

// openCompiled uses the compiled file if it was made from this source: the same
// stamp, or the same content.
func (l *HashList) openCompiled(ctx context.Context, src *os.File, stamp hashStamp) (err error) {
	f, err := os.OpenFile(l.compiledPath(), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	t, err := openHashTable(f)
	if err != nil {
		return err
	}
	if t.meta.Stamp != stamp {
		if err := sameSource(ctx, src, t.meta, stamp); err != nil {
			return err
		}
		t.meta.Stamp = stamp
		header, err := t.meta.encode()
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(header, 0); err != nil {
			return err
		}
	}
	l.adopt(t)
	return nil
}

func sameSource(ctx context.Context, src *os.File, m hashMeta, stamp hashStamp) error {
	if m.Stamp.Size != stamp.Size {
		return errors.New("source has another size")
	}
	h := sha256.New()
	in := io.NewSectionReader(src, 0, int64(stamp.Size)) //nolint:gosec // a file's size
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := io.CopyN(h, in, 16<<20)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if [32]byte(h.Sum(nil)) != m.SourceSum {
		return errors.New("source has another content")
	}
	return nil
}

func (l *HashList) compile(ctx context.Context, src *os.File, stamp hashStamp) (err error) {
	tmp, err := os.CreateTemp(l.cfg.CacheDir, "hashes-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, tmp.Close())
		if err != nil {
			_ = os.Remove(tmp.Name()) // gone already when it was renamed
		}
	}()
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := compileHashes(ctx, src, l.cfg.CacheDir, stamp, tmp); err != nil {
		return err
	}
	if now, err := stampOf(src); err != nil || now != stamp {
		return errors.Join(errors.New("the file changed while it was read; write a new file and rename it into place"), err)
	}
	if err := os.Rename(tmp.Name(), l.compiledPath()); err != nil {
		return err
	}
	return l.use(tmp)
}

func (l *HashList) use(f *os.File) error {
	t, err := openHashTable(f)
	if err != nil {
		return err
	}
	l.adopt(t)
	return nil
}

func (l *HashList) adopt(t *hashTable) {
	v := fmt.Sprintf("%x/%d/%s/%d", t.meta.SourceSum[:8], t.meta.Tables[0].Count+t.meta.Tables[1].Count, l.cfg.Threat, l.cfg.MaxObject)
	l.state.Store(&hashState{table: t, version: v})
}

// Name is the engine's name.
func (l *HashList) Name() string { return l.cfg.Name }

// Version names the source's content.
func (l *HashList) Version() string { return l.state.Load().version }

// Entries is how many MD5 and SHA-256 digests are listed.
func (l *HashList) Entries() (md5s, sha256s uint64) {
	m := &l.state.Load().table.meta
	return m.Tables[0].Count, m.Tables[1].Count
}

// Scan looks the object's digests up.
func (l *HashList) Scan(ctx context.Context, o *Object) Result {
	start := time.Now()
	l.busy.Add(1)
	r := l.look(ctx, o)
	l.busy.Add(-1)
	l.scans.Add(1)
	if !r.Status.Definite() {
		l.failures.Add(1)
	}
	r.Engine, r.Took = l.cfg.Name, time.Since(start)
	return r
}

func (l *HashList) look(ctx context.Context, o *Object) Result {
	if l.cfg.MaxObject > 0 && o.Data.Size() > l.cfg.MaxObject {
		return tooLarge(o.Data.Size(), l.cfg.MaxObject)
	}
	t := l.state.Load().table
	if t.tables[1].count > 0 {
		sum := o.SHA256()
		if r := l.match(t, sum[:]); r.Status != Clean {
			return r
		}
	}
	if t.tables[0].count == 0 {
		return Result{Status: Clean}
	}
	sum, err := o.MD5(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return interrupted(ctx, "computing the MD5")
		}
		return Result{Status: Error, Detail: err.Error()}
	}
	return l.match(t, sum[:])
}

func (l *HashList) match(t *hashTable, digest []byte) Result {
	name, found, err := t.find(digest)
	switch {
	case err != nil:
		return Result{Status: Error, Detail: err.Error()}
	case !found:
		return Result{Status: Clean}
	case name == "":
		name = l.cfg.Threat
	}
	return Result{Status: Infected, Threat: name}
}

// Health is OK, or Degraded while the source cannot be loaded again.
func (l *HashList) Health() Health {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := Health{
		State: OK, Since: l.since, LastErrorAt: l.lastAt, Version: l.Version(),
		Busy:  int(l.busy.Load()),
		Scans: uint64(l.scans.Load()), Failures: uint64(l.failures.Load()), //nolint:gosec // counters
	}
	if l.failed {
		h.State = Degraded
	}
	if l.last != nil {
		h.LastError = l.last.Error()
	}
	return h
}

func tooLarge(size, limit int64) Result {
	return Result{Status: OverLimit, Detail: fmt.Sprintf("object of %d bytes is larger than the engine's limit of %d bytes", size, limit)}
}
