package edge

import (
	"context"
	"net/http"

	"consul.internal/acl"
)

// Guard knows who bears a secret; "" is the anonymous token.
type Guard interface {
	Who(ctx context.Context, secret string) (*acl.Bearer, error)
}

// Who is who makes a request. Where there is no access control, he may do everything.
func (b *Base) Who(r *http.Request) (*acl.Bearer, error) {
	if b.Guard == nil {
		return acl.Unguarded(), nil
	}
	return b.Guard.Who(r.Context(), Token(r))
}

// Need refuses a request whose token may not do something.
func (b *Base) Need(r *http.Request, what acl.Resource, name string, want acl.Access) error {
	who, err := b.Who(r)
	if err != nil {
		return err
	}
	return who.Need(what, name, want)
}

// tokenKey leads from a request to the token that it is made with if it brings none.
type tokenKey struct{}

// WithToken gives a request that brings no token one.
func WithToken(r *http.Request, secret string) *http.Request {
	if secret == "" || OwnToken(r) != "" {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), tokenKey{}, secret))
}

// Token is the secret that a request is made with: the one that it brings, else
// the agent's default.
func Token(r *http.Request) string {
	if own := OwnToken(r); own != "" {
		return own
	}
	secret, _ := r.Context().Value(tokenKey{}).(string)
	return secret
}

// SetFiltered says in an answer that ACLs left something out. Who shows no token is
// not told so: he learns nothing of what there is.
func SetFiltered(w http.ResponseWriter, who *acl.Bearer) {
	if who.Accessor != acl.AnonymousID {
		w.Header().Set("X-Consul-Results-Filtered-By-Acls", "true")
	}
}
