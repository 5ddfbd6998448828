package edge

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzParameter: a parameter is what the whole query's table has first.
func FuzzParameter(f *testing.F) {
	for _, query := range []string{
		"", "&", "=", "a", "a=", "a=1&a=2", "b&a", "a;b=1&a=2", "%61=1", "a=%zz&a=2", "%zz=1&a=2", "a=1=2", "A=1", "+a=1", "a=x+y%20z", "ab=1", "=a", "&&a=&",
	} {
		f.Add(query, "a")
	}
	f.Fuzz(func(t *testing.T, query, name string) {
		if strings.Count(query, "&") > 1000 {
			return // net/url gives up on some thousands, and has none then
		}
		r := &http.Request{URL: &url.URL{RawQuery: query}}
		all := r.URL.Query()
		if got, want := Has(r, name), all.Has(name); got != want {
			t.Errorf("has %t, want %t", got, want)
		}
		if got, want := Parameter(r, name), all.Get(name); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
