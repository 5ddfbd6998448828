package tlsx

import (
	"crypto/tls"
	"slices"
	"strings"

	"consul.internal/internal/fault"
)

// Config of all doors.
type Config struct {
	// Datacenter and Domain make the name that servers' certificates carry:
	// server.DATACENTER.DOMAIN.
	Datacenter string
	Domain     string
	// Server says that this agent is a server, whose own certificate must carry
	// that name to be let into raft.
	Server bool

	InternalRPC Part
	HTTPS       Part
	GRPC        Part
}

// Part is what a block of tls says about one door, with the block of defaults
// already laid under it.
type Part struct {
	CAFile   string // file with authorities
	CAPath   string // directory with files of authorities, taken besides CAFile
	CertFile string // certificate and those between it and the authority
	KeyFile  string // key of the certificate

	MinVersion   string // TLSv1_0 to TLSv1_3; "" = TLSv1_2
	CipherSuites string // names parted by commas; "" = the safe ones

	VerifyIncoming bool // nobody comes in without a certificate of an authority
	VerifyOutgoing bool // TLS towards others, whose certificates are verified
	// VerifyServerHostname demands the name server.DATACENTER.DOMAIN of servers,
	// and implies VerifyOutgoing: a name that nobody verifies protects nothing.
	// For InternalRPC alone.
	VerifyServerHostname bool
}

// versions as they are written in files; the short forms are the older ones.
func version(name string) (uint16, error) {
	switch name {
	case "TLSv1_0", "tls10":
		return tls.VersionTLS10, nil
	case "TLSv1_1", "tls11":
		return tls.VersionTLS11, nil
	case "", "TLSv1_2", "tls12":
		return tls.VersionTLS12, nil
	case "TLSv1_3", "tls13":
		return tls.VersionTLS13, nil
	}
	return 0, fault.Newf(fault.Invalid, "tls_min_version %q is not known; it is one of TLSv1_0, TLSv1_1, TLSv1_2, TLSv1_3", name)
}

// suites finds cipher suites by name; weak are those that are no longer safe.
func suites(list string) (ids []uint16, weak []string, err error) {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		named := func(s *tls.CipherSuite) bool { return s.Name == name }
		good, bad := tls.CipherSuites(), tls.InsecureCipherSuites()
		if i := slices.IndexFunc(good, named); i >= 0 {
			if slices.Equal(good[i].SupportedVersions, []uint16{tls.VersionTLS13}) {
				return nil, nil, fault.Newf(fault.Invalid, "tls_cipher_suites: %s belongs to TLS 1.3, whose suites are all safe and cannot be chosen; leave it out", name)
			}
			ids = append(ids, good[i].ID)
		} else if i := slices.IndexFunc(bad, named); i >= 0 {
			ids = append(ids, bad[i].ID)
			weak = append(weak, name)
		} else {
			return nil, nil, fault.Newf(fault.Invalid, "tls_cipher_suites: no suite is called %q; names are such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", name)
		}
	}
	return ids, weak, nil
}
