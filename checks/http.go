package checks

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"

	"consul.internal/catalog"
)

const (
	// maxRedirects is how many redirects a probe follows; more of them are a circle.
	maxRedirects = 10
	// maxHeaderBytes bounds the headers of an answer: a service that sends them without end is not to fill our memory.
	maxHeaderBytes = 64 << 10
)

// httpClients lends transports: one to all checks that verify certificates and
// one to all that do not. Only a check that expects another name in them needs its own.
type httpClients struct {
	own           TLSFunc
	verify, trust *http.Transport
}

func newHTTPClients(own TLSFunc) *httpClients {
	return &httpClients{own: own, verify: newTransport(&Definition{}, own), trust: newTransport(&Definition{TLSSkipVerify: true}, own)}
}

func newTransport(d *Definition, own TLSFunc) *http.Transport {
	return &http.Transport{
		// Each probe opens a connection of its own: that a new caller gets one is part of being healthy.
		DisableKeepAlives: true,
		// Not TLSClientConfig: each connection takes the certificate that counts then.
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return dialTLS(ctx, tlsConfig(d, own), addr)
		},
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

func (h *httpClients) get(d *Definition) *http.Client {
	t := h.verify
	switch {
	case d.TLSServerName != "":
		t = newTransport(d, h.own)
	case d.TLSSkipVerify:
		t = h.trust
	}
	return &http.Client{Transport: t, CheckRedirect: redirects(d)}
}

// tlsConfig lays what a check says over what the agent has for all of them.
func tlsConfig(d *Definition, own TLSFunc) *tls.Config {
	c := own()
	c.ServerName = cmp.Or(d.TLSServerName, c.ServerName)
	c.InsecureSkipVerify, c.MinVersion = d.TLSSkipVerify, tls.VersionTLS12
	return c
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
		case len(via) > maxRedirects: // via begins with the first request, which is no redirect
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
