package arch

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

//go:embed layers.txt
var layersFile string

const module = "sluice"

// outside is the layer of packages that nothing imports.
const outside = 100

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Doc        string
	Standard   bool
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Deps       []string
	Module     *struct {
		Path, Version, Dir string
		Main               bool
	}
}

func (p *pkg) ours() bool {
	return p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/")
}

// short is the path inside the module.
func (p *pkg) short() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func list(t *testing.T) []*pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1") // with 0, files that use cgo would be hidden
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []*pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &p)
	}
}

func layers(t *testing.T) map[string]int {
	t.Helper()
	table := map[string]int{}
	for s := bufio.NewScanner(strings.NewReader(layersFile)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if len(f) < 3 {
			t.Fatalf("layers.txt: %q: want layer, package and what it is", s.Text())
		}
		layer, err := strconv.Atoi(f[0])
		if f[0] == "-" {
			layer, err = outside, nil
		}
		if _, twice := table[f[1]]; err != nil || twice {
			t.Fatalf("layers.txt: %q: bad layer, or the package stands twice", s.Text())
		}
		table[f[1]] = layer
	}
	return table
}

// layerOf finds a package's layer; a folder under test or bench is as its root.
func layerOf(table map[string]int, short string) (int, bool) {
	if root, _, _ := strings.Cut(short, "/"); root == "test" || root == "bench" {
		return outside, true
	}
	l, ok := table[short]
	return l, ok
}

func TestImportsPointDown(t *testing.T) {
	table := layers(t)
	seen := map[string]bool{}
	for _, p := range list(t) {
		if !p.ours() {
			continue
		}
		seen[p.short()] = true
		layer, ok := layerOf(table, p.short())
		if !ok {
			t.Errorf("%s is not in internal/arch/layers.txt: give it a layer and say what it is", p.short())
			continue
		}
		for _, imp := range p.Imports {
			short, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			lower, ok := layerOf(table, short)
			switch {
			case !ok:
			case layer == outside && lower == outside: // parts of the test lab
			case lower >= layer:
				t.Errorf("%s (layer %d) imports %s (layer %d): imports point to a lower layer only; declare an interface in %s and let node connect the two", p.short(), layer, short, lower, p.short())
			}
		}
	}
	for name := range table {
		if !seen[name] {
			t.Errorf("layers.txt names %s, which does not exist", name)
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range list(t) {
		if !p.ours() || len(p.GoFiles) == 0 {
			continue
		}
		doc, err := packageDoc(p)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(p.ImportPath)
		want := "Package " + name + " "
		if strings.HasPrefix(p.short(), "cmd/") {
			want = "Command " + name + " "
		}
		if layer, _ := layerOf(layers(t), p.short()); layer == outside && p.short() != "internal/arch" {
			want = "Package " // a test lab's package names follow its folder loosely
		}
		if !strings.HasPrefix(doc, want) {
			t.Errorf("%s: the package comment must begin with %q, have %.60q", p.short(), want, doc)
		}
		if !strings.Contains(strings.ToLower(doc), "never") {
			t.Errorf("%s: the package comment must say what the package never does", p.short())
		}
	}
}

// ban is an import that a package must not have, directly, and why.
type ban struct {
	packages []string // short names; a trailing /... takes those below too
	imports  []string // a trailing /... takes those below too
	except   []string
	why      string
}

var bans = []ban{
	{
		packages: []string{"internal/tx", "internal/spool", "internal/content", "internal/policy", "internal/icap", "internal/settings", "internal/child", "internal/traffic"},
		imports:  []string{"net/http", "net/http/..."},
		why:      "the data path has its own strict parsers: net/http forgives too much and costs too much (performance.md, rule 1)",
	},
	{
		packages: []string{"internal/scan"},
		imports:  []string{"net/http", "net/http/..."},
		why:      "engines speak their own protocols over sockets",
	},
	{
		packages: []string{"internal/policy"},
		imports:  []string{"os", "os/...", "net", "io/fs", "path/filepath", "database/sql"},
		why:      "policy does no I/O: deciding must be pure, so that check, explain and traffic agree",
	},
	{
		packages: []string{"internal/tx"},
		imports:  []string{"sluice/...", "net", "log/slog", "encoding/json"},
		why:      "tx is words only",
	},
	{
		packages: []string{"internal/content"},
		imports:  []string{"net", "os/exec"},
		why:      "taking hostile bytes apart needs neither network nor programs",
	},
	{
		packages: []string{"internal/..."},
		imports:  []string{"sluice/internal/settings"},
		except:   []string{"internal/policy", "internal/cluster", "internal/node", "internal/api"},
		why:      "a mechanism takes its own Config; only policy, cluster, node and api know settings",
	},
	{
		packages: []string{"internal/..."},
		imports:  []string{"github.com/alecthomas/kong", "flag"},
		why:      "the command line is cmd/sluice's",
	},
	{
		packages: []string{"internal/..."},
		imports:  []string{"github.com/prometheus/...", "expvar", "net/http/pprof"},
		except:   []string{"internal/node"},
		why:      "packages count in their own Stats; node shows them",
	},
	{
		packages: []string{"internal/...", "cmd/..."},
		imports:  []string{"plugin", "C", "runtime/cgo", "testing", "pgregory.net/rapid", "github.com/google/go-cmp/..."},
		why:      "one static binary without cgo and without test code",
	},
}

func matches(pattern, name string) bool {
	if prefix, below := strings.CutSuffix(pattern, "/..."); below {
		return strings.HasPrefix(name, prefix+"/")
	}
	return pattern == name
}

func TestForbiddenImports(t *testing.T) {
	for _, p := range list(t) {
		if !p.ours() {
			continue
		}
		for _, b := range bans {
			if !slices.ContainsFunc(b.packages, func(s string) bool { return matches(s, p.short()) }) || slices.Contains(b.except, p.short()) {
				continue
			}
			for _, imp := range p.Imports {
				if slices.ContainsFunc(b.imports, func(s string) bool { return matches(s, imp) }) {
					t.Errorf("%s must not import %s: %s", p.short(), imp, b.why)
				}
			}
		}
	}
}

// TestDependencies looks at everything that is linked into the product.
func TestDependencies(t *testing.T) {
	all := list(t)
	linked := map[string]bool{}
	for _, p := range all {
		if p.ours() && strings.HasPrefix(p.short(), "cmd/") {
			for _, d := range append(p.Deps, p.ImportPath) {
				linked[d] = true
			}
		}
	}
	if len(linked) == 0 {
		t.Fatal("no command found under cmd/")
	}
	checked := map[string]bool{}
	for _, p := range all {
		if p.Standard || !linked[p.ImportPath] {
			continue
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo: Sluice is one static binary", p.ImportPath)
		}
		if p.Module == nil || p.Module.Main || checked[p.Module.Path] {
			continue
		}
		checked[p.Module.Path] = true
		if err := checkLicence(p.Module.Dir); err != nil {
			t.Errorf("module %s %s: %v", p.Module.Path, p.Module.Version, err)
		}
	}
}

// checkLicence refuses copyleft licences that would bind the whole binary, and
// modules that do not say under what licence they are.
func checkLicence(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for its licence: %w", err)
	}
	found := false
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "UNLICENSE") {
			continue
		}
		found = true
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		head := strings.ToUpper(string(text[:min(len(text), 400)]))
		for _, bad := range []string{"GNU GENERAL PUBLIC LICENSE", "GNU AFFERO", "GNU LESSER", "SERVER SIDE PUBLIC LICENSE", "BUSINESS SOURCE LICENSE"} {
			if strings.Contains(head, bad) {
				return fmt.Errorf("%s is a %s: it must not be linked into Sluice", e.Name(), bad)
			}
		}
	}
	if !found {
		return errors.New("no licence file")
	}
	return nil
}
