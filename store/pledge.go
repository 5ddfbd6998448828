package store

import (
	"cmp"
	"fmt"
	"slices"

	"consul.internal/rpc"
)

// This file holds the rules by which servers found a cluster together, without
// network, disk or clock (Former has those).
//
// The server that coordinates is the one with the lowest ID among those that are
// alive and configured with an expectation. It asks every server that it sees for
// a promise under a ballot that is higher than any it has heard of, and then, if
// nobody belongs to a cluster, has as many servers as are expected pledge
// themselves to one cluster ID and one set of members. When all have, it
// bootstraps raft with that set, and is elected by it.
//
// Why there are never two clusters out of one set of servers:
//
//   - A server whose log is empty votes only for members of the set to which it
//     is pledged, and not while it has promised a higher ballot. Promises and
//     pledges are on disk before they are answered, and ballots only grow.
//   - A pledge gives way to a higher ballot only if enough members of its set have
//     promised that ballot, with an empty log and without a vote cast, that the
//     rest is no majority of the set: the older attempt is then dead for good.
//   - A coordinator bootstraps only while its own pledge is still the one that
//     all members have made.

// Candidate is a server as the pool of the datacenter shows it.
type Candidate struct {
	ID      string
	Name    string
	Address string // of raft, host:port
	// Expect is the server's own bootstrap_expect, 0 = none.
	Expect int
	// ClusterID is that of the cluster to which it belongs, "" = none known.
	ClusterID string
	Version   string
	Meta      map[string]string
	// Level is the highest level of log commands that it knows (CommandLevel), 0 =
	// not told, which is the first.
	Level uint16
	// Status is alive, failed or left, in the pool's words.
	Status string
	// NonVoter servers never get a vote (read_replica).
	NonVoter bool
}

// vow is what a server has bound itself to while its log is empty.
type vow struct {
	Promised rpc.Ballot
	Pledge   *rpc.Pledge
}

// answer is the rule for a request: what the server is bound to from now on, and
// the reply. free says that its log is empty and that it has cast no vote.
func (v vow) answer(in *rpc.PledgeRequest, free bool) (vow, rpc.PledgeReply) {
	switch {
	case !free:
		return v, rpc.PledgeReply{Taken: true, Promised: v.Promised, Reason: "it belongs to a cluster already"}
	case in.Ballot.Less(v.Promised):
		return v, rpc.PledgeReply{Promised: v.Promised, Pledge: v.Pledge, Reason: fmt.Sprintf("it has promised round %d of server %s", v.Promised.Round, v.Promised.By)}
	case in.Pledge == nil:
		// The pledge as it was is told, so that the coordinator can judge it.
		next := vow{Promised: in.Ballot, Pledge: v.Pledge}
		return next, rpc.PledgeReply{Granted: true, Promised: in.Ballot, Pledge: v.Pledge}
	case in.Ballot != v.Promised || in.Pledge.Ballot != in.Ballot:
		return v, rpc.PledgeReply{Promised: v.Promised, Pledge: v.Pledge, Reason: "it has not promised this round"}
	default:
		return vow{Promised: in.Ballot, Pledge: in.Pledge}, rpc.PledgeReply{Granted: true, Promised: in.Ballot, Pledge: in.Pledge}
	}
}

// mayVote reports whether a server with an empty log may vote for a candidate.
func (v vow) mayVote(candidate string) bool {
	if v.Pledge == nil || v.Pledge.Ballot != v.Promised {
		return false
	}
	return slices.ContainsFunc(v.Pledge.Set, func(f rpc.Founder) bool { return f.ID == candidate })
}

// plan is what a coordinator is about to do.
type plan struct {
	set []rpc.Founder // who is to found the cluster, by ID
	ask []string      // whom to ask for a promise: all who are there
}

// plot decides whether the server self, which expects so many, is to coordinate.
// If not, why says what it waits for.
func plot(self string, expect int, seen []Candidate) (p plan, why string) {
	seen = slices.Clone(seen)
	slices.SortFunc(seen, func(a, b Candidate) int { return cmp.Compare(a.ID, b.ID) })
	seen = slices.CompactFunc(seen, func(a, b Candidate) bool { return a.ID == b.ID })
	var able []Candidate
	there := false
	for _, c := range seen {
		switch {
		case c.Status != "alive":
			continue
		case c.ClusterID != "":
			return plan{}, fmt.Sprintf("server %s belongs to cluster %s, whose leader will take this server in", c.Name, c.ClusterID)
		case c.Expect != 0 && c.Expect != expect:
			return plan{}, fmt.Sprintf("server %s has bootstrap_expect = %d, this server %d: make them equal", c.Name, c.Expect, expect)
		}
		there = there || c.ID == self
		able = append(able, c)
	}
	if len(able) < expect || !there {
		return plan{}, fmt.Sprintf("%d of %d expected servers have been found", len(able), expect)
	}
	// Those that expect first: of the others nobody said that they are to be founders.
	slices.SortStableFunc(able, func(a, b Candidate) int {
		return cmp.Compare(btoi(a.Expect == 0), btoi(b.Expect == 0))
	})
	if able[0].ID != self {
		return plan{}, fmt.Sprintf("server %s founds the cluster", able[0].Name)
	}
	for i, c := range able {
		p.ask = append(p.ask, c.ID)
		if i < expect {
			p.set = append(p.set, rpc.Founder{ID: c.ID, Address: c.Address})
		}
	}
	slices.SortFunc(p.set, func(a, b rpc.Founder) int { return cmp.Compare(a.ID, b.ID) })
	return p, ""
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// judge decides whether the promises that were given allow the pledges of a plan.
func judge(p plan, promises map[string]rpc.PledgeReply) (ok bool, why string) {
	for _, id := range p.ask {
		if r, asked := promises[id]; !asked || !r.Granted {
			return false, fmt.Sprintf("server %s: %s", id, cmp.Or(r.Reason, "it does not answer"))
		}
	}
	for id, r := range promises {
		if r.Pledge == nil {
			continue
		}
		free := 0
		for _, m := range r.Pledge.Set {
			if promises[m.ID].Granted {
				free++
			}
		}
		if majority := len(r.Pledge.Set)/2 + 1; len(r.Pledge.Set)-free >= majority {
			return false, fmt.Sprintf("server %s is pledged to found cluster %s with servers that are not here; start them, or, if they are gone for good, delete the file raft/pledge on every server and restart", id, r.Pledge.ClusterID)
		}
	}
	return true, ""
}
