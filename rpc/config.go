package rpc

import "consul.internal/configentry"

// Operations on config entries.
var (
	ConfigApply = Method[ConfigApplyRequest, ConfigApplyReply]{Name: "Config.Apply"}
	ConfigGet   = Method[ConfigGetRequest, ConfigEntriesReply]{Name: "Config.Get", Idempotent: true}
	ConfigList  = Method[ConfigListRequest, ConfigEntriesReply]{Name: "Config.List", Idempotent: true}
)

// ConfigApplyRequest writes a config entry, or deletes one. The primary datacenter
// performs it, whichever datacenter was asked.
type ConfigApplyRequest struct {
	Target
	Put        *configentry.Entry // to write; nil = delete
	Kind, Name string             // to delete
	// CAS, if there is one, is the index at which the entry must have been written
	// last; 0 = it must not be there.
	CAS *uint64
	// Forwarded says that it comes from a datacenter that takes this one for the primary.
	Forwarded bool
}

// ConfigApplyReply says whether it was done: with a CAS it may not be.
type ConfigApplyReply struct{ Done bool }

// ConfigGetRequest asks for one entry.
type ConfigGetRequest struct {
	ReadOptions
	Kind, Name string
}

// ConfigListRequest asks for the entries of a kind, or with "" for all.
type ConfigListRequest struct {
	ReadOptions
	Kind string
}

// ConfigEntriesReply lists entries by kind and name.
type ConfigEntriesReply struct {
	ReadMeta
	Entries []*configentry.Entry
}
