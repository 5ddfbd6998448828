//go:build linux

package rig

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind is what an operation on a register does.
type Kind uint8

const (
	Read  Kind = iota // learns the value; "" is a key that is not there
	Write             // sets it; "" deletes
	Swap              // sets it if it is what Expect says
)

// Outcome is what the caller knows afterwards.
type Outcome uint8

const (
	Unknown Outcome = iota // it may have happened, or may yet: a time-out, an error after sending
	OK                     // it happened (a Swap: it was decided, see Swapped)
	Fail                   // it surely did not and will not happen
)

func (o Outcome) String() string { return [...]string{"unknown", "ok", "fail"}[o] }

// Op is one operation as its caller saw it.
type Op struct {
	Client     int
	Kind       Kind
	Key        string
	Value      string // written, or read
	Expect     string // of a Swap
	Swapped    bool   // of a Swap that is OK
	Outcome    Outcome
	Start, End time.Duration // since the history began
}

func (o Op) String() string {
	what := fmt.Sprintf("read %q", o.Value)
	switch o.Kind {
	case Write:
		what = fmt.Sprintf("write %q", o.Value)
	case Swap:
		what = fmt.Sprintf("swap %q for %q: %v", o.Expect, o.Value, o.Swapped)
	}
	return fmt.Sprintf("%v..%v client %d %s: %s %v", o.Start, o.End, o.Client, o.Key, what, o.Outcome)
}

// History collects operations from many goroutines.
type History struct {
	began time.Time

	mu  sync.Mutex
	ops []*Op
}

// NewHistory begins now.
func NewHistory() *History { return &History{began: time.Now()} }

// Now is the time since the history began.
func (h *History) Now() time.Duration { return time.Since(h.began) }

// Call is an operation that has begun. Until its end it is Unknown.
type Call struct {
	h  *History
	op *Op
}

// Begin notes that an operation begins: set Client, Kind, Key and, for what
// changes the key, Value and Expect. Call it before anything is sent.
func (h *History) Begin(op Op) Call {
	op.Start, op.Outcome = h.Now(), Unknown
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, &op)
	return Call{h, &op}
}

// Wrote ends a Write.
func (c Call) Wrote(o Outcome) { c.end(o, func(*Op) {}) }

// Read ends a Read that brought a value.
func (c Call) Read(value string) { c.end(OK, func(op *Op) { op.Value = value }) }

// Failed ends an operation of any kind without a result.
func (c Call) Failed(o Outcome) { c.end(o, func(*Op) {}) }

// Swapped ends a Swap that was decided.
func (c Call) Swapped(did bool) { c.end(OK, func(op *Op) { op.Swapped = did }) }

func (c Call) end(o Outcome, set func(*Op)) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.op.Outcome, c.op.End = o, c.h.Now()
	set(c.op)
}

// Ops are all operations so far.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	ops := make([]Op, len(h.ops))
	for i, op := range h.ops {
		ops[i] = *op
	}
	return ops
}

// Latencies are the times that the operations of one kind took that ended well.
func (h *History) Latencies(kind Kind) []time.Duration {
	var d []time.Duration
	for _, op := range h.Ops() {
		if op.Kind == kind && op.Outcome == OK {
			d = append(d, op.End-op.Start)
		}
	}
	return d
}

// Errors of Check.
var (
	// ErrNotLinearizable: no order of the operations explains what was seen.
	ErrNotLinearizable = errors.New("not linearizable")
	// ErrUndecided: the time was too short to tell.
	ErrUndecided = errors.New("not decided in time")
)

// maxShown operations of a key that is wrong are shown.
const maxShown = 40

// CheckLinearizable tells whether some order of the operations, each at one
// moment between its start and its end, explains what all callers saw. Each key
// is a register of its own that was absent at the beginning. It gives up on a
// key after limit.
func CheckLinearizable(ops []Op, limit time.Duration) error {
	keys := map[string][]porcupine.Operation{}
	for _, op := range ops {
		// A read without a result saw nothing, and what failed never was.
		if op.Outcome == Fail || op.Outcome == Unknown && op.Kind == Read {
			continue
		}
		end := int64(op.End)
		if op.Outcome == Unknown {
			end = math.MaxInt64
		}
		keys[op.Key] = append(keys[op.Key], porcupine.Operation{
			ClientId: op.Client, Input: op, Output: op, Call: int64(op.Start), Return: end,
		})
	}
	model := register()
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		switch porcupine.CheckOperationsTimeout(model, keys[key], limit) {
		case porcupine.Illegal:
			errs = append(errs, fmt.Errorf("key %s: %w:\n%s", key, ErrNotLinearizable, show(keys[key])))
		case porcupine.Unknown:
			errs = append(errs, fmt.Errorf("key %s, %d operations: %w", key, len(keys[key]), ErrUndecided))
		}
	}
	return errors.Join(errs...)
}

func show(ops []porcupine.Operation) string {
	var b strings.Builder
	for _, op := range ops[:min(len(ops), maxShown)] {
		fmt.Fprintf(&b, "  %v\n", op.Input)
	}
	if more := len(ops) - maxShown; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	return b.String()
}

// register is one value, absent at first.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			value, op := state.(string), input.(Op)
			switch op.Kind {
			case Read:
				return op.Value == value, value
			case Write:
				return true, op.Value
			}
			fits := value == op.Expect
			if op.Outcome == OK && op.Swapped != fits {
				return false, value
			}
			if fits {
				return true, op.Value
			}
			return true, value
		},
	}
}
