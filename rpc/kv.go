package rpc

import "consul.internal/kv"

// Operations on keys.
var (
	KeyApply = Method[KeyApplyRequest, KeyApplyReply]{Name: "Key.Apply"}
	KeyGet   = Method[KeyGetRequest, EntriesReply]{Name: "Key.Get", Idempotent: true}
	KeyList  = Method[KeyListRequest, EntriesReply]{Name: "Key.List", Idempotent: true}
	KeyNames = Method[KeyListRequest, KeyNamesReply]{Name: "Key.Names", Idempotent: true}
	TxnApply = Method[TxnRequest, TxnReply]{Name: "Txn.Apply"}
	TxnRead  = Method[TxnReadRequest, TxnReply]{Name: "Txn.Read", Idempotent: true}
)

// KeyApplyRequest changes a key, or deletes all with a prefix.
type KeyApplyRequest struct {
	Target
	kv.KeyOp
}

// KeyApplyReply says whether the state permitted the change.
type KeyApplyReply struct{ Done bool }

// KeyGetRequest asks for one key.
type KeyGetRequest struct {
	ReadOptions
	Key string
}

// KeyListRequest asks for the keys with a prefix.
type KeyListRequest struct {
	ReadOptions
	Prefix    string
	Separator string // of names: what follows it is left out; "" = none
}

// EntriesReply holds keys with their values.
type EntriesReply struct {
	ReadMeta
	Entries []*kv.Entry
}

// KeyNamesReply holds keys without their values.
type KeyNamesReply struct {
	ReadMeta
	Names []string
}

// TxnRequest is a transaction that changes something.
type TxnRequest struct {
	Target
	Ops []kv.Op
}

// TxnReadRequest is one that changes nothing.
type TxnReadRequest struct {
	ReadOptions
	Ops []kv.Op
}

// TxnReply has the results, or the errors of the operations that failed, in which
// case nothing happened.
type TxnReply struct {
	ReadMeta
	Results []kv.Result
	Errors  []kv.OpError
}
