package configentry

import (
	"encoding/json"
	"testing"
)

// Whatever is sent is taken or refused; what is taken is shown, and read again the same.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{
		`{"Kind":"service-defaults","Name":"web","Protocol":"http","UpstreamConfig":{"Overrides":[null,{"Name":"x"}]}}`,
		`{"Kind":"service-resolver","Name":"web","Subsets":{"v":{"Filter":"Service.ID == 1"}},"ConnectTimeout":5}`,
		`{"Kind":"service-intentions","Name":"*","Sources":[null,{"Name":"a","Permissions":[null]}]}`,
		`{"Kind":"jwt-provider","Name":"p","Locations":[null],"JSONWebKeySet":{"Local":{"JWKS":"e30="}}}`,
		`{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":"1e2"}]}`,
		`{"Kind":"api-gateway","Name":"g","Listeners":[{"Port":80,"Protocol":"http","TLS":{"Certificates":[{"Name":"c"}]}}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := DecodeJSON(data)
		if err != nil || e.Prepare() != nil {
			return
		}
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%s cannot be shown: %v", data, err)
		}
		back, err := DecodeJSON(raw)
		if err != nil {
			t.Fatalf("%s is shown as %s, which is refused: %v", data, raw, err)
		}
		if err := back.Prepare(); err != nil || !back.Same(e) {
			t.Fatalf("%s is shown as %s, which is another entry: %v", data, raw, err)
		}
	})
}
