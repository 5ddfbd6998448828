package fsm

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/query"
	"consul.internal/store/state"
)

// Type names a command in the log. Numbers are never used again for
// something else.
type Type uint16

const (
	TypeFound      Type = 1 // found the cluster: its ID
	TypeRegister   Type = 2
	TypeDeregister Type = 3
	TypeAutopilot  Type = 4  // what autopilot goes by
	TypePlace      Type = 5  // network coordinates
	TypeQuery      Type = 8  // prepared queries
	TypeCheckpoint Type = 9  // the servers compare their states
	TypeConfig     Type = 10 // config entries
	TypeKey        Type = 11 // a key, or all with a prefix
	TypeSession    Type = 12 // sessions
	TypeTxn        Type = 13 // a client's transaction
	TypeTidy       Type = 14 // lock delays and tombstones whose time is over
	TypeACL        Type = 15 // tokens, policies and roles
	TypeLogin      Type = 16 // auth methods, binding rules, and who came by them
)

// Level is the newest level of commands that this version knows. A server that
// meets a higher one in the log stops: it cannot know what it would miss. So a
// leader proposes nothing above the level that all voters know.
const Level = 1

// FirstLevel is known to every version there has been.
const FirstLevel = 1

// maxCommand bounds an encoded command; the largest known request is a
// transaction of 512 KiB.
const maxCommand = 4 << 20

// envelope is a command in the log, in CBOR (RFC 8949) with named fields.
type envelope[Body any] struct {
	Type  Type   `cbor:"t"`
	Level uint16 `cbor:"l"`
	Body  Body   `cbor:"b"`
}

// part is a body while its command is decoded: not a copy, as cbor.RawMessage is, but
// a view of the command's own bytes.
type part []byte

// UnmarshalCBOR implements cbor.Unmarshaler.
func (p *part) UnmarshalCBOR(data []byte) error {
	*p = data
	return nil
}

// FoundCluster is the body of TypeFound.
type FoundCluster struct {
	ID     string
	Expect int // fewest voters, 0 = not known to the leader
}

// SetAutopilot is the body of TypeAutopilot.
type SetAutopilot struct {
	Config state.Autopilot
	CAS    bool
}

// PlaceNodes is the body of TypePlace.
type PlaceNodes struct {
	Nodes []catalog.NodeCoordinate
}

// ChangeQuery is the body of TypeQuery.
type ChangeQuery struct {
	Query  *query.Query `cbor:",omitempty"` // to put
	Update bool         `cbor:",omitempty"` // there must be one of its ID
	Delete string       `cbor:",omitempty"` // ID of one to take away
}

func (c *ChangeQuery) apply(tx *state.Txn) (any, error) {
	w := state.QueryWriter{Txn: tx}
	if c.Query != nil {
		return nil, w.Put(c.Query, c.Update)
	}
	return nil, w.Delete(c.Delete)
}

// apply carries out one decoded command in a transaction.
type apply func(*state.Txn) (any, error)

// command is what is known of a type of commands.
type command struct {
	level  uint16 // the first that has it
	decode func([]byte) (apply, error)
	// plain bodies are flat: whatever was encoded can be read back.
	plain bool
}

// known are the commands of this version.
func known(c codec) map[Type]command {
	all := keyCommands(c)
	maps.Copy(all, map[Type]command{
		TypeFound: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *FoundCluster) (any, error) {
			return tx.FoundCluster(in.ID, in.Expect), nil
		})},
		TypeAutopilot: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *SetAutopilot) (any, error) {
			return tx.SetAutopilot(in.Config, in.CAS), nil
		})},
		TypePlace: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *PlaceNodes) (any, error) {
			state.Coordinates{Txn: tx}.Update(in.Nodes)
			return nil, nil
		})},
		TypeQuery: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *ChangeQuery) (any, error) {
			return in.apply(tx)
		})},
		TypeConfig: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *ChangeConfig) (any, error) {
			return in.apply(tx)
		})},
		TypeACL: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *ChangeACL) (any, error) {
			return nil, in.apply(tx)
		})},
		TypeLogin: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *ChangeLogin) (any, error) {
			return nil, in.apply(tx)
		})},
		TypeCheckpoint: {level: FirstLevel, decode: decoder(c, func(_ *state.Txn, in *Checkpoint) (any, error) { return *in, nil })},
		TypeRegister: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *state.Registration) (any, error) {
			return nil, tx.EnsureRegistration(in)
		})},
		TypeDeregister: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *state.Deregistration) (any, error) {
			return nil, tx.Deregister(in)
		})},
	})
	return all
}

func decoder[T any](c codec, do func(*state.Txn, *T) (any, error)) func([]byte) (apply, error) {
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
		UTF8:            cbor.UTF8DecodeInvalid,            // keys may have any bytes
		DefaultMapType:  reflect.TypeFor[map[string]any](), // as JSON has it: free-form fields come from there
	}.DecMode()
	return codec{enc, dec}, err
}

// LevelOf is the first level that has a type of commands.
func (f *FSM) LevelOf(t Type) uint16 { return f.commands[t].level }

// Encode makes a command for the log, and makes sure that it can be read back: a
// command that cannot be would stop every server. So would one above the level
// that all voters share, which is refused.
func (f *FSM) Encode(t Type, body any, shared uint16) ([]byte, error) {
	known := f.commands[t]
	if known.level > shared {
		return nil, fault.Newf(fault.Unavailable, "this needs a newer version on some servers: it is of level %d, and the servers share level %d", known.level, shared)
	}
	cmd, err := f.codec.enc.Marshal(envelope[any]{Type: t, Level: known.level, Body: body})
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "encode command: %w", err)
	}
	if len(cmd) > maxCommand {
		return nil, fault.Newf(fault.Invalid, "request is too large: %d bytes encoded, at most %d", len(cmd), maxCommand)
	}
	if known.plain {
		return cmd, nil
	}
	if _, err := f.decode(cmd); err != nil {
		return nil, fault.Newf(fault.Invalid, "request cannot be stored: %w", err)
	}
	return cmd, nil
}

// decode reads a command of the log.
func (f *FSM) decode(data []byte) (apply, error) {
	var env envelope[part]
	if err := f.codec.dec.Unmarshal(data, &env); err != nil {
		return nil, fmt.Errorf("command cannot be decoded: %w", err)
	}
	if env.Level > Level {
		return nil, fmt.Errorf("command has level %d, this version knows levels up to %d", env.Level, Level)
	}
	known, ok := f.commands[env.Type]
	if !ok {
		return nil, fmt.Errorf("command has type %d, which this version does not know", env.Type)
	}
	do, err := known.decode(env.Body)
	if err != nil {
		return nil, fmt.Errorf("command of type %d cannot be decoded: %w", env.Type, err)
	}
	return do, nil
}
