package idtoken

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// fetchTimeout bounds all of one fetch of keys: who logs in waits for it.
	fetchTimeout = 5 * time.Second
	// maxDocument bounds what is fetched; the largest known key sets are below 50 KiB.
	maxDocument = 1 << 20
	// keysFresh is how long keys hold before they are fetched again: a key that its
	// owner took back is soon not taken here either.
	keysFresh = 10 * time.Minute
	// keysLast is how long they hold while they cannot be fetched.
	keysLast = time.Hour
	// fetchPause is the shortest time between two fetches, so that made-up tokens do
	// not make this server ask all the time.
	fetchPause = 10 * time.Second
	// maxRedirects is one for a moved host and one for a moved path.
	maxRedirects = 2
)

// remote are keys that are fetched.
type remote struct {
	client    *http.Client
	jwks      string // URL
	discovery string // URL of the issuer, which tells where its keys are; "" = jwks does

	known atomic.Pointer[keySet] // nil = none

	turn  chan struct{} // who holds it may fetch, and look at what follows
	tried time.Time
	err   error // of the last try
}

// keySet are keys that came together. It is never changed.
type keySet struct {
	keys []jose.JSONWebKey
	at   time.Time // when they came
}

// age is how old they are: more than anything where there are none.
func (s *keySet) age() time.Duration {
	if s == nil {
		return math.MaxInt64
	}
	return time.Since(s.at)
}

func (s *keySet) try(t *jwt.JSONWebToken, into ...any) error {
	if s == nil {
		return errSignature
	}
	return tryKeys(t, s.keys, into...)
}

// newRemote makes the keys of a configuration that names a URL.
func newRemote(c *Config) (*remote, error) {
	ca, err := pool(c.JWKSCACert + c.OIDCDiscoveryCACert) // one of them at most
	if err != nil {
		return nil, err
	}
	r := &remote{jwks: c.JWKSURL, discovery: c.OIDCDiscoveryURL, turn: make(chan struct{}, 1)}
	r.client = &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: ca, MinVersion: tls.VersionTLS12},
			DialContext:     (&net.Dialer{Timeout: fetchTimeout}).DialContext,
			Proxy:           http.ProxyFromEnvironment,
			// Keys are fetched seldom: no connection is kept for the next time.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxDocument,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return errors.New("redirected to what is not https")
			}
			return nil
		},
	}
	return r, nil
}

// get fetches a JSON document.
func (r *remote) get(ctx context.Context, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %s", url, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return err
	case len(text) > maxDocument:
		return fmt.Errorf("%s: more than %d bytes", url, maxDocument)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// fetch fetches the keys. The turn is held.
func (r *remote) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r.tried = time.Now()
	url := r.jwks
	if r.discovery != "" {
		var says struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		if err := r.get(ctx, strings.TrimSuffix(r.discovery, "/")+"/.well-known/openid-configuration", &says); err != nil {
			return err
		}
		// OpenID Connect Discovery 1.0, section 4.3
		if says.Issuer != r.discovery {
			return fmt.Errorf("the issuer at %q calls itself %q", r.discovery, says.Issuer)
		}
		url = says.JWKSURI
		if strings.HasPrefix(r.discovery, "https:") && !strings.HasPrefix(url, "https:") {
			return fmt.Errorf("the issuer at %q has its keys at what is not https", r.discovery)
		}
	}
	var set jose.JSONWebKeySet
	if err := r.get(ctx, url, &set); err != nil {
		return err
	}
	var keys []jose.JSONWebKey
	for _, k := range set.Keys {
		if k.IsPublic() && k.Valid() && len(keys) < maxKeys { // a secret one would let everybody sign
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return fmt.Errorf("%s: no public keys", url)
	}
	r.known.Store(&keySet{keys, r.tried})
	return nil
}

// claims verifies a token's signature and gives its claims. Keys that do not fit are
// fetched again: the owner may have changed them.
func (r *remote) claims(ctx context.Context, t *jwt.JSONWebToken, into ...any) error {
	// Who has a good token does not wait for who fetches because of a made-up one.
	if now := r.known.Load(); now.age() <= keysFresh && now.try(t, into...) == nil {
		return nil
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// What comes is for all: it does not end with who asked first.
	detached := context.WithoutCancel(ctx)
	if age := r.known.Load().age(); age > keysFresh && time.Since(r.tried) > fetchPause {
		if r.err = r.fetch(detached); r.err != nil && age > keysLast {
			r.known.Store(nil)
		}
	}
	err := r.known.Load().try(t, into...)
	if err == nil || time.Since(r.tried) <= fetchPause {
		return r.because(err)
	}
	if r.err = r.fetch(detached); r.err == nil {
		err = r.known.Load().try(t, into...)
	}
	return r.because(err)
}

// because says why there are no keys, if that is so.
func (r *remote) because(err error) error {
	if err != nil && r.known.Load() == nil && r.err != nil {
		return fmt.Errorf("fetching keys failed: %w", r.err)
	}
	return err
}

var errSignature = errors.New("no known key successfully validated the token signature")

// tryKeys tries the keys that the token names or, if it names none, all.
func tryKeys(t *jwt.JSONWebToken, keys []jose.JSONWebKey, into ...any) error {
	kid := ""
	if len(t.Headers) > 0 {
		kid = t.Headers[0].KeyID
	}
	for i := range keys {
		if kid != "" && keys[i].KeyID != "" && keys[i].KeyID != kid {
			continue
		}
		if keys[i].Use != "" && keys[i].Use != "sig" {
			continue
		}
		if t.Claims(keys[i].Key, into...) == nil {
			return nil
		}
	}
	return errSignature
}
