package rpc

import "consul.internal/kv"

// Operations on sessions.
var (
	SessionCreate  = Method[SessionCreateRequest, SessionCreateReply]{Name: "Session.Create"}
	SessionDestroy = Method[SessionRequest, Empty]{Name: "Session.Destroy", Idempotent: true}
	SessionRenew   = Method[SessionRequest, SessionsReply]{Name: "Session.Renew", Idempotent: true}
	SessionGet     = Method[SessionGetRequest, SessionsReply]{Name: "Session.Get", Idempotent: true}
	SessionList    = Method[SessionListRequest, SessionsReply]{Name: "Session.List", Idempotent: true}
)

// SessionCreateRequest makes a session. It gets its ID.
type SessionCreateRequest struct {
	Target
	Session kv.Session
}

// SessionCreateReply holds the ID of the session.
type SessionCreateReply struct{ ID string }

// SessionRequest ends a session or renews it.
type SessionRequest struct {
	Target
	ID string
}

// SessionGetRequest asks for one session.
type SessionGetRequest struct {
	ReadOptions
	ID string
}

// SessionListRequest asks for the sessions of a node, "" = of all.
type SessionListRequest struct {
	ReadOptions
	Node string
}

// SessionsReply lists sessions by ID.
type SessionsReply struct {
	ReadMeta
	Sessions []*kv.Session
}
