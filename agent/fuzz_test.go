package agent

import (
	"bytes"
	"encoding/json"
	"testing"
)

func FuzzDecodeService(f *testing.F) {
	for _, s := range []string{
		`{"Name":"web"}`, `{"ID":"web-2","Name":"web","Tags":["a"],"TaggedAddresses":{"lan":{"address":"10.0.0.2","port":1}},"Weights":{"Passing":1}}`,
		`{"name":"x","check":{"ttl":"1h","header":{"a":["b"]}},"checks":[{"http":"http://x","interval":10}]}`,
		`{"Name":"p","Kind":"connect-proxy","Proxy":{"Config":{"a":[1,{"b":null}]},"Upstreams":[{}]},"Connect":{"SidecarService":{}}}`,
		`{"Name":`, `[[[[`, "{\"Name\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	cfg := testConfig()
	f.Fuzz(func(t *testing.T, body []byte) {
		if def, err := DecodeService(bytes.NewReader(body)); err == nil {
			if p, err := cfg.planService(def, fromAPI); err == nil {
				for _, v := range []any{p.service, p.checks} {
					if _, err := json.Marshal(v); err != nil {
						t.Errorf("what was accepted cannot be written: %v", err)
					}
				}
			}
		}
		if def, err := DecodeCheck(bytes.NewReader(body)); err == nil {
			_, _ = cfg.planCheck(def, fromAPI)
		}
		_, _ = DecodeCheckUpdate(bytes.NewReader(body))
	})
}

func FuzzPersisted(f *testing.F) {
	f.Add([]byte(`{"Format":1,"Token":"t","Service":{"ID":"web","Service":"web","Weights":{"Passing":1,"Warning":1}}}`))
	f.Add([]byte(`{"Format":1,"OfService":true,"Definition":{"ID":"x","Name":"x","ServiceID":"web","TTL":1000000000}}`))
	f.Add([]byte(`{"Format":1,"Definition":{"ID":"_service_maintenance:web","ServiceID":"web"}}`))
	f.Add([]byte(`{"Format":1,"ID":"x","Status":"passing","Expires":"2026-01-01T00:00:00Z"}`))
	cfg := testConfig()
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := decodeSavedService(data); err == nil && (p.service.ID == "" || p.service.Name == "") {
			t.Errorf("a service without a name was accepted: %q", data)
		}
		if p, err := decodeSavedCheck(&cfg, data); err == nil && (p.id == "" || !p.check.Status.Valid()) {
			t.Errorf("a check without ID or status was accepted: %q", data)
		}
		var s savedState
		_ = json.Unmarshal(data, &s)
	})
}
