package roster

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
)

// Roles as the tag has them.
const (
	RoleServer = "consul"
	RoleClient = "node"
)

// Identity is what an agent says of itself.
type Identity struct {
	Name       string
	ID         string // a UUID
	Datacenter string
	Segment    string
	Build      string // version, as "1.21.0:revision"
	Extra      map[string]string
	// Reconnect is how long a client wants to be remembered after it failed; 0 = as
	// long as the others do. Servers are never forgotten sooner: their votes count.
	Reconnect time.Duration

	Server      bool // the rest is of servers only
	ServerPort  int  // for calls and raft
	Bootstrap   bool
	Expect      int
	ReadReplica bool   // never votes
	Level       int    // highest level of log commands that it understands; 0 = not said
	Cluster     string // ID of the raft cluster that it belongs to; "" = none yet
	WANPort     int    // where it gossips with the servers of other datacenters; 0 = nowhere
	// WANAddr is the address of WANPort if that is not the one of the datacenter's
	// own gossip. The servers of the datacenter reach it there.
	WANAddr netip.Addr
}

var (
	validID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	validDC = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
)

const (
	// maxDatacenter keeps all tags together below serf's 512 bytes.
	maxDatacenter = 64
	// maxExpect is far above any number of servers that makes sense.
	maxExpect = 1000
)

// Validate tells what is wrong.
func (i Identity) Validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fault.Newf(fault.Invalid, format, args...))
		}
	}
	wrong(!validID.MatchString(i.ID), "node ID %q is not a UUID", i.ID)
	wrong(!validDC.MatchString(i.Datacenter) || len(i.Datacenter) > maxDatacenter,
		"datacenter %q has characters other than letters, digits, '-' and '_', or more than %d", i.Datacenter, maxDatacenter)
	wrong(i.Reconnect < 0, "the time to be remembered is negative: %v", i.Reconnect)
	if i.Server {
		wrong(i.Reconnect != 0, "a server cannot say how long it is remembered")
		wrong(i.ServerPort < 1 || i.ServerPort > 65535, "server port %d is none", i.ServerPort)
		wrong(i.Expect < 0 || i.Expect > maxExpect, "bootstrap_expect %d is out of range", i.Expect)
	}
	return errors.Join(errs...)
}

// Tags are the identity as members see it.
func (i Identity) Tags() map[string]string {
	tags := map[string]string{}
	maps.Copy(tags, i.Extra)
	maps.Copy(tags, map[string]string{
		"role": RoleClient, "dc": i.Datacenter, "id": i.ID, "build": i.Build,
		"vsn": "2", "vsn_min": "2", "vsn_max": "3", "segment": i.Segment,
	})
	if !i.Server {
		if i.Reconnect > 0 {
			tags[gossip.TagReconnect] = i.Reconnect.String()
		}
		return tags
	}
	tags["role"], tags["port"], tags["raft_vsn"] = RoleServer, strconv.Itoa(i.ServerPort), "3"
	if i.Bootstrap {
		tags["bootstrap"] = "1"
	}
	if i.Expect > 0 {
		tags["expect"] = strconv.Itoa(i.Expect)
	}
	if i.ReadReplica {
		tags["read_replica"] = "1"
	}
	if i.Level > 0 {
		tags["level"] = strconv.Itoa(i.Level)
	}
	if i.Cluster != "" {
		tags["cluster"] = i.Cluster
	}
	if i.WANPort > 0 {
		tags["wan_join_port"] = strconv.Itoa(i.WANPort)
		if i.WANAddr.IsValid() {
			tags["wan_join_addr"] = i.WANAddr.String()
		}
	}
	return tags
}

// Server is a member that serves.
type Server struct {
	ID         string
	Name       string
	Datacenter string
	Segment    string
	Addr       netip.AddrPort // for calls and raft
	Expect     int
	Bootstrap  bool
	NonVoter   bool
	Build      string
	RaftVsn    int
	Level      int
	Cluster    string
	WAN        netip.AddrPort // where it gossips with the servers of other datacenters; port 0 = nowhere
	Status     gossip.Status
}

// Member is one agent of a pool.
type Member struct {
	gossip.Member
	Server *Server // nil if it is a client
}

// NotServer is the error for members that are clients.
const NotServer = fault.NotFound

// ParseServer reads a server's tags. For a client the error is NotServer; else it
// tells what is wrong.
func ParseServer(m gossip.Member) (Server, error) {
	if m.Tags["role"] != RoleServer {
		return Server{}, fault.Newf(NotServer, "member %q is not a server", m.Name)
	}
	s := Server{
		ID: m.ID, Name: m.Name, Datacenter: m.Tags["dc"], Segment: m.Tags["segment"], Build: m.Tags["build"], Status: m.Status, Cluster: m.Tags["cluster"],
		Bootstrap: m.Tags["bootstrap"] == "1", NonVoter: m.Tags["read_replica"] == "1" || m.Tags["nonvoter"] == "1",
	}
	if !validID.MatchString(s.ID) || !validDC.MatchString(s.Datacenter) || len(s.Datacenter) > maxDatacenter || !m.Addr.IsValid() {
		return Server{}, fault.Newf(fault.Invalid, "server %q does not say who it is", m.Name)
	}
	port, err := number(m.Tags, "port", 1, 65535)
	if err != nil || port == 0 {
		return Server{}, fault.Newf(fault.Invalid, "server %q has no port", m.Name)
	}
	s.Addr = netip.AddrPortFrom(m.Addr, uint16(port))
	var errs [4]error
	wan := 0
	wan, errs[3] = number(m.Tags, "wan_join_port", 0, 65535)
	s.WAN = netip.AddrPortFrom(m.Addr, uint16(wan))
	if text, ok := m.Tags["wan_join_addr"]; ok {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return Server{}, fault.Newf(fault.Invalid, "server %q: wan_join_addr %.100q is no address", m.Name, text)
		}
		s.WAN = netip.AddrPortFrom(addr, uint16(wan))
	}
	s.Expect, errs[0] = number(m.Tags, "expect", 0, maxExpect)
	s.RaftVsn, errs[1] = number(m.Tags, "raft_vsn", 0, 255)
	s.Level, errs[2] = number(m.Tags, "level", 0, 1<<30)
	if err := errors.Join(errs[:]...); err != nil {
		return Server{}, fault.Newf(fault.Invalid, "server %q: %w", m.Name, err)
	}
	return s, nil
}

// number reads a tag; one that is not there is 0.
func number(tags map[string]string, name string, low, high int) (int, error) {
	text, ok := tags[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("tag %s is %.20q", name, text)
	}
	return n, nil
}

// Check admits members of this datacenter who say who they are.
func (i Identity) Check(m gossip.Member) error {
	if dc := m.Tags["dc"]; !strings.EqualFold(dc, i.Datacenter) {
		return fault.Newf(fault.Denied, "Member '%s' part of wrong datacenter '%.64s'; this agent is of '%s'", m.Name, dc, i.Datacenter)
	}
	if segment := m.Tags["segment"]; segment != i.Segment {
		return fault.Newf(fault.Denied, "Member '%s' part of wrong segment '%.64s' (expected '%s')", m.Name, segment, i.Segment)
	}
	if !validID.MatchString(m.ID) {
		return fault.Newf(fault.Denied, "Member '%s' has no node ID", m.Name)
	}
	switch m.Tags["role"] {
	case RoleClient:
		return nil
	case RoleServer:
		_, err := ParseServer(m)
		return err
	}
	return fault.Newf(fault.Denied, "Member '%s' is neither server nor client", m.Name)
}

// Read makes a member of one that gossips.
func Read(m gossip.Member) Member {
	out := Member{Member: m}
	if s, err := ParseServer(m); err == nil {
		out.Server = &s
	}
	return out
}
