package rpc

import "consul.internal/acl"

// Operations on how strangers prove who they are, and what they are granted. All of
// them are of the datacenter that is asked, whichever is the primary.
var (
	ACLMethodSet     = Method[ACLMethodSetRequest, ACLMethodReply]{Name: "ACL.MethodSet"}
	ACLMethodDelete  = Method[ACLDeleteRequest, Empty]{Name: "ACL.MethodDelete"}
	ACLMethodGet     = Method[ACLGetRequest, ACLMethodReply]{Name: "ACL.MethodGet", Idempotent: true}
	ACLMethodList    = Method[ACLListRequest, ACLMethodsReply]{Name: "ACL.MethodList", Idempotent: true}
	ACLBindingSet    = Method[ACLBindingSetRequest, ACLBindingReply]{Name: "ACL.BindingSet"}
	ACLBindingDelete = Method[ACLDeleteRequest, Empty]{Name: "ACL.BindingDelete"}
	ACLBindingGet    = Method[ACLGetRequest, ACLBindingReply]{Name: "ACL.BindingGet", Idempotent: true}
	ACLBindingList   = Method[ACLBindingListRequest, ACLBindingsReply]{Name: "ACL.BindingList", Idempotent: true}
	ACLLogin         = Method[ACLLoginRequest, ACLTokenReply]{Name: "ACL.Login"}
	ACLLogout        = Method[ACLLogoutRequest, Empty]{Name: "ACL.Logout"}
)

// ACLMethodSetRequest creates an auth method or, with Update, replaces one.
type ACLMethodSetRequest struct {
	ACLWrite
	Set    acl.AuthMethod
	Update bool
}

// ACLMethodReply holds an auth method.
type ACLMethodReply struct {
	ReadMeta
	Method *acl.AuthMethod
}

// ACLMethodsReply holds auth methods by name.
type ACLMethodsReply struct {
	ReadMeta
	Methods []*acl.AuthMethod
}

// ACLBindingSetRequest creates a binding rule or, if it names an ID, replaces one.
type ACLBindingSetRequest struct {
	ACLWrite
	Set acl.BindingRule
}

// ACLBindingReply holds a binding rule.
type ACLBindingReply struct {
	ReadMeta
	Rule *acl.BindingRule
}

// ACLBindingListRequest asks for the binding rules of a method; "" is all methods.
type ACLBindingListRequest struct {
	ReadOptions
	AuthMethod string
}

// ACLBindingsReply holds binding rules by ID.
type ACLBindingsReply struct {
	ReadMeta
	Rules []*acl.BindingRule
}

// ACLLoginRequest asks for a token for who proves who he is.
type ACLLoginRequest struct {
	Target
	AuthMethod  string
	BearerToken string
	Meta        map[string]string // shown in the token's description
}

// ACLLogoutRequest takes the target's token away, which came by a login.
type ACLLogoutRequest struct{ ACLWrite }
