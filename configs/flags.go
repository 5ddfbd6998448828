package configs

import (
	"flag"
	"fmt"
	"strconv"
	"strings"

	"consul.internal/internal/fault"
	"consul.internal/internal/hclconf"
)

// Input names the sources of a configuration.
type Input struct {
	Files     []string // files and directories, in order
	Format    string   // "hcl" or "json" for files of other extensions; "" refuses those
	Dev       bool
	Fragments []string // HCL texts, named flags-0.hcl and so on in messages

	// CheckOnly makes findings about this machine's network warnings, since the
	// configuration may be meant for another one.
	CheckOnly bool

	values []*flagValue
}

// flagKind is how the text of a flag becomes a value.
type flagKind uint8

const (
	textFlag flagKind = iota
	intFlag
	boolFlag
	listFlag
	mapFlag // key:value
)

// flagDef ties a flag to the key that it sets.
type flagDef struct {
	name  string
	key   string
	kind  flagKind
	usage string
}

// flagDefs are all flags that stand for a key.
func flagDefs() []flagDef {
	return []flagDef{
		{"advertise", "advertise_addr", textFlag, "Address that other agents of the datacenter reach this one by."},
		{"advertise-wan", "advertise_addr_wan", textFlag, "Address that servers of other datacenters reach this one by."},
		{"allow-write-http-from", "http_config.allow_write_http_from", listFlag, "Network that may write over HTTP, as CIDR. May be repeated."},
		{"alt-domain", "alt_domain", textFlag, "Second DNS domain to answer."},
		{"auto-reload-config", "auto_reload_config", boolFlag, "Reload when a configuration file changes."},
		{"bind", "bind_addr", textFlag, "Address for traffic between agents."},
		{"bootstrap", "bootstrap", boolFlag, "Let this server alone start the cluster."},
		{"bootstrap-expect", "bootstrap_expect", intFlag, "Number of servers that start the cluster together."},
		{"check_output_max_size", "check_output_max_size", intFlag, "Bytes of check output that are kept."},
		{"client", "client_addr", textFlag, "Addresses for DNS and HTTP, parted by blanks."},
		{"data-dir", "data_dir", textFlag, "Directory for everything that must survive a restart."},
		{"datacenter", "datacenter", textFlag, "Datacenter of the agent."},
		{"dc", "datacenter", textFlag, "Older name of -datacenter."},
		{"default-query-time", "default_query_time", textFlag, "How long a blocking query waits if it names no time."},
		{"disable-host-node-id", "disable_host_node_id", boolFlag, "Do not derive the node ID from the machine."},
		{"disable-keyring-file", "disable_keyring_file", boolFlag, "Keep gossip keys in memory only."},
		{"dns-port", "ports.dns", intFlag, "Port of DNS."},
		{"domain", "domain", textFlag, "DNS domain to answer."},
		{"enable-local-script-checks", "enable_local_script_checks", boolFlag, "Allow script checks of configuration files."},
		{"enable-script-checks", "enable_script_checks", boolFlag, "Allow script checks, also such as come over HTTP."},
		{"encrypt", "encrypt", textFlag, "Gossip key."},
		{"grpc-port", "ports.grpc", intFlag, "Port of gRPC."},
		{"grpc-tls-port", "ports.grpc_tls", intFlag, "Port of gRPC with TLS."},
		{"http-port", "ports.http", intFlag, "Port of HTTP."},
		{"https-port", "ports.https", intFlag, "Port of HTTPS."},
		{"join", "retry_join", listFlag, "Older name of -retry-join. May be repeated."},
		{"join-wan", "retry_join_wan", listFlag, "Older name of -retry-join-wan. May be repeated."},
		{"log-file", "log_file", textFlag, "File to log to as well."},
		{"log-json", "log_json", boolFlag, "Log in JSON."},
		{"log-level", "log_level", textFlag, "TRACE, DEBUG, INFO, WARN or ERROR."},
		{"log-rotate-bytes", "log_rotate_bytes", intFlag, "Size at which the log file is changed."},
		{"log-rotate-duration", "log_rotate_duration", textFlag, "Age at which the log file is changed."},
		{"log-rotate-max-files", "log_rotate_max_files", intFlag, "Old log files kept."},
		{"max-query-time", "max_query_time", textFlag, "How long a blocking query may wait."},
		{"node", "node_name", textFlag, "Name of this node; must be unique in the cluster."},
		{"node-id", "node_id", textFlag, "UUID of this node."},
		{"node-meta", "node_meta", mapFlag, "Pair key:value shown with this node. May be repeated."},
		{"non-voting-server", "read_replica", boolFlag, "Older name of -read-replica."},
		{"pid-file", "pid_file", textFlag, "File to write the process ID to."},
		{"primary-gateway", "primary_gateways", listFlag, "Mesh gateway of the primary datacenter. May be repeated."},
		{"protocol", "protocol", intFlag, "Version of the gossip protocol."},
		{"raft-protocol", "raft_protocol", intFlag, "Version of the raft protocol."},
		{"read-replica", "read_replica", boolFlag, "Server without a vote."},
		{"recursor", "recursors", listFlag, "DNS server for names outside of the domain. May be repeated."},
		{"rejoin", "rejoin_after_leave", boolFlag, "Join the former cluster again after a leave."},
		{"retry-interval", "retry_interval", textFlag, "Pause between attempts to join."},
		{"retry-interval-wan", "retry_interval_wan", textFlag, "Pause between attempts to join over the WAN."},
		{"retry-join", "retry_join", listFlag, "Agent to join, tried until one answers. May be repeated."},
		{"retry-join-wan", "retry_join_wan", listFlag, "Server of another datacenter to join. May be repeated."},
		{"retry-max", "retry_max", intFlag, "Attempts to join; 0 never gives up."},
		{"retry-max-wan", "retry_max_wan", intFlag, "Attempts to join over the WAN; 0 never gives up."},
		{"segment", "segment", textFlag, "Network segment of this agent."},
		{"serf-lan-allowed-cidrs", "serf_lan_allowed_cidrs", listFlag, "Network that may gossip inside the datacenter. May be repeated."},
		{"serf-lan-bind", "serf_lan", textFlag, "Address for gossip inside the datacenter."},
		{"serf-lan-port", "ports.serf_lan", intFlag, "Port of gossip inside the datacenter."},
		{"serf-wan-allowed-cidrs", "serf_wan_allowed_cidrs", listFlag, "Network that may gossip between datacenters. May be repeated."},
		{"serf-wan-bind", "serf_wan", textFlag, "Address for gossip between datacenters."},
		{"serf-wan-port", "ports.serf_wan", intFlag, "Port of gossip between datacenters."},
		{"server", "server", boolFlag, "Run as a server."},
		{"server-port", "ports.server", intFlag, "Port of calls between agents."},
		{"syslog", "enable_syslog", boolFlag, "Log to syslog as well."},
		{"ui", "ui_config.enabled", boolFlag, "Serve the web interface."},
		{"ui-content-path", "ui_config.content_path", textFlag, "Path of the web interface."},
		{"ui-dir", "ui_config.dir", textFlag, "Directory with another web interface."},
	}
}

// flagValue collects what a flag was given.
type flagValue struct {
	def   flagDef
	given []string
}

func (v *flagValue) String() string {
	if v == nil {
		return ""
	}
	return strings.Join(v.given, ",")
}

// IsBoolFlag lets "-server" stand for "-server=true".
func (v *flagValue) IsBoolFlag() bool { return v.def.kind == boolFlag }

func (v *flagValue) Set(s string) error {
	switch v.def.kind {
	case intFlag:
		if _, err := strconv.Atoi(s); err != nil {
			return fmt.Errorf("not a whole number")
		}
	case boolFlag:
		if _, err := strconv.ParseBool(s); err != nil {
			return fmt.Errorf("neither true nor false")
		}
	case mapFlag:
		if k, _, ok := strings.Cut(s, ":"); !ok || k == "" {
			return fmt.Errorf("not of the form key:value")
		}
	}
	v.given = append(v.given, s)
	return nil
}

// FlagSet returns the flags of the agent command. Parsing it fills the Input.
func (in *Input) FlagSet() *flag.FlagSet {
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	in.values = nil
	for _, def := range flagDefs() {
		v := &flagValue{def: def}
		in.values = append(in.values, v)
		fs.Var(v, def.name, def.usage)
	}
	path := func(s string) error {
		in.Files = append(in.Files, s)
		return nil
	}
	fs.Func("config-file", "Configuration `file` in HCL or JSON. May be repeated.", path)
	fs.Func("config-dir", "Directory whose .hcl and .json files are read, in the order of their names. May be repeated.", path)
	fs.StringVar(&in.Format, "config-format", in.Format, "Format of files without a known extension: hcl or json.")
	fs.BoolVar(&in.Dev, "dev", in.Dev, "Start one server in memory, for trying out. Loses everything at the end.")
	fs.Func("hcl", "HCL `fragment`, merged after the files. May be repeated.", func(s string) error {
		in.Fragments = append(in.Fragments, s)
		return nil
	})
	return fs
}

// Extra is the error for arguments behind the flags.
func Extra(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fault.Newf(fault.Invalid, "Unexpected extra arguments: %v", args)
}

// flagTree makes a tree of the flags, as if a file had said it.
func (in *Input) flagTree() *hclconf.Node {
	root := &hclconf.Node{Kind: hclconf.Object, Range: hclconf.Range{Filename: "flags"}}
	for _, v := range in.values {
		if len(v.given) == 0 {
			continue
		}
		rng := hclconf.Range{Filename: "flag -" + v.def.name}
		last := v.given[len(v.given)-1]
		n := &hclconf.Node{Range: rng}
		switch v.def.kind {
		case textFlag:
			n.Kind, n.Text = hclconf.String, last
		case intFlag:
			i, _ := strconv.Atoi(last) // checked by Set
			n.Kind, n.Text = hclconf.Number, strconv.Itoa(i)
		case boolFlag:
			n.Kind = hclconf.Bool
			n.Bool, _ = strconv.ParseBool(last) // checked by Set
		case listFlag:
			n.Kind = hclconf.List
			for _, s := range v.given {
				n.Items = append(n.Items, &hclconf.Node{Kind: hclconf.String, Text: s, Range: rng})
			}
		case mapFlag:
			n.Kind = hclconf.Object
			for _, s := range v.given {
				k, val, _ := strings.Cut(s, ":")
				n.Graft([]string{k}, hclconf.Field{KeyRange: rng, Value: &hclconf.Node{Kind: hclconf.String, Text: val, Range: rng}})
			}
		}
		root.Graft(strings.Split(v.def.key, "."), hclconf.Field{KeyRange: rng, Value: n})
	}
	return root
}
