package charts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
)

// proxyPath is where requests come in; what follows is what is asked for.
const proxyPath = "/v1/internal/ui/metrics-proxy"

// answerPolicy lets an answer do nothing in a browser: it comes from the address of
// the web pages, but is not theirs.
const answerPolicy = "default-src 'none'; frame-ancestors 'none'; sandbox"

// proxy passes requests on.
type proxy struct {
	*edge.Base
	cfg    Config
	client *http.Client
	under  chan struct{} // has one of each request under way
}

// Routes is the way for requests that are passed on. It is there without a
// configuration too, and says so.
func Routes(b *edge.Base, cfg Config) []edge.Route {
	p := &proxy{Base: b, cfg: cfg, under: make(chan struct{}, atOnce)}
	p.client = &http.Client{
		Transport: &http.Transport{
			Proxy:       http.ProxyFromEnvironment,
			DialContext: (&net.Dialer{Timeout: patience}).DialContext,
			// Charts are looked at seldom: no connection is kept for the next time.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return []edge.Route{edge.Get(proxyPath+"/", p.serve)}
}

// mayReadAll refuses who may not read all nodes and all services: nobody knows what
// of them is in an answer.
func (p *proxy) mayReadAll(r *http.Request) error {
	who, err := p.Who(r)
	if err != nil {
		return err
	}
	for _, what := range []acl.Resource{acl.Node, acl.Service} {
		if !who.Under(what, "", acl.Read) {
			return fault.Newf(fault.Denied, "%s", acl.Refusal(who.Accessor, what, "", acl.Read))
		}
	}
	return nil
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := p.mayReadAll(r); err != nil {
		return nil, err
	}
	if p.cfg.Base == "" {
		return nil, edge.Failed(http.StatusNotFound, "Metrics proxy is not enabled: set ui_config.metrics_proxy.base_url")
	}
	// The path as it came: what is written in another way is another path.
	asked := strings.TrimPrefix(r.URL.EscapedPath(), proxyPath)
	if !slices.Contains(p.cfg.Paths, asked) {
		return nil, edge.Failed(http.StatusForbidden, fmt.Sprintf("%q is not among the paths of ui_config.metrics_proxy.path_allowlist", asked))
	}
	select {
	case p.under <- struct{}{}:
		defer func() { <-p.under }()
	default:
		return nil, fault.Newf(fault.Overloaded, "%d requests to the metrics' server are under way: try again later", atOnce)
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	out, err := p.request(ctx, r, asked)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(out)
	if err != nil {
		return nil, unreached(r, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if err := hand(w, resp); err != nil {
		return nil, err
	}
	return edge.Sent{}, nil
}

// request is what goes to the metrics' server: of the client's own nothing but what
// is asked for, and in which form. Who he is does not concern it.
func (p *proxy) request(ctx context.Context, r *http.Request, path string) (*http.Request, error) {
	to, err := url.Parse(p.cfg.Base)
	if err != nil {
		return nil, err
	}
	to = to.JoinPath(path)
	to.RawQuery = withoutToken(r.URL.RawQuery)
	out, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, err
	}
	out.Header["Accept"] = r.Header["Accept"]
	maps.Copy(out.Header, p.cfg.Header)
	if host := p.cfg.Header.Get("Host"); host != "" {
		out.Host = host
	}
	return out, nil
}

// withoutToken is a query without the secret that may stand in it.
func withoutToken(query string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		return err == nil && name == "token"
	}), "&")
}

// unreached is what a client is told when there is no answer. The address is left
// out: it may have a password in it.
func unreached(r *http.Request, err error) error {
	if gone := r.Context().Err(); gone != nil {
		return gone
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return edge.Failed(http.StatusGatewayTimeout, fmt.Sprintf("the metrics' server has not answered within %s", patience))
	}
	if whole, ok := errors.AsType[*url.Error](err); ok {
		err = whole.Err
	}
	return edge.Failed(http.StatusBadGateway, "the metrics' server cannot be reached: "+err.Error())
}

// hand writes an answer: its status, its kind and what it says, and nothing else of it.
func hand(w http.ResponseWriter, resp *http.Response) error {
	switch {
	case resp.StatusCode < http.StatusOK, resp.StatusCode >= 300 && resp.StatusCode < 400:
		return edge.Failed(http.StatusBadGateway, fmt.Sprintf("the metrics' server answers with status %d, which leads elsewhere: correct ui_config.metrics_proxy.base_url", resp.StatusCode))
	case resp.ContentLength > maxAnswer:
		return edge.Failed(http.StatusBadGateway, fmt.Sprintf("the answer of the metrics' server has %d bytes, more than %d: ask for less", resp.ContentLength, maxAnswer))
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Length"} {
		if v := resp.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	h.Set("Cache-Control", "no-store") // it is for the bearer of this token
	h.Set("Content-Security-Policy", answerPolicy)
	edge.LimitWriting(w)
	w.WriteHeader(resp.StatusCode)
	// The end must come before the bound, or part of an answer would look whole.
	if _, err := io.CopyN(w, resp.Body, maxAnswer+1); !errors.Is(err, io.EOF) {
		panic(http.ErrAbortHandler)
	}
	return nil
}
