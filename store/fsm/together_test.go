package fsm

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/store/state"
)

// fed is what somebody knows who only hears what changes.
type fed map[string]string

func (f fed) take(t *testing.T, b catalog.Batch) {
	t.Helper()
	text := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if b.Reset {
		clear(f)
	}
	for _, c := range b.Changes {
		var node, instance string
		if c.Instance != nil {
			node = "node " + catalog.Fold(c.Instance.Node.Name) + "/"
			instance = node + catalog.Fold(c.Instance.Service.ID)
		} else {
			node = "node " + catalog.Fold(c.Node.Name) + "/"
		}
		switch c.Op {
		case catalog.NodeSet:
			f[node] = text(c.Node)
		case catalog.NodeGone:
			maps.DeleteFunc(f, func(k, _ string) bool { return strings.HasPrefix(k, node) })
		case catalog.InstanceSet:
			if f[node] == "" {
				t.Fatalf("batch %d: %s has no node", b.Index, instance)
			}
			f[instance] = text(c.Instance)
		case catalog.InstanceGone:
			delete(f, instance)
		}
	}
}

// Entries that are applied together give the same state and the same results as
// one by one, and tell the feed what comes to the same.
func TestTogether(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 1))
		alone, together := fed{}, fed{}
		one := state.New(func(b catalog.Batch) { alone.take(t, b) })
		many := state.New(func(b catalog.Batch) { together.take(t, b) })
		a, b := newFSM(t, one), newFSM(t, many)
		var sums [2][]string
		for i, f := range []*FSM{a, b} {
			f.OnCheckpoint(func(index uint64, _ Checkpoint, snap *state.Snapshot) {
				sum, err := f.Sum(t.Context(), index, snap)
				if err != nil {
					t.Fatal(err)
				}
				sums[i] = append(sums[i], fmt.Sprint(index, sum.Whole))
			})
		}
		var index uint64
		for range 15 {
			var batch []*raft.Log
			for range 1 + r.IntN(maxBatch) {
				index++
				if r.IntN(20) == 0 {
					batch = append(batch, &raft.Log{Index: index, Type: raft.LogConfiguration})
					continue
				}
				kind, body := anything(r, int(index))
				if r.IntN(10) == 0 { // refused
					kind, body = TypeRegister, &state.Registration{
						Node:   &catalog.Node{Name: "n1", Address: "10.0.0.9"},
						Checks: []*catalog.Check{{CheckID: "lost", ServiceID: "nosuch"}},
					}
				}
				cmd, err := a.Encode(kind, body, Level)
				if err != nil {
					t.Fatal(err)
				}
				batch = append(batch, &raft.Log{Index: index, Type: raft.LogCommand, Data: cmd})
			}
			got := b.ApplyBatch(batch)
			for i, log := range batch {
				if want := a.Apply(log); fmt.Sprintf("%+v", want) != fmt.Sprintf("%+v", got[i]) {
					t.Fatalf("seed %d, entry %d: %+v together, %+v alone", seed, log.Index, got[i], want)
				}
			}
			if dump(one) != dump(many) || one.Index() != many.Index() || a.Applied() != b.Applied() {
				t.Fatalf("seed %d: the states differ after entry %d", seed, index)
			}
			if !maps.Equal(alone, together) {
				t.Fatalf("seed %d: after entry %d the feeds come to %v and %v", seed, index, alone, together)
			}
		}
		if fmt.Sprint(sums[0]) != fmt.Sprint(sums[1]) || len(sums[0]) == 0 {
			t.Fatalf("seed %d: checkpoints %v and %v", seed, sums[0], sums[1])
		}
	}
}

// maxBatch is raft's as the store sets it, by far.
const maxBatch = 64

// The first token is made once, also where the second attempt comes in the same
// transaction: in a batch, and when the log is read again.
func TestBootstrapOnce(t *testing.T) {
	secrets := []string{"11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"}
	for name, apply := range map[string]func(*FSM, []*raft.Log) error{
		"apart": func(f *FSM, logs []*raft.Log) error {
			for _, l := range logs {
				f.Apply(l)
			}
			return nil
		},
		"batch": func(f *FSM, logs []*raft.Log) error { f.ApplyBatch(logs); return nil },
		"replay": func(f *FSM, logs []*raft.Log) error {
			return f.Replay(t.Context(), Stored{First: 1, Last: 2, Committed: 2, Visit: func(*raft.Log) error { return nil },
				Read: func(i uint64, into *raft.Log) error { *into = *logs[i-1]; return nil }})
		},
	} {
		st := state.New(nil)
		f := newFSM(t, st)
		var logs []*raft.Log
		for i, id := range secrets {
			cmd, err := f.Encode(TypeACL, &ChangeACL{Bootstrap: &acl.Token{AccessorID: id, SecretID: id}}, Level)
			if err != nil {
				t.Fatal(err)
			}
			logs = append(logs, &raft.Log{Index: uint64(i + 1), Term: 1, Type: raft.LogCommand, Data: cmd})
		}
		if err := apply(f, logs); err != nil {
			t.Fatal(err)
		}
		now := st.ACLs(nil)
		if now.TokenBySecret(secrets[0]) == nil || now.TokenBySecret(secrets[1]) != nil || now.Bootstrapped() != 1 {
			t.Errorf("%s: the first token stands at index %d, the second is there: %v", name, now.Bootstrapped(), now.TokenBySecret(secrets[1]) != nil)
		}
	}
}
