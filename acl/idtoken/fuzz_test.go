package idtoken

import (
	"strings"
	"testing"
	"time"
)

// Whatever comes as a token is refused, if nobody signed it, and breaks nothing.
func FuzzProve(f *testing.F) {
	t := new(testing.T)
	s, other := newSigner(t, "a"), newSigner(t, "a")
	cfg, err := ReadConfig(map[string]any{
		"JWTSupportedAlgs": []string{"ES256", "RS256"}, "JWTValidationPubKeys": []string{s.public(t)},
		"ClaimMappings": map[string]string{"/a/b": "x", "n": "y"}, "ListClaimMappings": map[string]string{"l": "z"},
	})
	if err != nil {
		f.Fatal(err)
	}
	v, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	end := time.Now().Add(time.Hour).Unix()
	good := s.sign(t, map[string]any{"exp": end, "n": 1, "l": []any{"a", 2, true}, "a": map[string]any{"b": "c"}})
	parts := strings.Split(good, ".")
	for _, seed := range []string{
		"", ".", "..", good, other.sign(t, map[string]any{"exp": end}), parts[0] + "." + parts[1] + ".", parts[0] + ".e30." + parts[2],
		"eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", `{"payload":"e30","protected":"e30","signature":""}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := v.Prove(t.Context(), text); err == nil && !strings.HasPrefix(text, parts[0]+"."+parts[1]+".") {
			t.Fatalf("%q proves %+v", text, p)
		}
	})
}
