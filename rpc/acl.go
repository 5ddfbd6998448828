package rpc

import (
	"slices"
	"strings"
	"time"

	"consul.internal/acl"
)

// Operations on tokens, policies and roles.
var (
	ACLBootstrap    = Method[ACLBootstrapRequest, ACLTokenReply]{Name: "ACL.Bootstrap"}
	ACLResolve      = Method[ACLResolveRequest, ACLResolveReply]{Name: "ACL.Resolve", Idempotent: true}
	ACLReplication  = Method[ACLReplicationRequest, ACLReplicationReply]{Name: "ACL.Replication", Idempotent: true}
	ACLPermitted    = Method[ACLPermittedRequest, Empty]{Name: "ACL.Permitted", Idempotent: true}
	ACLTokenSet     = Method[ACLTokenSetRequest, ACLTokenReply]{Name: "ACL.TokenSet"}
	ACLTokenClone   = Method[ACLTokenCloneRequest, ACLTokenReply]{Name: "ACL.TokenClone"}
	ACLTokenDelete  = Method[ACLDeleteRequest, Empty]{Name: "ACL.TokenDelete"}
	ACLTokenGet     = Method[ACLTokenGetRequest, ACLTokenReply]{Name: "ACL.TokenGet", Idempotent: true}
	ACLTokenList    = Method[ACLTokenListRequest, ACLTokensReply]{Name: "ACL.TokenList", Idempotent: true}
	ACLPolicySet    = Method[ACLPolicySetRequest, ACLPolicyReply]{Name: "ACL.PolicySet"}
	ACLPolicyDelete = Method[ACLDeleteRequest, Empty]{Name: "ACL.PolicyDelete"}
	ACLPolicyGet    = Method[ACLGetRequest, ACLPolicyReply]{Name: "ACL.PolicyGet", Idempotent: true}
	ACLPolicyList   = Method[ACLListRequest, ACLPoliciesReply]{Name: "ACL.PolicyList", Idempotent: true}
	ACLRoleSet      = Method[ACLRoleSetRequest, ACLRoleReply]{Name: "ACL.RoleSet"}
	ACLRoleDelete   = Method[ACLDeleteRequest, Empty]{Name: "ACL.RoleDelete"}
	ACLRoleGet      = Method[ACLGetRequest, ACLRoleReply]{Name: "ACL.RoleGet", Idempotent: true}
	ACLRoleList     = Method[ACLListRequest, ACLRolesReply]{Name: "ACL.RoleList", Idempotent: true}
)

// ACLWrite is what every change carries. The primary datacenter performs all but
// those of local tokens, whichever datacenter was asked.
type ACLWrite struct {
	Target
	// Forwarded says that it comes from a datacenter that takes this one for the primary.
	Forwarded bool
}

// ACLBootstrapRequest asks for the first token.
type ACLBootstrapRequest struct {
	ACLWrite
	Secret string // of that token; "" = any
}

// ACLResolveRequest asks what the target's token may do, which whoever has it may know.
type ACLResolveRequest struct {
	Target
	// Abroad says that another datacenter asks, where local tokens count for nothing.
	Abroad bool
}

// ACLResolveReply is what it may do.
type ACLResolveReply struct{ acl.Resolved }

// ACLReplicationRequest asks how copying from the primary datacenter goes.
type ACLReplicationRequest struct{ Target }

// ACLReplicationReply is how it goes, as the leader sees it.
type ACLReplicationReply struct {
	Enabled, Running                                           bool
	SourceDatacenter, ReplicationType                          string
	ReplicatedIndex, ReplicatedRoleIndex, ReplicatedTokenIndex uint64
	LastSuccess, LastError                                     time.Time
	LastErrorMessage                                           string
}

// ACLPermittedRequest asks whether the target's token may do something.
type ACLPermittedRequest struct {
	Target
	Resource acl.Resource
	Name     string
	Access   acl.Access
}

// ACLTokenSetRequest creates a token or, with Update, replaces one.
type ACLTokenSetRequest struct {
	ACLWrite
	Set    acl.Token
	TTL    time.Duration // it ends so long after now; 0 = as Set says
	Update bool
}

// ACLTokenCloneRequest makes a token like another.
type ACLTokenCloneRequest struct {
	ACLWrite
	Accessor    string
	Description string // "" = the other's
}

// ACLDeleteRequest takes something away: accessor of a token, ID of the others.
type ACLDeleteRequest struct {
	ACLWrite
	ID string
}

// ACLGetRequest asks for a policy or role, by ID or else by name.
type ACLGetRequest struct {
	ReadOptions
	ID, Name string
}

// ACLListRequest asks for all policies, or roles.
type ACLListRequest struct {
	ReadOptions
	Policy string // roles only: that link to this policy
}

// ACLTokenGetRequest asks for a token.
type ACLTokenGetRequest struct {
	ReadOptions
	Accessor string // "" = the one that the request is made with
	Expanded bool   // with its policies and roles
}

// ACLTokenReply holds a token.
type ACLTokenReply struct {
	ReadMeta
	Token    *acl.Token
	Expanded *acl.Grants
}

// ACLTokenListRequest asks for the tokens that fit all that is not empty.
type ACLTokenListRequest struct {
	ReadOptions
	Policy, Role            string // IDs
	AuthMethod, ServiceName string
	Global                  bool // only those that count in all datacenters
}

// Wants reports whether a token fits.
func (r *ACLTokenListRequest) Wants(t *acl.Token) bool {
	named := func(id string, links []acl.Link) bool {
		return id == "" || slices.ContainsFunc(links, func(l acl.Link) bool { return strings.EqualFold(l.ID, id) })
	}
	return !(r.Global && t.Local) && named(r.Policy, t.Policies) && named(r.Role, t.Roles) &&
		(r.AuthMethod == "" || t.AuthMethod == r.AuthMethod) &&
		(r.ServiceName == "" || slices.ContainsFunc(t.ServiceIdentities, func(s acl.ServiceIdentity) bool { return s.ServiceName == r.ServiceName }))
}

// ACLTokensReply holds tokens by accessor.
type ACLTokensReply struct {
	ReadMeta
	Tokens []*acl.Token
}

// ACLPolicySetRequest creates a policy or, if it names an ID, replaces one.
type ACLPolicySetRequest struct {
	ACLWrite
	Set acl.Policy
}

// ACLPolicyReply holds a policy.
type ACLPolicyReply struct {
	ReadMeta
	Policy *acl.Policy
}

// ACLPoliciesReply holds policies by ID.
type ACLPoliciesReply struct {
	ReadMeta
	Policies []*acl.Policy
}

// ACLRoleSetRequest creates a role or, if it names an ID, replaces one.
type ACLRoleSetRequest struct {
	ACLWrite
	Set acl.Role
}

// ACLRoleReply holds a role.
type ACLRoleReply struct {
	ReadMeta
	Role *acl.Role
}

// ACLRolesReply holds roles by ID.
type ACLRolesReply struct {
	ReadMeta
	Roles []*acl.Role
}
