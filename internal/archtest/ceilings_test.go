package archtest

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// Ceilings: what grows past them is two things under one name.
const (
	maxFileLines    = 600
	maxFuncLines    = 100
	maxPackageLines = 3000
	maxMethods      = 30
	maxFields       = 20
	maxInterface    = 4
)

// exceptions to a ceiling, each with its reason.
var exceptions = map[string]string{
	"view":              "directory, feed, mirror and relay share the innards of their immutable values; weights and budget are to move out",
	"checks.Definition": "a record of what users write; its methods only judge it",
}

// launches are the go statements that may stand bare.
var launches = map[string]string{
	"store/store.go":        "raft never answers a future that its shutdown overtook, so that nobody could wait for whoever waits for it",
	"internal/logx/sink.go": "Close waits through a channel and with a limit: what the sink writes to may be blocked for ever",
}

// bubbles are test files whose functions run in the fake time of others' tests.
var bubbles = map[string]bool{"daemon/cluster_facts_test.go": true, "daemon/cluster_lab_test.go": true}

func except(name string) bool { _, ok := exceptions[name]; return ok }

func TestCeilings(t *testing.T) {
	tr := load(t)
	packages := map[string]int{}
	methods := map[string]int{}
	fields := map[string]int{}
	for _, f := range tr.files {
		if f.lines > maxFileLines && !except(f.path) {
			t.Errorf("%s has %d lines, at most %d", f.path, f.lines, maxFileLines)
		}
		if f.test {
			continue
		}
		packages[f.pkg] += tr.codeLines(f)
		for _, d := range f.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if n := tr.span(d); n > maxFuncLines && !except(f.pkg+"."+d.Name.Name) {
					t.Errorf("%s: %s has %d lines, at most %d", tr.at(d), d.Name.Name, n, maxFuncLines)
				}
				if d.Recv != nil {
					methods[f.pkg+"."+receiver(d)]++
				}
			case *ast.GenDecl:
				tr.types(t, f, d, fields)
			}
		}
	}
	for name, n := range packages {
		if n > maxPackageLines && !except(name) {
			t.Errorf("package %s has %d lines of code, at most %d", name, n, maxPackageLines)
		}
	}
	for name, n := range methods {
		if n > maxMethods && !except(name) {
			t.Errorf("%s has %d methods, at most %d", name, n, maxMethods)
		}
		if fields[name] > maxFields && !except(name) {
			t.Errorf("%s has %d fields and methods too, at most %d", name, fields[name], maxFields)
		}
	}
	for name, reason := range exceptions {
		if reason == "" {
			t.Errorf("the exception for %s has no reason", name)
		}
	}
}

func (tr *tree) types(t *testing.T, f source, d *ast.GenDecl, fields map[string]int) {
	for _, spec := range d.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		name := f.pkg + "." + ts.Name.Name
		switch typ := ts.Type.(type) {
		case *ast.StructType:
			for _, field := range typ.Fields.List {
				fields[name] += max(1, len(field.Names))
			}
		case *ast.InterfaceType:
			if n := typ.Methods.NumFields(); n > maxInterface && !except(name) {
				t.Errorf("%s: interface %s has %d methods, at most %d", tr.at(ts), name, n, maxInterface)
			}
		}
	}
}

func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name
		default:
			return "?"
		}
	}
}

// codeLines counts the lines of a file that carry a token.
func (tr *tree) codeLines(f source) int {
	lines := map[int]bool{}
	ast.Inspect(f.file, func(n ast.Node) bool {
		switch n.(type) {
		case nil, *ast.Comment, *ast.CommentGroup:
			return false
		}
		lines[tr.fset.Position(n.Pos()).Line] = true
		lines[tr.fset.Position(n.End()-1).Line] = true
		return true
	})
	return len(lines)
}

// TestHabits looks for what is never written here.
func TestHabits(t *testing.T) {
	tr := load(t)
	for _, f := range tr.files {
		ast.Inspect(f.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				if launches[f.path] == "" && !f.test && f.pkg != "internal/conformance" {
					t.Errorf("%s: a bare go statement; use a WaitGroup's Go, so that somebody waits", tr.at(n))
				}
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%s: an init function", tr.at(n))
				}
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && f.test && isName(sel.X, "time") && sel.Sel.Name == "Sleep" && !sleepsInBubble(f) {
					t.Errorf("%s: time.Sleep in a test", tr.at(n))
				}
			}
			return true
		})
		for _, group := range f.file.Comments {
			for _, word := range []string{"TODO", "FIXME", "XXX"} {
				if strings.Contains(group.Text(), word) {
					t.Errorf("%s: %s in a comment", tr.at(group), word)
				}
			}
		}
		for _, d := range f.file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
				for _, spec := range g.Specs {
					if name := spec.(*ast.ImportSpec).Name; name != nil && name.Name == "." {
						t.Errorf("%s: a dot import", tr.at(spec))
					}
				}
			}
		}
	}
}

// sleepsInBubble: in a fake-time bubble a sleep costs nothing and is exact.
func sleepsInBubble(f source) bool {
	if bubbles[f.path] {
		return true
	}
	for _, imp := range f.file.Imports {
		if imp.Path.Value == `"testing/synctest"` {
			return true
		}
	}
	return false
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
