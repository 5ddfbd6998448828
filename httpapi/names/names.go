package names

import (
	"cmp"
	"encoding/base64"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"consul.internal/dnsserver/observe"
	"consul.internal/httpapi/edge"
)

// Server answers DNS.
type Server interface {
	Message(query []byte, from netip.Addr) (reply []byte, ttl uint32)
	Top(n int) observe.Summary
	Explainer
}

const (
	// QueryPath is where clients of DNS over HTTPS look.
	QueryPath = "/dns-query"

	media = "application/dns-message"
	// maxQuery is the longest query: as over TCP.
	maxQuery = 4096
)

// Routes are the rows of this package. dns may be nil: the agent answers none then.
func Routes(dns Server) []edge.Route {
	a := handlers{dns}
	return []edge.Route{
		edge.On(QueryPath, a.query, http.MethodGet, http.MethodPost),
	}
}

type handlers struct{ dns Server }

func (a handlers) off() error {
	if a.dns == nil {
		return edge.Failed(http.StatusNotFound, "this agent does not answer DNS: ports.dns is off")
	}
	return nil
}

// from is the asker's address; who comes over a unix socket is on this machine.
func from(r *http.Request) netip.Addr {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return at.Addr().Unmap()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// query answers a DNS message over HTTPS. Without TLS it would be neither private
// nor what clients know.
func (a handlers) query(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := a.off(); err != nil {
		return nil, err
	}
	if r.TLS == nil {
		return nil, edge.Failed(http.StatusForbidden, "DNS over HTTPS is answered at the HTTPS port alone (ports.https)")
	}
	msg, err := message(r)
	if err != nil {
		return nil, err
	}
	reply, ttl := a.dns.Message(msg, from(r))
	if reply == nil {
		return nil, edge.BadRequest("this is not a DNS query")
	}
	edge.LimitWriting(w)
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "max-age="+strconv.FormatUint(uint64(ttl), 10))
	h.Set("Content-Length", strconv.Itoa(len(reply)))
	_, _ = w.Write(reply) // the client is gone; the server sees it itself
	return edge.Sent{}, nil
}

// message is the DNS message in a request.
func message(r *http.Request) ([]byte, error) {
	if r.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != media {
			return nil, edge.Failed(http.StatusUnsupportedMediaType, "want a body of type "+media)
		}
		body, err := edge.Body(r)
		if err != nil {
			return nil, edge.DecodeFailed(err)
		}
		return bounded(body)
	}
	text := r.URL.Query().Get("dns")
	if text == "" {
		return nil, edge.BadRequest("missing ?dns, a DNS message in base64url without padding")
	}
	msg, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, edge.BadRequest("?dns is not base64url: " + err.Error())
	}
	return bounded(msg)
}

func bounded(msg []byte) ([]byte, error) {
	if len(msg) > maxQuery {
		return nil, edge.Failed(http.StatusRequestEntityTooLarge, "a DNS query has at most "+strconv.Itoa(maxQuery)+" bytes")
	}
	return msg, nil
}

// Explain tells how a name is answered. It shows what the agent knows, beyond what
// DNS gives out, so that who may know is for the caller to say.
func Explain(b *edge.Base, dns Server) edge.Handler {
	return func(_ http.ResponseWriter, r *http.Request) (any, error) { return handlers{dns}.explain(b, r) }
}

// explain tells how a name, with its type after a slash or by parameters, is answered.
func (a handlers) explain(b *edge.Base, r *http.Request) (any, error) {
	if err := a.off(); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	name, qtype := q.Get("name"), q.Get("type")
	if item := r.PathValue("item"); item != "" {
		name, qtype, _ = strings.Cut(item, "/")
	}
	if name == "" {
		return nil, edge.BadRequest("Missing name")
	}
	return Explained(r, b, a.dns, name, cmp.Or(qtype, "A"))
}

const (
	defaultTop = 20
	// maxTop is what the server tells apart in any case.
	maxTop = 1000
)

// Top tells what is asked for most: ?n of it, or so many as the path says. Who may know is for the caller to say.
func Top(dns Server) edge.Handler {
	a := handlers{dns}
	return func(_ http.ResponseWriter, r *http.Request) (any, error) {
		if err := a.off(); err != nil {
			return nil, err
		}
		n := defaultTop
		if text := cmp.Or(r.PathValue("item"), r.URL.Query().Get("n")); text != "" {
			var err error
			if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxTop {
				return nil, edge.BadRequest("want a number from 1 to " + strconv.Itoa(maxTop))
			}
		}
		return dns.Top(n), nil
	}
}
