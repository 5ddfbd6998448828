package older

import (
	"fmt"
	"slices"
	"testing"

	"consul.internal/internal/hclconf"
)

// What stands under an older name goes to today's; what stands there stays.
func TestRenew(t *testing.T) {
	for _, tt := range []struct{ text, want, warning string }{
		{`dc = "a"`, `map[datacenter:a]`, "x.hcl:1:1: dc is the older name of datacenter; please use that"},
		{"dc = \"a\"\ndatacenter = \"b\"", `map[datacenter:b]`, "x.hcl:1:1: dc is ignored, since datacenter, its newer name, is given too"},
		{`datacenter = "b"`, `map[datacenter:b]`, ""},
		{`recursor = "1.1.1.1"`, `map[recursors:[1.1.1.1]]`, "x.hcl:1:1: recursor is the older name of recursors; please use that"},
		{"start_join = [\"a\"]\nretry_join = [\"b\"]", `map[retry_join:[b a]]`, "x.hcl:1:1: start_join is the older name of retry_join; please use that"},
		{`acl_ttl = "1s"`, `map[acl:map[token_ttl:1s]]`, "x.hcl:1:1: acl_ttl is the older name of acl.token_ttl; please use that"},
		{"acl { enabled = true }\nacl_token = \"t\"", `map[acl:map[enabled:true tokens:map[default:t]]]`, "x.hcl:2:1: acl_token is the older name of acl.tokens.default; please use that"},
		{"acl_token = \"t\"\nacl = 5", `map[acl:5]`, "x.hcl:1:1: acl_token is ignored, since acl.tokens.default, its newer name, is given too"},
		{`atlas_join = true`, `map[]`, "x.hcl:1:1: atlas_join is a key of old releases and has no effect; remove it"},
	} {
		root, err := hclconf.Parse("x.hcl", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if tt.warning != "" {
			want = []string{tt.warning}
		}
		if got := Renew(root); !slices.Equal(got, want) {
			t.Errorf("%s: warnings %q, want %q", tt.text, got, tt.warning)
		}
		if got := fmt.Sprint(root.Any()); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
}
