package configentry

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"consul.internal/internal/fault"
)

// JWTProvider says whose tokens are good.
type JWTProvider struct {
	JSONWebKeySet    *JSONWebKeySet `json:",omitempty"`
	Issuer           string         `json:",omitempty"`
	Audiences        []string       `json:",omitempty"`
	Locations        []*JWTLocation `json:",omitempty"`
	Forwarding       *JWTForwarding `json:",omitempty"`
	ClockSkewSeconds int            `json:",omitempty"`
	CacheConfig      *JWTCache      `json:",omitempty"`
}

// Parts of a provider, and of what asks for one.
type (
	// JSONWebKeySet is where its keys are: one of both.
	JSONWebKeySet struct {
		Local  *LocalKeys  `json:",omitempty"`
		Remote *RemoteKeys `json:",omitempty"`
	}
	// LocalKeys are here.
	LocalKeys struct {
		JWKS     string `json:",omitempty"`
		Filename string `json:",omitempty"`
	}
	// RemoteKeys are elsewhere.
	RemoteKeys struct {
		URI                 string        `json:",omitempty"`
		RequestTimeoutMs    int           `json:",omitempty"`
		CacheDuration       time.Duration `json:",omitempty"`
		FetchAsynchronously bool          `json:",omitempty"`
		UseSNI              bool          `json:",omitempty"`
		RetryPolicy         *KeysRetry    `json:",omitempty"`
		JWKSCluster         *KeysCluster  `json:",omitempty"`
	}
	// KeysRetry says how often it is asked again.
	KeysRetry struct {
		NumRetries         int          `json:",omitempty"`
		RetryPolicyBackOff *KeysBackOff `json:",omitempty"`
	}
	// KeysBackOff says after how long.
	KeysBackOff struct {
		BaseInterval time.Duration `json:",omitempty"`
		MaxInterval  time.Duration `json:",omitempty"`
	}
	// KeysCluster says how it is found.
	KeysCluster struct {
		DiscoveryType   string        `json:",omitempty"`
		TLSCertificates *KeysTLS      `json:",omitempty"`
		ConnectTimeout  time.Duration `json:",omitempty"`
	}
	// KeysTLS says whom to trust.
	KeysTLS struct {
		CaCertificateProviderInstance *KeysTLSProvider `json:",omitempty"`
		TrustedCA                     *KeysTLSCA       `json:",omitempty"`
	}
	// KeysTLSProvider is a provider of certificates.
	KeysTLSProvider struct {
		InstanceName    string `json:",omitempty"`
		CertificateName string `json:",omitempty"`
	}
	// KeysTLSCA is a certificate authority.
	KeysTLSCA struct {
		Filename            string `json:",omitempty"`
		EnvironmentVariable string `json:",omitempty"`
		InlineString        string `json:",omitempty"`
		InlineBytes         []byte `json:",omitempty"`
	}
	// JWTLocation is where in a request its token is: one of them.
	JWTLocation struct {
		Header     *JWTHeader `json:",omitempty"`
		QueryParam *JWTParam  `json:",omitempty"`
		Cookie     *JWTParam  `json:",omitempty"`
	}
	// JWTHeader is a header.
	JWTHeader struct {
		Name        string `json:",omitempty"`
		ValuePrefix string `json:",omitempty"`
		Forward     bool   `json:",omitempty"`
	}
	// JWTParam is a parameter or a cookie.
	JWTParam struct {
		Name string `json:",omitempty"`
	}
	// JWTForwarding hands on what the token says.
	JWTForwarding struct {
		HeaderName              string `json:",omitempty"`
		PadForwardPayloadHeader bool   `json:",omitempty"`
	}
	// JWTCache is for tokens.
	JWTCache struct {
		Size int `json:",omitempty"`
	}
	// JWTRequirement is a token that a request must bring.
	JWTRequirement struct {
		Providers []*JWTRequired `json:",omitempty"`
	}
	// JWTRequired says whose.
	JWTRequired struct {
		Name         string      `json:",omitempty"`
		VerifyClaims []*JWTClaim `json:",omitempty"`
	}
	// JWTClaim is what it must say.
	JWTClaim struct {
		Path  []string `json:",omitempty"`
		Value string   `json:",omitempty"`
	}
)

func (j *JWTProvider) normalize() {}

func (j *JWTProvider) validate(*Entry) error {
	keys := j.JSONWebKeySet
	switch {
	case keys == nil:
		return fault.Newf(fault.Invalid, "JSONWebKeySet is required")
	case (keys.Local == nil) == (keys.Remote == nil):
		return fault.Newf(fault.Invalid, "must specify exactly one of Local or Remote JSON Web key set")
	case keys.Remote != nil && keys.Remote.URI == "":
		return fault.Newf(fault.Invalid, "Remote JWKS URI is required")
	}
	if l := keys.Local; l != nil {
		if set(l.JWKS, l.Filename) != 1 {
			return fault.Newf(fault.Invalid, "must specify exactly one of String or filename for local keyset")
		}
		if l.JWKS != "" {
			text, err := base64.StdEncoding.DecodeString(l.JWKS)
			if err != nil || !json.Valid(text) {
				return fault.Newf(fault.Invalid, "JWKS must be a valid JSON Web key set, encoded in base64")
			}
		}
	}
	for i, l := range j.Locations {
		if l == nil || one(l.Header != nil)+one(l.QueryParam != nil)+one(l.Cookie != nil) != 1 {
			return fault.Newf(fault.Invalid, "Locations[%d]: must set exactly one of: JWT location header, query param or cookie", i)
		}
	}
	if f := j.Forwarding; f != nil && f.HeaderName == "" {
		return fault.Newf(fault.Invalid, "Header name required for forwarding config")
	}
	return nil
}
