package operate

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"consul.internal/cmd/consul/command"
	"consul.internal/internal/durable"
	"consul.internal/internal/tlsx"
)

const (
	// authorityDays is the known default: five years, since every certificate has
	// to be made anew with the authority.
	authorityDays = 1825
	// certificateDays is the known default of one year.
	certificateDays = 365
	// certificateMode is that of certificates, which are no secret; keys have durable's.
	certificateMode fs.FileMode = 0o644
	// backdate lets machines whose clocks are somewhat behind take a new certificate.
	backdate = time.Minute
)

func tlsCommand(a *command.App) *command.Command {
	return a.Parent("consul tls <subcommand> <subcommand> [options]", "Makes certificates for agents",
		"Makes a certificate authority and certificates for agents, in files.\nNo agent is asked.\n\n    consul tls ca create\n    consul tls cert create -server\n    consul tls cert create -client")
}

func tlsCACommand(a *command.App) *command.Command {
	return a.Parent("consul tls ca <subcommand> [options]", "Makes certificate authorities",
		"Makes the certificate authority that signs the certificates of all agents.\n\n    consul tls ca create")
}

func tlsCertCommand(a *command.App) *command.Command {
	return a.Parent("consul tls cert <subcommand> [options]", "Makes certificates",
		"Makes certificates that are signed by the certificate authority.\n\n    consul tls cert create -server\n    consul tls cert create -client\n    consul tls cert create -cli")
}

func tlsCACreateCommand(a *command.App) *command.Command {
	c := a.New("consul tls ca create [options]", "Makes a certificate authority",
		"Makes a certificate authority in DOMAIN-agent-ca.pem and its key in\nDOMAIN-agent-ca-key.pem, in the current directory. Files that exist are kept.\nEvery agent needs the first; the key belongs on no agent, and in a safe place.")
	days := c.Flags.Int("days", authorityDays, "Days for which it is valid. Default: 1825.")
	domain := c.Flags.String("domain", "consul", "DNS domain of the cluster, and the beginning of the files' names. Default: consul.")
	name := c.Flags.String("common-name", "", "Common name of the authority. Default: Consul Agent CA and a number.")
	cluster := c.Flags.String("cluster-id", "", "ID of the cluster, from which a SPIFFE ID of the authority is made.")
	constrain := c.Flags.Bool("name-constraint", false, "Let the authority sign for localhost, -domain and -additional-name-constraint only. Cannot be changed later; a name under which people reach HTTPS must be among them.")
	var more command.List
	c.Flags.Var(&more, "additional-name-constraint", "A further domain to sign for, with -name-constraint. May be repeated.")
	c.Do = func(args []string) int {
		if !c.NoArguments(args) || !daysAndDomain(c, *days, *domain) {
			return 1
		}
		if len(more) > 0 && !*constrain {
			c.Fail("-additional-name-constraint requires -name-constraint")
			return 1
		}
		certFile, keyFile := *domain+"-agent-ca.pem", *domain+"-agent-ca-key.pem"
		for _, f := range []string{certFile, keyFile} {
			if taken(f) {
				c.Fail("%s already exists.", f)
				return 1
			}
		}
		from := time.Now().Add(-backdate)
		pair, err := tlsx.MintAuthority(tlsx.AuthorityRequest{
			CommonName: *name, Domain: *domain, ClusterID: *cluster, Constrain: *constrain, Permitted: more,
			NotBefore: from, NotAfter: time.Now().AddDate(0, 0, *days),
		})
		if err != nil {
			c.Fail("Error creating CA: %v", err)
			return 1
		}
		return savePair(c, certFile, keyFile, pair)
	}
	return c
}

func tlsCertCreateCommand(a *command.App) *command.Command {
	c := a.New("consul tls cert create [options]", "Makes a certificate",
		"Makes a certificate that is signed by the authority, and its key, in the current\ndirectory: DC-server-DOMAIN-0.pem and DC-server-DOMAIN-0-key.pem, or with client\nor cli in place of server. The number is the first that is free.\n\nThe certificate of a server is valid for server.DC.DOMAIN. Whoever has its key\ncan become a server, and see and change everything: put it on servers only.")
	server := c.Flags.Bool("server", false, "For a server.")
	client := c.Flags.Bool("client", false, "For an agent that is no server.")
	person := c.Flags.Bool("cli", false, "For a person or program that calls an agent.")
	r := tlsx.Request{}
	c.Flags.StringVar(&r.Datacenter, "dc", "dc1", "Datacenter. Default: dc1.")
	c.Flags.StringVar(&r.Domain, "domain", "consul", "DNS domain of the cluster. Default: consul.")
	c.Flags.StringVar(&r.Node, "node", "", "Name of the server's node, which adds NODE.server.DC.DOMAIN. Only with -server.")
	ca := c.Flags.String("ca", "", "File of the authority. Default: DOMAIN-agent-ca.pem.")
	key := c.Flags.String("key", "", "File of the authority's key. Default: DOMAIN-agent-ca-key.pem.")
	days := c.Flags.Int("days", certificateDays, "Days for which it is valid. Default: 365.")
	var names, ips command.List
	c.Flags.Var(&names, "additional-dnsname", "A further DNS name; localhost is always one. May be repeated.")
	c.Flags.Var(&ips, "additional-ipaddress", "A further IP address; 127.0.0.1 is always one, but with -cli. May be repeated.")
	c.Do = func(args []string) int {
		if !c.NoArguments(args) {
			return 1
		}
		var roles []tlsx.Role
		if *server {
			roles = append(roles, tlsx.Server)
		}
		if *client {
			roles = append(roles, tlsx.Client)
		}
		if *person {
			roles = append(roles, tlsx.CLI)
		}
		if len(roles) != 1 {
			c.Fail("Please provide either -server, -client, or -cli")
			return 1
		}
		r.Role = roles[0]
		return createCert(c, r, names, ips, *ca, *key, *days)
	}
	return c
}

func createCert(c *command.Command, r tlsx.Request, names, ips []string, ca, key string, days int) int {
	if r.Node != "" && r.Role != tlsx.Server {
		c.Fail("-node requires -server")
		return 1
	}
	if !daysAndDomain(c, days, r.Domain) {
		return 1
	}
	if !label(r.Datacenter) || r.Node != "" && !label(r.Node) {
		c.Fail("-dc and -node must be names without dots, slashes and blanks")
		return 1
	}
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			r.DNSNames = append(r.DNSNames, n)
		}
	}
	for _, text := range ips {
		ip := net.ParseIP(strings.TrimSpace(text))
		if ip == nil {
			c.Fail("-additional-ipaddress %q is no IP address", text)
			return 1
		}
		r.IPs = append(r.IPs, ip)
	}
	r.Domain = strings.ToLower(r.Domain)
	if ca == "" {
		ca = r.Domain + "-agent-ca.pem"
	}
	if key == "" {
		key = r.Domain + "-agent-ca-key.pem"
	}
	authority, ok := readAuthority(c, ca, key)
	if !ok {
		return 1
	}
	r.NotBefore, r.NotAfter = time.Now().Add(-backdate), time.Now().AddDate(0, 0, days)
	pair, err := authority.Mint(r)
	if err != nil {
		c.Fail("Error creating certificate: %v", err)
		return 1
	}
	if r.Role == tlsx.Server {
		c.Fail("==> WARNING: With this certificate and its key one can become a server, and see\n    and change everything in the cluster, ACL tokens and keys included. Put them on\n    servers only, and keep them as safe as the key of the CA.")
	}
	certFile, keyFile := freeNames(fmt.Sprintf("%s-%s-%s", r.Datacenter, r.Role, r.Domain))
	c.Say("==> Using %s and %s", ca, key)
	return savePair(c, certFile, keyFile, pair)
}

func readAuthority(c *command.Command, ca, key string) (*tlsx.Authority, bool) {
	certPEM, err := os.ReadFile(ca)
	if err != nil {
		c.Fail("Error reading CA: %v", err)
		return nil, false
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		c.Fail("Error reading CA key: %v", err)
		return nil, false
	}
	a, err := tlsx.ReadAuthority(tlsx.Pair{Cert: certPEM, Key: keyPEM})
	if err != nil {
		c.Fail("Error using %s and %s: %v", ca, key, err)
		return nil, false
	}
	return a, true
}

// daysAndDomain refuses what would make a certificate or file that is of no use.
func daysAndDomain(c *command.Command, days int, domain string) bool {
	switch {
	case days <= 0:
		c.Fail("-days must be more than 0")
	case domain == "" || strings.ContainsAny(domain, "/ ") || strings.HasPrefix(domain, "."):
		c.Fail("-domain %q is no domain", domain)
	default:
		return true
	}
	return false
}

func label(s string) bool { return s != "" && !strings.ContainsAny(s, "./ ") }

func taken(file string) bool {
	_, err := os.Lstat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// freeNames finds the first number that neither file has.
func freeNames(base string) (certFile, keyFile string) {
	for i := 0; ; i++ {
		certFile, keyFile = fmt.Sprintf("%s-%d.pem", base, i), fmt.Sprintf("%s-%d-key.pem", base, i)
		if !taken(certFile) && !taken(keyFile) {
			return certFile, keyFile
		}
	}
}

// savePair writes a certificate and its key, or neither. The file of the key is
// never readable for others, not even for a moment.
func savePair(c *command.Command, certFile, keyFile string, p tlsx.Pair) int {
	if err := durable.WriteFile(keyFile, p.Key); err != nil {
		c.Fail("Error saving %s: %v", keyFile, err)
		return 1
	}
	err := durable.WriteFile(certFile, p.Cert)
	if err == nil {
		err = os.Chmod(certFile, certificateMode)
	}
	if err != nil {
		c.Fail("Error saving %s: %v", certFile, errors.Join(err, durable.Remove(keyFile)))
		return 1
	}
	c.Say("==> Saved %s", certFile)
	c.Say("==> Saved %s", keyFile)
	return 0
}
