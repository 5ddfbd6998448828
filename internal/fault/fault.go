package fault

import (
	"errors"
	"fmt"
)

// Kind classifies an error by what the caller can do about it. A Kind is itself
// an error, so errors.Is(err, fault.NotFound) asks for it.
type Kind string

const (
	// Invalid: the request is wrong; sending it again will not help.
	Invalid Kind = "invalid"
	// Denied: the token does not permit the request.
	Denied Kind = "permission denied"
	// NotFound: what was asked for does not exist.
	NotFound Kind = "not found"
	// Conflict: the state does not permit the change.
	Conflict Kind = "conflict"
	// NotLeader: this server is not the leader; the leader would do it.
	NotLeader Kind = "not the leader"
	// NoLeader: the datacenter has no leader now.
	NoLeader Kind = "no leader"
	// NoRoute: no path leads to the datacenter.
	NoRoute Kind = "no route"
	// Unavailable: the other side cannot answer now; try later.
	Unavailable Kind = "unavailable"
	// RateLimited: too many requests; slow down.
	RateLimited Kind = "rate limited"
	// Overloaded: too many requests for the only one who could answer; slow down.
	Overloaded Kind = "overloaded"
	// Unknown: the outcome of a write is not known; it may or may not have happened.
	Unknown Kind = "unknown outcome"
)

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// kinded joins a kind to an error without changing its text.
type kinded struct {
	kind Kind
	err  error
}

func (e *kinded) Error() string { return e.err.Error() }
func (e *kinded) Unwrap() error { return e.err }

// Is reports whether target is this error's kind.
func (e *kinded) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.kind
}

// Newf makes an error of a kind. The format may wrap with %w.
func Newf(kind Kind, format string, args ...any) error {
	return &kinded{kind: kind, err: fmt.Errorf(format, args...)}
}

// With gives err a kind; a nil err stays nil. The outermost kind wins in Of.
func With(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &kinded{kind: kind, err: err}
}

// Of returns the outermost kind of err, or "" when it has none.
func Of(err error) Kind {
	if k, ok := errors.AsType[*kinded](err); ok {
		return k.kind
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	return ""
}
