package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"consul.internal/internal/fault"
)

func TestKindSurvivesWrapping(t *testing.T) {
	base := fault.Newf(fault.NotFound, "no node %q: %w", "n1", io.EOF)
	wrapped := fmt.Errorf("read catalog: %w", base)
	if !errors.Is(wrapped, fault.NotFound) {
		t.Error("errors.Is does not find the kind through a wrap")
	}
	if errors.Is(wrapped, fault.Denied) {
		t.Error("errors.Is finds a kind that is not there")
	}
	if !errors.Is(wrapped, io.EOF) {
		t.Error("the cause is lost")
	}
	if got, want := wrapped.Error(), `read catalog: no node "n1": EOF`; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want fault.Kind
	}{
		{nil, ""},
		{io.EOF, ""},
		{fault.NoLeader, fault.NoLeader},
		{fault.With(fault.Denied, io.EOF), fault.Denied},
		{fault.With(fault.Unavailable, fault.Newf(fault.NoLeader, "x")), fault.Unavailable},
	} {
		if got := fault.Of(tt.err); got != tt.want {
			t.Errorf("Of(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
	if fault.With(fault.Denied, nil) != nil {
		t.Error("With(nil) is not nil")
	}
}
