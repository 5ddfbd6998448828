package hclconf

import (
	"reflect"
	"testing"
	"unicode/utf8"
)

var seeds = []string{
	"", "a = 1", "a {", "service \"x\" { tags = [\"a\", 1.5] }\nservice { }", "a = <<-EOF\n  x\n  EOF\n", "a = \"${b}\" %{", "a = \"\\u00e9\\n\"",
	`{"a": {"b": [1, null, true]}, "a": {}}`, "a.b-c: 0x1F,\nd=-1e3 # x\n/* y */", "\"k\" = '", "a = [[[{}]]]", "\xef\xbb\xbfa=1", "ports{http=1}ports{dns=2}",
}

// checkTree panics on nothing and holds the invariants of a parsed tree.
func checkTree(t *testing.T, n *Node, depth int) {
	if depth > maxDepth*3 { // labels nest within one level of braces
		return
	}
	if n.Kind == String && !utf8.ValidString(n.Text) {
		t.Fatalf("string %q is not UTF-8", n.Text)
	}
	if n.Kind == Number && !validNumber(n.Text) {
		if _, isFloat := n.Any().(float64); !isFloat {
			t.Fatalf("number %q", n.Text)
		}
	}
	if n.Range.Start.Byte > n.Range.End.Byte {
		t.Fatalf("range %v", n.Range)
	}
	seen := map[string]bool{}
	for _, f := range n.Fields {
		if seen[f.Key] {
			t.Fatalf("key %q twice", f.Key)
		}
		seen[f.Key] = true
		checkTree(t, f.Value, depth+1)
	}
	for _, item := range n.Items {
		checkTree(t, item, depth+1)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		n, err := Parse("f", src)
		if (n == nil) == (err == nil) {
			t.Fatalf("node %v, error %v", n, err)
		}
		if err != nil {
			_ = err.Error()
			return
		}
		checkTree(t, n, 0)
		var c testConfig
		_, _ = Decode(n, &c, Options{Loose: true})
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		n, err := ParseJSON("f", src)
		if (n == nil) == (err == nil) {
			t.Fatalf("node %v, error %v", n, err)
		}
		if err != nil {
			_ = err.Error()
			return
		}
		checkTree(t, n, 0)
		// JSON is also what an .hcl file may hold: the same tree
		if h, err := Parse("f", src); err == nil && !reflect.DeepEqual(h, n) {
			t.Fatalf("Parse and ParseJSON differ: %v, %v", h.Any(), n.Any())
		}
		var c testConfig
		_, _ = Decode(n, &c, Options{})
	})
}
