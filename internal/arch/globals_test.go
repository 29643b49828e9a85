package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// packageDoc returns the package comment, from whichever file has it.
func packageDoc(p *pkg) (string, error) {
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return "", err
		}
		if f.Doc != nil {
			return f.Doc.Text(), nil
		}
	}
	return "", nil
}

// TestNoGlobalState looks, without types, for package variables that change:
// assigned after their declaration, or of a type that exists to change. Tables
// and error values that are declared once are fine, and so is sync.Pool, whose
// content nobody can see.
func TestNoGlobalState(t *testing.T) {
	for _, p := range list(t) {
		if !p.ours() || strings.HasPrefix(p.short(), "test") || strings.HasPrefix(p.short(), "bench") {
			continue
		}
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		globals := map[string]bool{}
		for _, f := range files {
			collectGlobals(t, fset, f, globals)
		}
		for _, f := range files {
			findWrites(t, fset, f, globals)
		}
	}
}

func collectGlobals(t *testing.T, fset *token.FileSet, f *ast.File, globals map[string]bool) {
	t.Helper()
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			t.Errorf("%s: func init: sets are closed lists in the code", fset.Position(fn.Pos()))
		}
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			v, ok := s.(*ast.ValueSpec)
			if !ok {
				continue
			}
			for _, n := range v.Names {
				globals[n.Name] = true
			}
			if isMutable(v) {
				t.Errorf("%s: package variable %s exists to change: keep state in a value that its owner makes", fset.Position(v.Pos()), v.Names[0].Name)
			}
		}
	}
}

// isMutable tells whether a variable's type is one of sync's or sync/atomic's,
// or a map or channel that make filled with nothing.
func isMutable(v *ast.ValueSpec) bool {
	if sel, ok := v.Type.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return x.Name == "atomic" || x.Name == "sync" && sel.Sel.Name != "Pool"
		}
	}
	for _, val := range v.Values {
		if call, ok := val.(*ast.CallExpr); ok {
			if fn, ok := call.Fun.(*ast.Ident); ok && fn.Name == "make" {
				return true
			}
		}
	}
	return false
}

func findWrites(t *testing.T, fset *token.FileSet, f *ast.File, globals map[string]bool) {
	t.Helper()
	check := func(e ast.Expr) {
		id := root(e)
		if id == nil || !globals[id.Name] || isLocal(f, id) {
			return
		}
		t.Errorf("%s: writes the package variable %s: no global mutable state", fset.Position(id.Pos()), id.Name)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				for _, e := range s.Lhs {
					check(e)
				}
			}
		case *ast.IncDecStmt:
			check(s.X)
		}
		return true
	})
}

// root is the identifier that an assignable expression starts with.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// isLocal tells whether the parser resolved id to something that is declared
// inside a function.
func isLocal(f *ast.File, id *ast.Ident) bool {
	return id.Obj != nil && f.Scope.Lookup(id.Name) != id.Obj
}
