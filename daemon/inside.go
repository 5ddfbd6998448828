package daemon

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"consul.internal/configs"
	"consul.internal/httpapi"
	"consul.internal/httpapi/charts"
	"github.com/hashicorp/consul/api"
)

// ownToken stands for the agent's own token: the client takes one out of the
// environment where it is given none.
const ownToken = "agent"

// newInside makes a client that asks this agent without a way over the network:
// no port needs to be open, and limits for strangers do not count.
// token is that of requests that name none.
func newInside(s *configs.Settings, deps httpapi.Deps, token func() string) (*api.Client, func(*configs.Settings) error, error) {
	deps.Metrics, deps.TLS, deps.Audit = nil, nil, nil // nobody asks from outside
	server, err := httpapi.New(insideConfig(s), deps)
	if err != nil {
		return nil, nil, err
	}
	client, err := api.NewClient(&api.Config{
		Address: "agent.internal", Scheme: "http", Token: ownToken, HttpClient: &http.Client{Transport: inside{server.Handler(), token}},
	})
	reload := func(next *configs.Settings) error {
		cfg := insideConfig(next)
		cfg.NodeName, cfg.Datacenter = s.Node.Name, s.Node.Datacenter // who the agent is stays as it was
		return server.Reload(cfg)
	}
	return client, reload, err
}

func insideConfig(s *configs.Settings) httpapi.Config {
	cfg, _ := httpConfig(s)
	cfg.Addrs, cfg.Sockets, cfg.SecureAddrs = nil, nil, nil
	cfg.WriteFrom, cfg.BlockEndpoints, cfg.ResponseHeaders = nil, nil, nil
	cfg.UI, cfg.Metrics = false, charts.Config{} // watches ask the API alone
	return cfg
}

// inside hands requests to a handler. It returns when the handler has: what is
// asked through it ends by itself, or with its context.
type inside struct {
	handler http.Handler
	token   func() string
}

func (t inside) RoundTrip(out *http.Request) (*http.Response, error) {
	in := out.Clone(out.Context())
	in.RequestURI, in.RemoteAddr = out.URL.RequestURI(), "127.0.0.1:0"
	var err error
	if in.URL, err = url.ParseRequestURI(in.RequestURI); err != nil {
		return nil, err
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Header.Get("X-Consul-Token") == ownToken {
		in.Header.Del("X-Consul-Token")
		if t := t.token(); t != "" {
			in.Header.Set("X-Consul-Token", t)
		}
	}
	w := &answer{header: http.Header{}}
	t.handler.ServeHTTP(w, in)
	if err := out.Context().Err(); err != nil {
		return nil, err
	}
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return &http.Response{
		Status: http.StatusText(w.code), StatusCode: w.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: out,
	}, nil
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	if a.code == 0 && code >= http.StatusOK { // those below only announce
		a.code = code
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}
