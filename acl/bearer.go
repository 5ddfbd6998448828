package acl

import (
	"time"

	"consul.internal/internal/fault"
)

// Bearer is somebody who brings a token: who he is, and what he may do.
type Bearer struct {
	*Authorizer
	Accessor string     // "" = there is no access control
	Ends     *time.Time // of the token
	Rules    string     // stands for what he may do: another one for other rules; "" = nobody asks

	said *Resolved // what the decision comes from; nil = a down policy
}

// Unguarded is everybody where there is no access control.
func Unguarded() *Bearer { return &Bearer{Authorizer: Everything()} }

// Need refuses what the bearer may not do, in the words that people know.
func (b *Bearer) Need(r Resource, name string, want Access) error {
	if b.Allowed(r, name, want) {
		return nil
	}
	return fault.Newf(fault.Denied, "%s", Refusal(b.Accessor, r, name, want))
}

// Ended reports whether the token's time is over.
func (b *Bearer) Ended(now time.Time) bool { return b.Ends != nil && !now.Before(*b.Ends) }

// ErrNoToken is the known refusal of a secret that is no token's.
func ErrNoToken() error { return fault.Newf(fault.Denied, "ACL not found") }
