package checkpoint

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"consul.internal/internal/version"
	"consul.internal/rpc"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
)

// A server gives its state up only for a verdict on a sum of its own, of its own
// version, and not twice in an hour.
func TestVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		defer wg.Wait()
		renewed := 0
		c := New(Deps{
			Logger: zap.NewNop(), Life: t.Context(), Run: func(f func()) bool { wg.Go(f); return true },
			Sum: func(_ context.Context, index uint64, _ *state.Snapshot) (fsm.Sum, error) {
				return fsm.Sum{Index: index, Whole: "mine"}, nil
			},
			Renew: func(uint64) error { renewed++; return nil },
		})
		own := version.Build()
		for _, step := range []struct {
			name    string
			verdict fsm.Checkpoint
			after   time.Duration
			renewed int
		}{
			{"of a checkpoint that it does not know", fsm.Checkpoint{At: 7, Sum: "theirs", Version: own}, 0, 0},
			{"the same sum", fsm.Checkpoint{At: 5, Sum: "mine", Version: own}, 0, 0},
			{"another version", fsm.Checkpoint{At: 5, Sum: "theirs", Version: "other"}, 0, 0},
			{"another sum", fsm.Checkpoint{At: 5, Sum: "theirs", Version: own}, 0, 1},
			{"again", fsm.Checkpoint{At: 5, Sum: "theirs", Version: own}, healAgain / 2, 1},
			{"an hour later", fsm.Checkpoint{At: 5, Sum: "theirs", Version: own}, healAgain, 2},
		} {
			time.Sleep(step.after)
			c.Passed(5, fsm.Checkpoint{}, nil)
			synctest.Wait()
			c.Passed(6, step.verdict, nil)
			synctest.Wait()
			if renewed != step.renewed {
				t.Errorf("%s: given up %d times, want %d", step.name, renewed, step.renewed)
			}
		}
	})
}

func TestAgreed(t *testing.T) {
	server := func(sum, version string, voter bool) rpc.RaftState {
		return rpc.RaftState{ID: sum + version, Voter: voter, RaftSumReply: rpc.RaftSumReply{Known: sum != "", Sum: sum, Version: version}}
	}
	for _, tt := range []struct {
		name    string
		servers []rpc.RaftState
		agreed  string
		apart   int
	}{
		{"one alone", []rpc.RaftState{server("x", "1", true)}, "x", 0},
		{"two that differ", []rpc.RaftState{server("x", "1", true), server("y", "1", true)}, "", 2},
		{"one of three differs", []rpc.RaftState{server("x", "1", true), server("y", "1", true), server("x", "1", true)}, "x", 1},
		{"one of three silent", []rpc.RaftState{server("x", "1", true), server("", "", true), server("x", "1", true)}, "x", 0},
		{"one silent, the others differ", []rpc.RaftState{server("x", "1", true), server("", "", true), server("y", "1", true)}, "", 2},
		{"two silent of three", []rpc.RaftState{server("x", "1", true), server("", "", true), server("", "", true)}, "", 0},
		{"who has no vote has no say", []rpc.RaftState{server("x", "1", true), server("y", "1", false), server("y", "1", false)}, "x", 2},
		{"another version is not judged", []rpc.RaftState{server("x", "1", true), server("x", "1", true), server("y", "2", true)}, "x", 0},
		{"versions half and half", []rpc.RaftState{server("x", "1", true), server("y", "2", true)}, "", 0},
		{"two of five are not enough", []rpc.RaftState{server("x", "1", true), server("x", "1", true), server("y", "1", true), server("", "", true), server("", "", true)}, "", 3},
		{"three of five are", []rpc.RaftState{server("x", "1", true), server("x", "1", true), server("y", "1", true), server("x", "1", true), server("", "", true)}, "x", 1},
	} {
		got, version := agreed(tt.servers)
		odd := apart(&rpc.RaftCompareReply{Agreed: got, Version: version, Servers: tt.servers})
		if got != tt.agreed || len(odd) != tt.apart {
			t.Errorf("%s: agreed %q, apart %v; want %q and %d", tt.name, got, odd, tt.agreed, tt.apart)
		}
	}
}
