package query_test

import (
	"testing"

	"consul.internal/query"
)

// FuzzRender: what compiles can be rendered for every name.
func FuzzRender(f *testing.F) {
	f.Add("geo-", `^geo-(.*?)-([^\-]+?)$`, "${match(1)}", "geo-web-b")
	f.Add("", "", "$${${name.full}}", "x")
	f.Add("É", "(?i)é", "${match( 0 )}", "é")
	f.Fuzz(func(t *testing.T, name, pattern, service, asked string) {
		q := &query.Query{
			Name: name, Template: query.Template{Type: query.PrefixMatch, Regexp: pattern, RemoveEmptyTags: true},
			Service: query.Service{Service: service, Tags: []string{service}},
		}
		if q.Compile() != nil {
			return
		}
		if _, err := q.Render(query.Asked{Name: asked}); err != nil {
			t.Errorf("compiled, and not rendered: %v", err)
		}
	})
}
