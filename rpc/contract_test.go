package rpc_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"consul.internal/rpc"
)

// TestContractIsWhole: every method that a file of this package declares is in
// the contract under its name.
func TestContractIsWhole(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all, found := rpc.All(), 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			typ, ok := lit.Type.(*ast.IndexListExpr)
			if !ok {
				return true
			}
			if id, ok := typ.X.(*ast.Ident); !ok || id.Name != "Method" {
				return true
			}
			for _, e := range lit.Elts {
				kv := e.(*ast.KeyValueExpr)
				if kv.Key.(*ast.Ident).Name != "Name" {
					continue
				}
				method, err := strconv.Unquote(kv.Value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				found++
				op, ok := all[method]
				if !ok {
					t.Errorf("%s: method %s is not in the contract", name, method)
					continue
				}
				if op.NewIn() == nil || op.NewOut() == nil {
					t.Errorf("%s makes no values", method)
				}
			}
			return true
		})
	}
	if found != len(all) {
		t.Errorf("%d methods are declared, %d in the contract", found, len(all))
	}
}

func TestWhatRequestsCarry(t *testing.T) {
	read := &rpc.ServiceRequest{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Datacenter: "dc2"}, MinIndex: 7}}
	if rpc.DatacenterOf(read) != "dc2" || rpc.ReadOf(read).MinIndex != 7 {
		t.Errorf("read: %q, %+v", rpc.DatacenterOf(read), rpc.ReadOf(read))
	}
	write := &rpc.RegisterRequest{Target: rpc.Target{Datacenter: "dc3"}}
	if rpc.DatacenterOf(write) != "dc3" || rpc.ReadOf(write) != nil {
		t.Errorf("write: %q, %+v", rpc.DatacenterOf(write), rpc.ReadOf(write))
	}
	if rpc.DatacenterOf(&rpc.Empty{}) != "" || rpc.ReadOf(&rpc.Empty{}) != nil {
		t.Error("a request without a target has one")
	}
}
