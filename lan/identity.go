package lan

import (
	"consul.internal/internal/gossip"
	"consul.internal/internal/gossip/roster"
)

// What agents say of themselves is the same in all pools.
type (
	// Identity is what this agent says of itself.
	Identity = roster.Identity
	// Server is a member that serves.
	Server = roster.Server
	// Member is one agent of the datacenter.
	Member = roster.Member
)

// Roles as the tag has them.
const (
	RoleServer = roster.RoleServer
	RoleClient = roster.RoleClient
)

// NotServer is the error for members that are clients.
const NotServer = roster.NotServer

// ParseServer reads a server's tags.
func ParseServer(m gossip.Member) (Server, error) { return roster.ParseServer(m) }
