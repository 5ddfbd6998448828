package httpapi

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocumented holds docs/api.md against the table of routes, both ways.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	middle := regexp.MustCompile("/:[a-z]+/") // an item with more of the path after it
	for _, m := range regexp.MustCompile("(?m)^\\| `(/(?:v1/|dns-query)[^`]*)` \\| ([A-Z, ]+) \\|").FindAllStringSubmatch(string(page), -1) {
		doc := middle.ReplaceAllString(m[1], "/{item}/")
		path, _, item := strings.Cut(doc, ":")
		if item && !strings.HasSuffix(path, "/") {
			t.Errorf("%s: an item follows a slash", m[1])
		}
		documented[path] = m[2]
	}
	s := newTestServer(t, &fakeCaller{}, nil)
	for _, rt := range s.routes() {
		methods := strings.Join(rt.Methods, ", ")
		if got, ok := documented[rt.Path]; !ok || got != methods {
			t.Errorf("docs/api.md says %q of %s, the table says %q", got, rt.Path, methods)
		}
		delete(documented, rt.Path)
	}
	for path := range documented {
		t.Errorf("docs/api.md names %s, which is not in the table", path)
	}
}
