package idtoken

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Config is the configuration of an auth method of type jwt, by the names that
// people know. A URL, or keys: one of the three.
type Config struct {
	JWTSupportedAlgs  []string
	BoundAudiences    []string
	BoundIssuer       string
	ClaimMappings     map[string]string // claim, or JSON pointer to it, to the name of a value
	ListClaimMappings map[string]string // the same for lists

	JWTValidationPubKeys []string
	JWKSURL              string
	JWKSCACert           string
	OIDCDiscoveryURL     string
	OIDCDiscoveryCACert  string

	// Leeways: 0 is the default, less is none.
	ExpirationLeeway, NotBeforeLeeway, ClockSkewLeeway Leeway

	browser
}

// browser is the configuration of logins in a browser, which clients send empty.
type browser struct {
	OIDCClientID        string
	OIDCClientSecret    string
	OIDCClientAssertion any
	OIDCClientUsePKCE   *bool
	OIDCScopes          []string
	OIDCACRValues       []string
	AllowedRedirectURIs []string
	VerboseOIDCLogging  bool
}

const (
	// startLeeway is how long a token holds that says when it begins, but not when it
	// ends, and the reverse: as documented.
	startLeeway = 150 * time.Second
	// skewLeeway allows for clocks that differ: as documented.
	skewLeeway = time.Minute
	// maxKeys bounds the keys of one method, each of which may be tried.
	maxKeys = 64
)

// Leeway is a duration: nanoseconds, or a text such as "150s".
type Leeway time.Duration

// UnmarshalJSON reads one.
func (l *Leeway) UnmarshalJSON(data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
	case float64:
		*l = Leeway(v)
	case string:
		d, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		*l = Leeway(d)
	default:
		return errors.New("a leeway is a text such as \"150s\"")
	}
	return nil
}

func (l Leeway) or(otherwise time.Duration) time.Duration {
	if l == 0 {
		return otherwise
	}
	return max(time.Duration(l), 0)
}

// ReadConfig reads and judges the configuration of a method.
func ReadConfig(in map[string]any) (*Config, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	c := new(Config)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields() // a misspelt bound would bind nobody
	if err := d.Decode(c); err != nil {
		return nil, err
	}
	return c, c.validate()
}

// algorithms are those that a public key verifies.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

func (c *Config) validate() error {
	if c.OIDCClientID != "" || c.OIDCClientSecret != "" || c.OIDCClientAssertion != nil || c.OIDCClientUsePKCE != nil ||
		len(c.OIDCScopes)+len(c.OIDCACRValues)+len(c.AllowedRedirectURIs) > 0 || c.VerboseOIDCLogging {
		return errors.New("OIDCClientID, OIDCClientSecret, OIDCScopes, AllowedRedirectURIs and their like are not for type \"jwt\"")
	}
	ways := 0
	for _, set := range []bool{len(c.JWTValidationPubKeys) > 0, c.JWKSURL != "", c.OIDCDiscoveryURL != ""} {
		if set {
			ways++
		}
	}
	switch {
	case ways != 1:
		return errors.New(`exactly one of 'JWTValidationPubKeys', 'JWKSURL', or 'OIDCDiscoveryURL' must be set for type "jwt"`)
	case c.JWKSCACert != "" && c.JWKSURL == "":
		return errors.New("'JWKSCACert' needs 'JWKSURL'")
	case c.OIDCDiscoveryCACert != "" && c.OIDCDiscoveryURL == "":
		return errors.New("'OIDCDiscoveryCACert' needs 'OIDCDiscoveryURL'")
	case len(c.JWTValidationPubKeys) > maxKeys:
		return fmt.Errorf("more than %d keys", maxKeys)
	}
	for name, u := range map[string]string{"JWKSURL": c.JWKSURL, "OIDCDiscoveryURL": c.OIDCDiscoveryURL} {
		if u == "" {
			continue
		}
		parsed, err := url.Parse(u)
		if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" {
			return fmt.Errorf("'%s' is no http or https URL", name)
		}
	}
	for _, ca := range []string{c.JWKSCACert, c.OIDCDiscoveryCACert} {
		if _, err := pool(ca); err != nil {
			return err
		}
	}
	for _, a := range c.JWTSupportedAlgs {
		if !slices.Contains(algorithms, jose.SignatureAlgorithm(a)) {
			return fmt.Errorf("Invalid supported algorithm: %s", a)
		}
	}
	if _, err := c.keys(); err != nil {
		return err
	}
	return c.mappings()
}

func (c *Config) mappings() error {
	names := map[string]bool{}
	for _, m := range []map[string]string{c.ClaimMappings, c.ListClaimMappings} {
		clear(names) // values and lists are told apart
		for claim, name := range m {
			if claim == "" || name == "" || names[name] {
				return fmt.Errorf("claim mappings: %q is empty or has two claims", name)
			}
			names[name] = true
		}
	}
	return nil
}

// Values are the names of the values that the method can prove.
func (c *Config) Values() []string { return slices.Sorted(maps.Values(c.ClaimMappings)) }

func (c *Config) algorithms() []jose.SignatureAlgorithm {
	if len(c.JWTSupportedAlgs) == 0 {
		return []jose.SignatureAlgorithm{jose.RS256}
	}
	var all []jose.SignatureAlgorithm
	for _, a := range c.JWTSupportedAlgs {
		all = append(all, jose.SignatureAlgorithm(a))
	}
	return all
}

// keys are those that are given as text: public keys, or certificates that have them.
func (c *Config) keys() (all []any, _ error) {
	for i, text := range c.JWTValidationPubKeys {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return nil, fmt.Errorf("error parsing public key %d: it is not PEM", i)
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("error parsing public key %d: %w", i, err)
			}
			all = append(all, cert.PublicKey)
			continue
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			if rsa, old := x509.ParsePKCS1PublicKey(block.Bytes); old == nil {
				key, err = rsa, nil
			}
		}
		if err != nil {
			return nil, fmt.Errorf("error parsing public key %d: %w", i, err)
		}
		all = append(all, key)
	}
	return all, nil
}

// pool is the certificates that a server must be signed by; nil = the system's.
func pool(ca string) (*x509.CertPool, error) {
	if ca == "" {
		return nil, nil
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("could not parse CA PEM value successfully")
	}
	return p, nil
}
