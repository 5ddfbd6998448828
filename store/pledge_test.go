package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"consul.internal/rpc"
)

// founders is a model of servers that found a cluster: vows are durable, messages
// get lost, coordinators crash between any two steps and see whatever part of the
// pool they see. Votes stand for raft: who is bootstrapped asks for them.
type founders struct {
	vows   map[string]vow
	voted  map[string]bool
	booted map[string]rpc.Pledge // bootstrapped, by coordinator
	votes  map[string]map[string]bool
	expect int
	trace  []string
}

func newFounders(expect int, ids ...string) *founders {
	f := &founders{vows: map[string]vow{}, voted: map[string]bool{}, booted: map[string]rpc.Pledge{}, votes: map[string]map[string]bool{}, expect: expect}
	for _, id := range ids {
		f.vows[id] = vow{}
	}
	return f
}

func (f *founders) say(format string, args ...any) {
	f.trace = append(f.trace, fmt.Sprintf(format, args...))
}

func (f *founders) free(id string) bool {
	_, booted := f.booted[id]
	return !booted && !f.voted[id]
}

func (f *founders) send(id string, in *rpc.PledgeRequest) rpc.PledgeReply {
	next, reply := f.vows[id].answer(in, f.free(id))
	if reply.Granted {
		f.vows[id] = next
	}
	kind := "promise"
	if in.Pledge != nil {
		kind = "pledge " + in.Pledge.ClusterID
	}
	f.say("%s %d.%s asks %s: %s: %v %s", kind, in.Ballot.Round, in.Ballot.By, id, kind, reply.Granted, reply.Reason)
	return reply
}

// attempt is Former.attempt as a list of steps that others may come between.
func (f *founders) attempt(self string, seen []Candidate, mint func() string, lost func() bool) *[]func() bool {
	var (
		steps    []func() bool
		p        plan
		ballot   rpc.Ballot
		promises = map[string]rpc.PledgeReply{}
		pledge   *rpc.Pledge
	)
	steps = append(steps, func() bool { // called with itself taken off already
		var why string
		if p, why = plot(self, f.expect, seen); why != "" || !f.free(self) {
			f.say("%s waits: %s", self, why)
			return false
		}
		ballot = rpc.Ballot{Round: f.vows[self].Promised.Round + 1, By: self}
		promises[self] = f.send(self, &rpc.PledgeRequest{Ballot: ballot})
		for _, id := range p.ask {
			if id != self {
				steps = slices.Insert(steps, 0, func() bool {
					if r := f.send(id, &rpc.PledgeRequest{Ballot: ballot}); !lost() {
						promises[id] = r
					}
					return true
				})
			}
		}
		return true
	}, func() bool {
		ok, why := judge(p, promises)
		if !ok {
			f.say("%s gives up: %s", self, why)
			return false
		}
		pledge = &rpc.Pledge{Ballot: ballot, Set: p.set, ClusterID: mint()}
		if mine := promises[self].Pledge; mine != nil && mine.Ballot.By == self {
			pledge.ClusterID = mine.ClusterID
		}
		return f.send(self, &rpc.PledgeRequest{Ballot: ballot, Pledge: pledge}).Granted
	}, func() bool {
		for _, m := range p.set {
			if m.ID == self {
				continue
			}
			if lost() || !f.send(m.ID, &rpc.PledgeRequest{Ballot: ballot, Pledge: pledge}).Granted || lost() {
				return false
			}
		}
		return true
	}, func() bool {
		v := f.vows[self]
		if !f.free(self) || v.Pledge.Ballot != ballot || v.Promised != ballot {
			return false
		}
		f.booted[self] = *pledge
		f.say("%s founds %s", self, pledge.ClusterID)
		return true
	})
	return &steps
}

// vote has a bootstrapped server ask another one.
func (f *founders) vote(candidate, voter string) {
	p, ok := f.booted[candidate]
	if !ok || !slices.ContainsFunc(p.Set, func(m rpc.Founder) bool { return m.ID == voter }) {
		return
	}
	if voter != candidate {
		if _, other := f.booted[voter]; other || !f.vows[voter].mayVote(candidate) {
			return
		}
		f.voted[voter] = true
	}
	if f.votes[p.ClusterID] == nil {
		f.votes[p.ClusterID] = map[string]bool{}
	}
	f.votes[p.ClusterID][voter] = true
	f.say("%s votes for %s", voter, candidate)
}

// formed lists the clusters that have had a leader.
func (f *founders) formed() []string {
	var ids []string
	for _, p := range f.booted {
		if len(f.votes[p.ClusterID]) > len(p.Set)/2 {
			ids = append(ids, p.ClusterID)
		}
	}
	return ids
}

func candidates(expect int, carry int, ids []string) []Candidate {
	var out []Candidate
	for i, id := range ids {
		c := Candidate{ID: id, Name: id, Address: id + ":8300", Status: "alive"}
		if i >= len(ids)-carry {
			c.Expect = expect
		}
		out = append(out, c)
	}
	return out
}

func TestNeverTwoClusters(t *testing.T) {
	formed := 0
	for seed := range uint64(8000) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 3 + r.IntN(3)
		ids := []string{"a", "b", "c", "d", "e"}[:n]
		f := newFounders(3, ids...)
		all := candidates(3, 1+r.IntN(n), ids)
		minted := 0
		mint := func() string { minted++; return fmt.Sprintf("C%d", minted) }
		lost := func() bool { return r.IntN(8) == 0 }
		var running []*[]func() bool
		for range 120 {
			switch k := r.IntN(10); {
			case k == 0: // somebody begins, and sees a part of the pool
				var seen []Candidate
				for _, c := range all {
					if r.IntN(4) > 0 {
						if f.voted[c.ID] && r.IntN(2) == 0 {
							c.ClusterID = "known"
						}
						seen = append(seen, c)
					}
				}
				if c := all[r.IntN(n)]; c.Expect > 0 {
					running = append(running, f.attempt(c.ID, seen, mint, lost))
				}
			case k < 8 && len(running) > 0: // a step of somebody, or its crash
				i := r.IntN(len(running))
				steps := running[i]
				if len(*steps) == 0 || r.IntN(25) == 0 {
					running = slices.Delete(running, i, i+1)
					break
				}
				step := (*steps)[0]
				*steps = (*steps)[1:]
				if !step() {
					running = slices.Delete(running, i, i+1)
				}
			default:
				f.vote(ids[r.IntN(n)], ids[r.IntN(n)])
			}
		}
		if got := f.formed(); len(got) > 1 {
			t.Fatalf("seed %d: clusters %v\n%s", seed, got, strings.Join(f.trace, "\n"))
		} else if len(got) == 1 {
			formed++
		}
	}
	if formed < 800 {
		t.Errorf("only %d runs formed a cluster: the model tests too little", formed)
	}
}

func TestPlot(t *testing.T) {
	three := candidates(3, 3, []string{"a", "b", "c"})
	for _, tt := range []struct {
		name string
		self string
		seen []Candidate
		set  string
		why  string
	}{
		{"the lowest", "a", three, "a b c", ""},
		{"not the lowest", "b", three, "", "server a founds the cluster"},
		{"one carries it, the highest", "c", candidates(3, 1, []string{"a", "b", "c"}), "a b c", ""},
		{"those that expect come first", "c", candidates(3, 3, []string{"a", "b", "c", "d", "e"}), "c d e", ""},
		{"too few", "a", three[:2], "", "2 of 3 expected servers have been found"},
		{"not itself there", "x", three, "", "3 of 3 expected servers have been found"},
		{"twice in the pool", "a", append(three[:2:2], three[1]), "", "2 of 3 expected servers have been found"},
		{"a cluster is there", "a", append([]Candidate{{ID: "z", Name: "z", Status: "alive", ClusterID: "C"}}, three...), "", "server z belongs to cluster C, whose leader will take this server in"},
		{"another expectation", "a", append([]Candidate{{ID: "z", Name: "z", Status: "alive", Expect: 5}}, three...), "", "server z has bootstrap_expect = 5, this server 3: make them equal"},
		{"a failed one does not count", "a", append([]Candidate{{ID: "0", Name: "0", Status: "failed", Expect: 3}}, three...), "a b c", ""},
	} {
		p, why := plot(tt.self, 3, tt.seen)
		var set []string
		for _, m := range p.set {
			set = append(set, m.ID)
		}
		if got := strings.Join(set, " "); got != tt.set || why != tt.why {
			t.Errorf("%s: set %q, %q", tt.name, got, why)
		}
	}
}
