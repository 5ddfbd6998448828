package fsm

import (
	"consul.internal/acl"
	"consul.internal/store/state"
)

// ChangeLogin is the body of TypeLogin: all of it happens, or nothing.
type ChangeLogin struct {
	Method        *acl.AuthMethod  `cbor:",omitempty"` // to create or replace
	DeleteMethod  string           `cbor:",omitempty"` // name
	Binding       *acl.BindingRule `cbor:",omitempty"` // to create or replace
	DeleteBinding string           `cbor:",omitempty"` // ID

	Token       *acl.Token `cbor:",omitempty"` // of who logged in
	MethodIndex uint64     `cbor:",omitempty"` // ModifyIndex of the method that judged him
}

func (c *ChangeLogin) apply(tx *state.Txn) error {
	w := state.ACLWriter{Txn: tx}
	w.DeleteMethod(c.DeleteMethod)
	w.DeleteBinding(c.DeleteBinding)
	if c.Method != nil {
		w.PutMethod(c.Method)
	}
	if c.Binding != nil {
		if err := w.PutBinding(c.Binding); err != nil {
			return err
		}
	}
	if c.Token != nil {
		return w.Login(c.Token, c.MethodIndex)
	}
	return nil
}
