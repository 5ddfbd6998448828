package remote

import (
	"context"
	"errors"
	"fmt"

	"consul.internal/internal/fault"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// codeBase is the status code of a handler's error without a kind; those with one
// follow it. They begin above what gRPC gives itself, so that what a handler said
// is never taken for what became of the connection.
const codeBase = 1000

// kinds by code. The numbers are part of the protocol: append only.
func kinds() []fault.Kind {
	return []fault.Kind{
		"", fault.Invalid, fault.Denied, fault.NotFound, fault.Conflict, fault.NotLeader, fault.NoLeader,
		fault.NoRoute, fault.Unavailable, fault.RateLimited, fault.Unknown, fault.Overloaded,
	}
}

// toWire gives an error of a handler the form in which it travels.
func toWire(err error) error {
	code := codes.Code(codeBase)
	kind := fault.Of(err)
	for i, k := range kinds() {
		if k == kind {
			code = codes.Code(codeBase + i)
		}
	}
	text := err.Error()
	if len(text) > maxText {
		text = text[:maxText]
	}
	return status.Error(code, text)
}

// fromWire is what a handler said, or nil if err is not from a handler.
func fromWire(err error) error {
	st := status.Convert(err)
	i := int(st.Code()) - codeBase
	switch known := kinds(); {
	case i < 0:
		return nil
	case i == 0:
		return errors.New(st.Message())
	case i < len(known):
		return fault.With(known[i], errors.New(st.Message()))
	default: // a kind of a later version
		return fault.With(fault.Unknown, errors.New(st.Message()))
	}
}

// LostError says that a server did not answer: it could not be reached, or the
// connection broke, or there was no more time. It comes with a kind: Unavailable
// if the call was surely not performed, Unknown if it may have been.
type LostError struct {
	Addr string
	Sent bool // the call was on its way
	Err  error
}

func (e *LostError) Error() string {
	if e.Sent {
		return fmt.Sprintf("server %s did not answer: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("server %s cannot be reached: %v", e.Addr, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// Lost reports whether err says that a server did not answer at all.
func Lost(err error) bool {
	_, ok := errors.AsType[*LostError](err)
	return ok
}

// lost makes the error of a call without an answer.
func lost(ctx context.Context, addr string, sent bool, err error) error {
	kind := fault.Unavailable
	if sent {
		kind = fault.Unknown
	}
	cause := errors.New(status.Convert(err).Message())
	if ctx.Err() != nil {
		cause = context.Cause(ctx)
	}
	return fault.With(kind, &LostError{Addr: addr, Sent: sent, Err: cause})
}
