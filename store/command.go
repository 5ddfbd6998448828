package store

import (
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/internal/fault"
	"consul.internal/store/state"
)

// commandType names a command in the log. Numbers are never used again for
// something else.
type commandType uint16

const (
	commandFound      commandType = 1 // found the cluster: its ID
	commandRegister   commandType = 2
	commandDeregister commandType = 3
	commandAutopilot  commandType = 4 // what autopilot goes by
)

// commandLevel is the newest level of commands that this version knows. A server
// that meets a higher one in the log stops: it cannot know what it would miss.
const commandLevel = 1

// envelope is a command in the log, in CBOR (RFC 8949) with named fields.
type envelope struct {
	Type  commandType     `cbor:"t"`
	Level uint16          `cbor:"l"`
	Body  cbor.RawMessage `cbor:"b"`
}

// foundCluster is the body of commandFound.
type foundCluster struct {
	ID     string
	Expect int // fewest voters, 0 = not known to the leader
}

// setAutopilot is the body of commandAutopilot.
type setAutopilot struct {
	Config state.Autopilot
	CAS    bool
}

// apply carries out one decoded command in a transaction.
type apply func(*state.Txn) (any, error)

// decoders maps each command to how its body is read.
func decoders(c codec) map[commandType]func([]byte) (apply, error) {
	return map[commandType]func([]byte) (apply, error){
		commandFound: command(c, func(tx *state.Txn, in *foundCluster) (any, error) {
			return tx.FoundCluster(in.ID, in.Expect), nil
		}),
		commandAutopilot: command(c, func(tx *state.Txn, in *setAutopilot) (any, error) {
			return tx.SetAutopilot(in.Config, in.CAS), nil
		}),
		commandRegister: command(c, func(tx *state.Txn, in *state.Registration) (any, error) {
			return nil, tx.EnsureRegistration(in)
		}),
		commandDeregister: command(c, func(tx *state.Txn, in *state.Deregistration) (any, error) {
			return nil, tx.Deregister(in)
		}),
	}
}

func command[T any](c codec, do func(*state.Txn, *T) (any, error)) func([]byte) (apply, error) {
	return func(body []byte) (apply, error) {
		in := new(T)
		if err := c.dec.Unmarshal(body, in); err != nil {
			return nil, err
		}
		return func(tx *state.Txn) (any, error) { return do(tx, in) }, nil
	}
}

// codec is the one encoding of commands and snapshots.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

// maxNesting bounds the depth of a command; a snapshot's records sit a little
// deeper in their stream, so it may nest so much more.
const (
	maxNesting      = 64
	snapshotNesting = maxNesting + 16
)

func newCodec(nesting int) (codec, error) {
	// Sorted, so that equal states make equal bytes.
	enc, err := cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode()
	if err != nil {
		return codec{}, err
	}
	dec, err := cbor.DecOptions{
		MaxNestedLevels: nesting,
		DefaultMapType:  reflect.TypeFor[map[string]any](), // as JSON has it: free-form fields come from there
	}.DecMode()
	return codec{enc, dec}, err
}

// encode makes a command for the log, and makes sure that it can be read back: a
// command that cannot be would stop every server.
func (f *fsm) encode(t commandType, body any) ([]byte, error) {
	raw, err := f.codec.enc.Marshal(body)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "encode command: %w", err)
	}
	cmd, err := f.codec.enc.Marshal(envelope{Type: t, Level: commandLevel, Body: raw})
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "encode command: %w", err)
	}
	if len(cmd) > maxCommand {
		return nil, fault.Newf(fault.Invalid, "request is too large: %d bytes encoded, at most %d", len(cmd), maxCommand)
	}
	if _, err := f.decode(cmd); err != nil {
		return nil, fault.Newf(fault.Invalid, "request cannot be stored: %w", err)
	}
	return cmd, nil
}

// decode reads a command of the log.
func (f *fsm) decode(data []byte) (apply, error) {
	var env envelope
	if err := f.codec.dec.Unmarshal(data, &env); err != nil {
		return nil, fmt.Errorf("command cannot be decoded: %w", err)
	}
	if env.Level > commandLevel {
		return nil, fmt.Errorf("command has level %d, this version knows levels up to %d", env.Level, commandLevel)
	}
	decode, ok := f.decoders[env.Type]
	if !ok {
		return nil, fmt.Errorf("command has type %d, which this version does not know", env.Type)
	}
	do, err := decode(env.Body)
	if err != nil {
		return nil, fmt.Errorf("command of type %d cannot be decoded: %w", env.Type, err)
	}
	return do, nil
}
