package checks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"consul.internal/catalog"
)

// maxRedirects is how many redirects a probe follows: as many as net/http does by itself.
const maxRedirects = 10

// httpClients lends transports, one for each TLS setting, as a transport is too
// large to have one for each of a thousand checks.
type httpClients struct {
	mu         sync.Mutex
	transports map[tlsKey]*http.Transport
}

type tlsKey struct {
	serverName string
	skipVerify bool
}

func newHTTPClients() *httpClients {
	return &httpClients{transports: make(map[tlsKey]*http.Transport)}
}

func (h *httpClients) get(d *Definition) *http.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := tlsKey{d.TLSServerName, d.TLSSkipVerify}
	t := h.transports[key]
	if t == nil {
		t = &http.Transport{
			// Each probe opens a connection of its own: that a new caller gets one is part of being healthy.
			DisableKeepAlives: true,
			TLSClientConfig:   tlsConfig(d),
			// A service that answers with endless headers is not to fill our memory.
			MaxResponseHeaderBytes: 64 << 10,
		}
		h.transports[key] = t
	}
	return &http.Client{Transport: t, CheckRedirect: redirects(d)}
}

func tlsConfig(d *Definition) *tls.Config {
	return &tls.Config{ServerName: d.TLSServerName, InsecureSkipVerify: d.TLSSkipVerify, MinVersion: tls.VersionTLS12}
}

// redirects permits what the definition permits, never a change of scheme (a
// check of https is none if it ends up in plain text), and keeps the
// definition's headers, which may hold a secret, from other hosts.
func redirects(d *Definition) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		first := via[0].URL
		switch {
		case d.DisableRedirects:
			return http.ErrUseLastResponse
		case len(via) >= maxRedirects:
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		case req.URL.Scheme != first.Scheme:
			return fmt.Errorf("redirect from %s to %s refused: the scheme differs", first.Scheme, req.URL.Scheme)
		}
		if req.URL.Host != first.Host {
			for name := range d.Header {
				req.Header.Del(name)
			}
		}
		return nil
	}
}

// httpProbe passes on any 2xx, warns on 429 and is critical otherwise.
func httpProbe(d *Definition, client *http.Client, maxSize int) probe {
	method := d.Method
	if method == "" {
		method = http.MethodGet
	}
	return func(ctx context.Context) (catalog.Status, string) {
		req, err := http.NewRequestWithContext(ctx, method, d.HTTP, strings.NewReader(d.Body))
		if err != nil {
			return catalog.Critical, err.Error()
		}
		req.Header.Set("User-Agent", "Consul Health Check")
		req.Header.Set("Accept", "text/plain, text/*, */*")
		header := http.Header{}
		for name, values := range maps.All(d.Header) {
			for _, v := range values {
				header.Add(name, v)
			}
		}
		maps.Copy(req.Header, header)
		if host := header.Get("Host"); host != "" {
			req.Host = host
		}
		resp, err := client.Do(req)
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return catalog.Critical, fmt.Sprintf("%s %q: no answer within the timeout", method, d.HTTP)
			}
			return catalog.Critical, err.Error()
		}
		defer resp.Body.Close() //nolint:errcheck // nothing is lost: what was read is all that was wanted
		body, err := io.ReadAll(io.LimitReader(resp.Body, int64(maxSize)))
		output := fmt.Sprintf("HTTP %s %s: %s Output: %s", method, d.HTTP, resp.Status, body)
		if err != nil {
			output += fmt.Sprintf(" (reading the body failed: %v)", err)
		}
		switch {
		case resp.StatusCode >= 200 && resp.StatusCode <= 299:
			return catalog.Passing, output
		case resp.StatusCode == http.StatusTooManyRequests:
			return catalog.Warning, output
		default:
			return catalog.Critical, output
		}
	}
}
