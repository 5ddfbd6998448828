package idtoken

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"consul.internal/acl"
)

const (
	// maxToken bounds a token before it is decoded: those of Kubernetes and of large
	// identity providers stay below 16 KiB.
	maxToken = 64 << 10
	// maxItems bounds the lists that claims give.
	maxItems = 1000
)

// Validator judges the tokens of one auth method. Its methods may be called by any
// number of goroutines.
type Validator struct {
	cfg    *Config
	fixed  []jose.JSONWebKey
	remote *remote // nil = fixed are all
}

// New makes one of a configuration that ReadConfig gave.
func New(cfg *Config) (*Validator, error) {
	v := &Validator{cfg: cfg}
	keys, err := cfg.keys()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		v.fixed = append(v.fixed, jose.JSONWebKey{Key: k})
	}
	if len(v.fixed) == 0 {
		v.remote, err = newRemote(cfg)
	}
	return v, err
}

// Reach fetches the keys, so that who configures a method learns whether that can be done.
func (v *Validator) Reach(ctx context.Context) error {
	if v.remote == nil {
		return nil
	}
	v.remote.turn <- struct{}{} // nobody else has it yet
	defer func() { <-v.remote.turn }()
	if err := v.remote.fetch(ctx); err != nil {
		what := "JWKSURL"
		if v.remote.discovery != "" {
			what = "OIDCDiscoveryURL"
		}
		return fmt.Errorf("error checking %s: %w", what, err)
	}
	return nil
}

// Prove judges a token, and gives what it proves.
func (v *Validator) Prove(ctx context.Context, text string) (*acl.Proven, error) {
	switch {
	case text == "":
		return nil, errors.New("missing jwt")
	case len(text) > maxToken:
		return nil, fmt.Errorf("error parsing token: it is longer than %d bytes", maxToken)
	}
	t, err := jwt.ParseSigned(text, v.cfg.algorithms())
	if err != nil {
		return nil, fmt.Errorf("error parsing token: %w", err)
	}
	var known jwt.Claims
	all := map[string]any{}
	if v.remote != nil {
		err = v.remote.claims(ctx, t, &known, &all)
	} else {
		err = tryKeys(t, v.fixed, &known, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("error verifying token: %w", err)
	}
	if err := v.bounds(&known); err != nil {
		return nil, fmt.Errorf("error validating claims: %w", err)
	}
	return v.mapped(all)
}

// bounds judges the claims that say for whom, and when, a token is.
func (v *Validator) bounds(c *jwt.Claims) error {
	begin, end := c.NotBefore, c.Expiry
	if begin == nil && end == nil && c.IssuedAt == nil {
		return errors.New("the token says neither when it was issued nor when it begins or ends (iat, nbf, exp)")
	}
	if end == nil { // a token without an end ends soon
		from := latest(begin, c.IssuedAt)
		end = jwt.NewNumericDate(from.Add(v.cfg.ExpirationLeeway.or(startLeeway)))
	}
	if begin == nil {
		if begin = c.IssuedAt; begin == nil {
			begin = jwt.NewNumericDate(end.Time().Add(-v.cfg.NotBeforeLeeway.or(startLeeway)))
		}
	}
	timed := *c
	timed.NotBefore, timed.Expiry = begin, end
	issuer := v.cfg.BoundIssuer
	if v.cfg.OIDCDiscoveryURL != "" {
		if issuer != "" && issuer != v.cfg.OIDCDiscoveryURL {
			return jwt.ErrInvalidIssuer
		}
		issuer = v.cfg.OIDCDiscoveryURL // only its keys vouch for it
	}
	if err := timed.ValidateWithLeeway(jwt.Expected{Issuer: issuer, Time: time.Now()}, v.cfg.ClockSkewLeeway.or(skewLeeway)); err != nil {
		return err
	}
	switch bound := v.cfg.BoundAudiences; {
	case len(bound) == 0 && len(c.Audience) > 0:
		// It is for somebody, who need not be us.
		return errors.New("audience claim found in JWT but no audiences are bound")
	case len(bound) > 0 && !slices.ContainsFunc(bound, c.Audience.Contains):
		return errors.New("aud claim does not match any bound audience")
	}
	return nil
}

func latest(a, b *jwt.NumericDate) time.Time {
	switch {
	case a == nil:
		return b.Time()
	case b == nil || a.Time().After(b.Time()):
		return a.Time()
	}
	return b.Time()
}

// mapped takes out of the claims what the configuration names.
func (v *Validator) mapped(all map[string]any) (*acl.Proven, error) {
	p := &acl.Proven{Value: map[string]string{}, List: map[string][]string{}}
	for claim, name := range v.cfg.ClaimMappings {
		p.Value[name] = ""
		found := at(all, claim)
		if found == nil {
			continue
		}
		text, ok := plain(found)
		if !ok {
			return nil, fmt.Errorf("error mapping claims: claim %q is neither text, number nor true or false", claim)
		}
		p.Value[name] = text
	}
	for claim, name := range v.cfg.ListClaimMappings {
		p.List[name] = nil
		found := at(all, claim)
		if found == nil {
			continue
		}
		items, ok := found.([]any)
		if !ok {
			items = []any{found} // a list of one is often written so
		}
		if len(items) > maxItems {
			return nil, fmt.Errorf("error mapping claims: claim %q has more than %d items", claim, maxItems)
		}
		for _, item := range items {
			text, ok := plain(item)
			if !ok {
				return nil, fmt.Errorf("error mapping claims: an item of claim %q is neither text, number nor true or false", claim)
			}
			p.List[name] = append(p.List[name], text)
		}
	}
	return p, nil
}

// plain is a simple value as text.
func plain(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// at is the claim of a name or, if that begins with "/", at a JSON pointer (RFC 6901).
func at(all map[string]any, claim string) any {
	path, pointer := strings.CutPrefix(claim, "/")
	if !pointer {
		return all[claim]
	}
	var v any = all
	for _, part := range strings.Split(path, "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch in := v.(type) {
		case map[string]any:
			v = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}
