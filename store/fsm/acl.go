package fsm

import (
	"consul.internal/acl"
	"consul.internal/store/state"
)

// ChangeACL is the body of TypeACL: all of it happens, or nothing.
type ChangeACL struct {
	Bootstrap *acl.Token `cbor:",omitempty"` // the first token
	Reset     uint64     `cbor:",omitempty"` // index of the bootstrap that Bootstrap comes after

	Tokens   []*acl.Token  `cbor:",omitempty"` // to create or, with Update, to replace
	Update   bool          `cbor:",omitempty"`
	Copied   bool          `cbor:",omitempty"` // from the primary datacenter: create or replace
	Policies []*acl.Policy `cbor:",omitempty"` // to create or replace
	Roles    []*acl.Role   `cbor:",omitempty"` // to create or replace

	// To take away: accessors of tokens, IDs of the others.
	DeleteTokens, DeletePolicies, DeleteRoles []string `cbor:",omitempty"`
}

func (c *ChangeACL) apply(tx *state.Txn) error {
	w := state.ACLWriter{Txn: tx}
	for _, id := range c.DeleteTokens {
		w.DeleteToken(id)
	}
	for _, id := range c.DeletePolicies {
		w.DeletePolicy(id)
	}
	for _, id := range c.DeleteRoles {
		w.DeleteRole(id)
	}
	for _, p := range c.Policies {
		if err := w.PutPolicy(p); err != nil {
			return err
		}
	}
	for _, r := range c.Roles {
		if err := w.PutRole(r); err != nil {
			return err
		}
	}
	for _, t := range c.Tokens {
		if err := w.PutToken(t, c.Update || c.Copied && w.HasToken(t.AccessorID)); err != nil {
			return err
		}
	}
	if c.Bootstrap != nil {
		return w.Bootstrap(c.Bootstrap, c.Reset)
	}
	return nil
}
