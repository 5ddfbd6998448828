package ui

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"consul.internal/rpc"
)

type serversData struct {
	Leader                                   string
	State                                    *rpc.AutopilotStateReply
	Servers                                  []rpc.AutopilotServer
	Config                                   *rpc.AutopilotConfig
	Raft                                     *rpc.RaftConfigurationReply
	StateProblem, RaftProblem, ConfigProblem *problem
	Peers                                    []string
}

// servers is what raft and autopilot say. Who may not see a part sees the others.
func servers(c *call, pg *page) error {
	pg.Title, pg.every = "Servers", serversEvery
	d := &serversData{}
	pg.Data = d
	ctx := c.r.Context()
	opts := rpc.ReadOptions{Target: c.target(), Consistency: rpc.Stale}
	leader, err := rpc.Call(ctx, c.Caller, rpc.StatusLeader, &rpc.StatusRequest{Target: c.target()})
	if err != nil {
		return err
	}
	d.Leader = leader.Leader
	if peers, err := rpc.Call(ctx, c.Caller, rpc.StatusPeers, &rpc.StatusRequest{Target: c.target()}); err == nil {
		d.Peers = peers.Peers
	}
	var refused error
	if d.Raft, refused = rpc.Call(ctx, c.Caller, rpc.RaftConfiguration, &rpc.RaftConfigurationRequest{ReadOptions: opts}); refused != nil {
		d.RaftProblem, _ = problemOf(refused)
	}
	if d.State, err = rpc.Call(ctx, c.Caller, rpc.AutopilotState, &rpc.AutopilotRequest{ReadOptions: rpc.ReadOptions{Target: c.target()}}); err != nil {
		d.StateProblem, _ = problemOf(err)
	} else {
		d.Servers = slices.SortedFunc(maps.Values(d.State.Servers), func(a, b rpc.AutopilotServer) int {
			return cmp.Or(boolFirst(a.Leader, b.Leader), boolFirst(a.Voter, b.Voter), cmp.Compare(a.Name, b.Name))
		})
	}
	for i := range d.Servers {
		d.Servers[i].Version = strings.TrimSuffix(d.Servers[i].Version, ":") // what follows it of some builds
	}
	if d.Config, err = rpc.Call(ctx, c.Caller, rpc.AutopilotGet, &rpc.AutopilotRequest{ReadOptions: opts}); err != nil {
		d.ConfigProblem, _ = problemOf(err)
	}
	if d.RaftProblem != nil && d.StateProblem != nil && d.ConfigProblem != nil {
		return refused
	}
	return nil
}
