package idtoken

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

type signer struct {
	key *ecdsa.PrivateKey
	id  string
}

func newSigner(t *testing.T, id string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key, id}
}

func (s *signer) public(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (s *signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT")
	if s.id != "" {
		o = o.WithHeader("kid", s.id)
	}
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := with.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func validator(t *testing.T, cfg map[string]any) *Validator {
	t.Helper()
	c, err := ReadConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t, "")
		now := time.Now().Unix()
		base := map[string]any{"JWTSupportedAlgs": []string{"ES256"}, "JWTValidationPubKeys": []string{s.public(t)}, "BoundIssuer": "i", "BoundAudiences": []string{"a", "b"}}
		type m = map[string]any
		for _, tt := range []struct {
			name   string
			cfg    m
			claims m
			wrong  string
		}{
			{"all right", nil, m{"iss": "i", "aud": "b", "exp": now + 60}, ""},
			{"one of its audiences", nil, m{"iss": "i", "aud": []string{"x", "a"}, "exp": now + 60}, ""},
			{"another issuer", nil, m{"iss": "j", "aud": "b", "exp": now + 60}, "invalid issuer claim"},
			{"another audience", nil, m{"iss": "i", "aud": "c", "exp": now + 60}, "aud claim does not match"},
			{"no audience", nil, m{"iss": "i", "exp": now + 60}, "aud claim does not match"},
			{"nobody bound", m{"BoundAudiences": nil}, m{"iss": "i", "aud": "c", "exp": now + 60}, "no audiences are bound"},
			{"ended within the leeway", nil, m{"iss": "i", "aud": "b", "exp": now - 59}, ""},
			{"ended", nil, m{"iss": "i", "aud": "b", "exp": now - 61}, "token is expired (exp)"},
			{"ended, no leeway", m{"ClockSkewLeeway": "-1ns"}, m{"iss": "i", "aud": "b", "exp": now - 1}, "token is expired (exp)"},
			{"ended, long leeway", m{"ClockSkewLeeway": "10m"}, m{"iss": "i", "aud": "b", "exp": now - 500}, ""},
			{"begins within the leeway", nil, m{"iss": "i", "aud": "b", "nbf": now + 59}, ""},
			{"not yet", nil, m{"iss": "i", "aud": "b", "nbf": now + 61}, "not valid yet"},
			{"issued in the future", nil, m{"iss": "i", "aud": "b", "iat": now + 61, "nbf": now, "exp": now + 100}, "issued in the future"},
			{"no end, young", nil, m{"iss": "i", "aud": "b", "iat": now - 200}, ""},
			{"no end, old", nil, m{"iss": "i", "aud": "b", "iat": now - 211}, "token is expired"},
			{"no end, old, leeway", m{"ExpirationLeeway": float64(time.Hour)}, m{"iss": "i", "aud": "b", "iat": now - 211}, ""},
			{"no begin, far end", nil, m{"iss": "i", "aud": "b", "exp": now + 211}, "not valid yet"},
			{"no begin, far end, leeway", m{"NotBeforeLeeway": "1h"}, m{"iss": "i", "aud": "b", "exp": now + 211}, ""},
			{"no times", nil, m{"iss": "i", "aud": "b"}, "neither when it was issued"},
		} {
			cfg := m{}
			for _, from := range []m{base, tt.cfg} {
				for k, v := range from {
					cfg[k] = v
				}
			}
			_, err := validator(t, cfg).Prove(t.Context(), s.sign(t, tt.claims))
			if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.wrong)
			}
		}
	})
}

func TestForged(t *testing.T) {
	s, other := newSigner(t, ""), newSigner(t, "")
	v := validator(t, map[string]any{"JWTSupportedAlgs": []string{"ES256"}, "JWTValidationPubKeys": []string{s.public(t)}})
	good := s.sign(t, map[string]any{"exp": time.Now().Unix() + 60})
	if _, err := v.Prove(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for name, text := range map[string]string{
		"another key":                      other.sign(t, map[string]any{"exp": time.Now().Unix() + 60}),
		"no algorithm":                     "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"a symmetric algorithm":            "eyJhbGciOiJIUzI1NiJ9." + parts[1] + "." + parts[2],
		"an algorithm that is not allowed": "eyJhbGciOiJSUzI1NiJ9." + parts[1] + "." + parts[2],
		"changed":                          parts[0] + ".e30." + parts[2], "empty": "", "no token": "abc", "huge": strings.Repeat("a", maxToken+1),
	} {
		if p, err := v.Prove(t.Context(), text); err == nil {
			t.Errorf("%s proves %+v", name, p)
		}
	}
}

func TestMappings(t *testing.T) {
	s := newSigner(t, "")
	v := validator(t, map[string]any{
		"JWTSupportedAlgs": []string{"ES256"}, "JWTValidationPubKeys": []string{s.public(t)},
		"ClaimMappings":     map[string]string{"role": "role", "/k8s/ns": "namespace", "/list/1": "second", "n": "n", "b": "b", "none": "none"},
		"ListClaimMappings": map[string]string{"groups": "groups", "one": "one", "/k8s/nope": "nope"},
	})
	end := time.Now().Unix() + 60
	got, err := v.Prove(t.Context(), s.sign(t, map[string]any{"exp": end, "role": "web", "k8s": map[string]any{"ns": "prod"}, "list": []any{"x", "y"},
		"n": 12.5, "b": true, "groups": []any{"a", 7, false}, "one": "single"}))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"role": "web", "namespace": "prod", "second": "y", "n": "12.5", "b": "true", "none": ""}; !reflect.DeepEqual(got.Value, want) {
		t.Errorf("values %v", got.Value)
	}
	if want := map[string][]string{"groups": {"a", "7", "false"}, "one": {"single"}, "nope": nil}; !reflect.DeepEqual(got.List, want) {
		t.Errorf("lists %v", got.List)
	}
	for _, claims := range []map[string]any{{"role": []any{"web"}}, {"role": map[string]any{}}, {"groups": []any{[]any{}}}, {"groups": make([]any, maxItems+1)}} {
		claims["exp"] = end
		if p, err := v.Prove(t.Context(), s.sign(t, claims)); err == nil {
			t.Errorf("%v gives %+v", claims, p)
		}
	}
}

// provider is an identity provider on a real socket.
type provider struct {
	*httptest.Server
	keys   atomic.Pointer[jose.JSONWebKeySet]
	asked  atomic.Int32
	issuer string
	broken atomic.Bool
}

func newProvider(t *testing.T, signers ...*signer) *provider {
	p := new(provider)
	p.set(signers...)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v any = p.keys.Load()
		if strings.HasSuffix(r.URL.Path, "openid-configuration") {
			v = map[string]string{"issuer": p.issuer, "jwks_uri": p.URL + "/keys"}
		} else {
			p.asked.Add(1)
		}
		if p.broken.Load() {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}))
	p.issuer = p.URL
	t.Cleanup(p.Close)
	return p
}

func (p *provider) set(signers ...*signer) {
	set := &jose.JSONWebKeySet{}
	for _, s := range signers {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &s.key.PublicKey, KeyID: s.id, Use: "sig"})
	}
	p.keys.Store(set)
}

func (p *provider) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
}

func TestFetchedKeys(t *testing.T) {
	one, two := newSigner(t, "one"), newSigner(t, "two")
	p := newProvider(t, one)
	end := time.Now().Unix() + 60
	v := validator(t, map[string]any{"JWTSupportedAlgs": []string{"ES256"}, "JWKSURL": p.URL, "JWKSCACert": p.ca()})
	for range 3 {
		if _, err := v.Prove(t.Context(), one.sign(t, map[string]any{"exp": end})); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("fetched %d times for three logins", n)
	}
	// Unknown keys: not asked for again and again.
	for range 5 {
		if _, err := v.Prove(t.Context(), two.sign(t, map[string]any{"exp": end})); err == nil {
			t.Error("an unknown key is taken")
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("made-up tokens made it fetch %d times", n)
	}
	// The owner changes keys: a while later the new one is found.
	p.set(two)
	v.remote.tried = v.remote.tried.Add(-fetchPause)
	if _, err := v.Prove(t.Context(), two.sign(t, map[string]any{"exp": end})); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if _, err := v.Prove(t.Context(), one.sign(t, map[string]any{"exp": end})); err == nil {
		t.Error("a key that was taken back is good")
	}
	// What cannot be fetched: the last keys hold for a while, not for ever.
	p.broken.Store(true)
	age := func(d time.Duration) {
		v.remote.tried = time.Now().Add(-d)
		v.remote.known.Store(&keySet{v.remote.known.Load().keys, v.remote.tried})
	}
	age(keysFresh + time.Second)
	if _, err := v.Prove(t.Context(), two.sign(t, map[string]any{"exp": end})); err != nil {
		t.Errorf("while the provider is down: %v", err)
	}
	age(keysLast + time.Second)
	if _, err := v.Prove(t.Context(), two.sign(t, map[string]any{"exp": end})); err == nil || !strings.Contains(err.Error(), "fetching keys failed") {
		t.Errorf("long after: %v", err)
	}
}

// Who has a good token does not wait for a provider that hangs, which a made-up one makes
// this server ask.
func TestHangingProvider(t *testing.T) {
	good, made := newSigner(t, "good"), newSigner(t, "made")
	p := newProvider(t, good)
	v := validator(t, map[string]any{"JWTSupportedAlgs": []string{"ES256"}, "JWKSURL": p.URL, "JWKSCACert": p.ca()})
	claims := map[string]any{"exp": time.Now().Unix() + 60}
	if _, err := v.Prove(t.Context(), good.sign(t, claims)); err != nil {
		t.Fatal(err)
	}
	v.remote.turn <- struct{}{} // somebody fetches, and does not come to an end
	if _, err := v.Prove(t.Context(), good.sign(t, claims)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Prove(ctx, made.sign(t, claims)); err == nil {
		t.Error("an unknown key is taken")
	}
}

func TestDiscovery(t *testing.T) {
	s := newSigner(t, "one")
	p := newProvider(t, s)
	end := time.Now().Unix() + 60
	cfg := map[string]any{"JWTSupportedAlgs": []string{"ES256"}, "OIDCDiscoveryURL": p.URL, "OIDCDiscoveryCACert": p.ca()}
	v := validator(t, cfg)
	if err := v.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Prove(t.Context(), s.sign(t, map[string]any{"iss": p.URL, "exp": end})); err != nil {
		t.Error(err)
	}
	if _, err := v.Prove(t.Context(), s.sign(t, map[string]any{"iss": "https://other", "exp": end})); err == nil {
		t.Error("its keys vouch for another issuer")
	}
	p.issuer = "https://other"
	if err := validator(t, cfg).Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "calls itself") {
		t.Errorf("an issuer of another name: %v", err)
	}
	delete(cfg, "OIDCDiscoveryCACert")
	if err := validator(t, cfg).Reach(t.Context()); err == nil {
		t.Error("an unknown CA is trusted")
	}
}

func TestHostileProvider(t *testing.T) {
	var body atomic.Value
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch b := body.Load().(string); b {
		case "loop":
			http.Redirect(w, r, "/", http.StatusFound)
		case "hang":
			<-r.Context().Done()
		default:
			fmt.Fprint(w, b)
		}
	}))
	defer web.Close()
	secret := `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`
	for _, b := range []string{"loop", "{", "{}", secret, `{"keys":[` + strings.Repeat(" ", maxDocument) + `]}`} {
		body.Store(b)
		if err := validator(t, map[string]any{"JWKSURL": web.URL}).Reach(t.Context()); err == nil {
			t.Errorf("%.40q is taken", b)
		}
	}
	body.Store("hang")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := validator(t, map[string]any{"JWKSURL": web.URL}).Reach(ctx); err == nil {
		t.Error("it waits for a provider that hangs")
	}
}

func TestConfig(t *testing.T) {
	s := newSigner(t, "")
	good := map[string]any{"JWTValidationPubKeys": []string{s.public(t)}, "OIDCClientID": "", "OIDCClientAssertion": nil, "OIDCScopes": []string{}, "VerboseOIDCLogging": false, "ExpirationLeeway": 0}
	if c, err := ReadConfig(good); err != nil || len(c.Values()) != 0 {
		t.Fatalf("what the official client sends: %v", err)
	}
	for _, wrong := range []map[string]any{
		{}, {"JWKSURL": "https://a", "JWTValidationPubKeys": []string{s.public(t)}}, {"JWTValidationPubKeys": []string{"x"}},
		{"JWKSURL": "ftp://a"}, {"JWKSURL": "https://a", "JWKSCACert": "x"}, {"JWKSURL": "https://a", "OIDCClientID": "x"},
		{"JWKSURL": "https://a", "JWTSupportedAlgs": []string{"HS256"}}, {"JWKSURL": "https://a", "JWTSupportedAlgs": []string{"none"}},
		{"JWKSURL": "https://a", "BoundAudience": []string{"misspelt"}}, {"JWKSURL": "https://a", "ClockSkewLeeway": "x"},
		{"JWKSURL": "https://a", "ClaimMappings": map[string]string{"a": "x", "b": "x"}},
		{"OIDCDiscoveryURL": "https://a", "JWKSCACert": "x"},
	} {
		if c, err := ReadConfig(wrong); err == nil {
			t.Errorf("%v gives %+v", wrong, c)
		}
	}
}
