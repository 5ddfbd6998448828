package command

import (
	"github.com/hashicorp/consul/api"
)

// clientFlags are the flags of every command that asks an agent.
type clientFlags struct {
	addr, token, tokenFile               string
	caFile, caPath, certFile, keyFile    string
	tlsServerName, datacenter, namespace string
	partition                            string
	stale                                bool
	names                                map[string]bool
}

// WithClient adds the flags of the HTTP API; with read also those that choose a
// datacenter and permit stale answers.
func (c *Command) WithClient(read bool) *Command {
	f := &clientFlags{names: map[string]bool{}}
	c.client = f
	text := func(p *string, name, usage string) {
		c.Flags.StringVar(p, name, "", usage)
		f.names[name] = true
	}
	text(&f.addr, "http-addr", "Address of the agent: host:port, a URL, or unix:///path of its socket. Also CONSUL_HTTP_ADDR. Default: http://127.0.0.1:8500.")
	text(&f.token, "token", "ACL token to send. Also CONSUL_HTTP_TOKEN. Without one the agent uses its own default token.")
	text(&f.tokenFile, "token-file", "File that holds the ACL token. Also CONSUL_HTTP_TOKEN_FILE.")
	text(&f.caFile, "ca-file", "File with the certificate authority to check the agent's certificate against. Also CONSUL_CACERT.")
	text(&f.caPath, "ca-path", "Directory with certificate authorities. Also CONSUL_CAPATH.")
	text(&f.certFile, "client-cert", "File with the client certificate, where the agent asks for one. Also CONSUL_CLIENT_CERT.")
	text(&f.keyFile, "client-key", "File with the key of the client certificate. Also CONSUL_CLIENT_KEY.")
	text(&f.tlsServerName, "tls-server-name", "Name to expect in the agent's certificate. Also CONSUL_TLS_SERVER_NAME.")
	text(&f.namespace, "namespace", "Accepted for scripts that pass it; there is one namespace.")
	text(&f.partition, "partition", "Accepted for scripts that pass it; there is one partition.")
	if read {
		text(&f.datacenter, "datacenter", "Datacenter to ask. Default: that of the agent.")
		c.Flags.BoolVar(&f.stale, "stale", false, "Let any server answer, even one that may be behind the leader.")
		f.names["stale"] = true
	}
	return c
}

// Open makes an API client: the environment first, flags over it. It says what
// is wrong itself.
func (c *Command) Open() (*api.Client, bool) {
	cfg := api.DefaultConfig()
	for _, o := range []struct {
		to   *string
		from string
	}{
		{&cfg.Address, c.client.addr}, {&cfg.Token, c.client.token}, {&cfg.TokenFile, c.client.tokenFile},
		{&cfg.TLSConfig.CAFile, c.client.caFile}, {&cfg.TLSConfig.CAPath, c.client.caPath},
		{&cfg.TLSConfig.CertFile, c.client.certFile}, {&cfg.TLSConfig.KeyFile, c.client.keyFile},
		{&cfg.TLSConfig.Address, c.client.tlsServerName}, {&cfg.Datacenter, c.client.datacenter},
	} {
		if o.from != "" {
			*o.to = o.from
		}
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		c.Fail("Error connecting to Consul agent: %s", err)
		return nil, false
	}
	return client, true
}

// Query are the options of a read, as the flags have them.
func (c *Command) Query() *api.QueryOptions {
	return &api.QueryOptions{Datacenter: c.client.datacenter, AllowStale: c.client.stale}
}

// Write are the options of a write, as the flags have them.
func (c *Command) Write() *api.WriteOptions {
	return &api.WriteOptions{Datacenter: c.client.datacenter}
}
