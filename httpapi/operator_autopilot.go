package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// readable is a duration as text in JSON; numbers are read as nanoseconds.
type readable time.Duration

func (d readable) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

func (d *readable) UnmarshalJSON(raw []byte) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil: // as it was
	case float64:
		*d = readable(v)
	case string:
		parsed, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		*d = readable(parsed)
	default:
		return fmt.Errorf("%s is not a duration such as \"200ms\"", raw)
	}
	return nil
}

// autopilotConfig is /v1/operator/autopilot/configuration.
type autopilotConfig struct {
	CleanupDeadServers      bool
	LastContactThreshold    readable
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime readable
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string
	CreateIndex             uint64
	ModifyIndex             uint64
}

// newAutopilotConfig has the documented defaults of what a PUT leaves out.
func newAutopilotConfig() autopilotConfig {
	return autopilotConfig{
		CleanupDeadServers: true, MaxTrailingLogs: 250,
		LastContactThreshold:    readable(200 * time.Millisecond),
		ServerStabilizationTime: readable(10 * time.Second),
	}
}

func (s operatorAPI) autopilotConfiguration(_ http.ResponseWriter, r *http.Request) (any, error) {
	if r.Method == http.MethodPut {
		return s.setAutopilot(r)
	}
	in, err := s.autopilotRequest(r)
	if err != nil {
		return nil, err
	}
	c, err := rpc.Call(r.Context(), s.deps.Caller, rpc.AutopilotGet, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return autopilotConfig{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: readable(c.LastContactThreshold),
		MaxTrailingLogs: c.MaxTrailingLogs, MinQuorum: c.MinQuorum, ServerStabilizationTime: readable(c.ServerStabilizationTime),
		RedundancyZoneTag: c.RedundancyZoneTag, DisableUpgradeMigration: c.DisableUpgradeMigration,
		UpgradeVersionTag: c.UpgradeVersionTag, CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
	}, nil
}

func (s operatorAPI) autopilotRequest(r *http.Request) (*rpc.AutopilotRequest, error) {
	opts, err := s.ReadOptions(r)
	return &rpc.AutopilotRequest{ReadOptions: opts}, err
}

func (s operatorAPI) setAutopilot(r *http.Request) (any, error) {
	body := newAutopilotConfig()
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, edge.BadRequest(fmt.Sprintf("Error parsing autopilot config: %v", err))
	}
	if body.LastContactThreshold < 0 || body.ServerStabilizationTime < 0 {
		return nil, edge.BadRequest("Error parsing autopilot config: a duration must not be negative")
	}
	in := &rpc.AutopilotSetRequest{Target: edge.Target(r), Config: rpc.AutopilotConfig{
		CleanupDeadServers: body.CleanupDeadServers, LastContactThreshold: time.Duration(body.LastContactThreshold),
		MaxTrailingLogs: body.MaxTrailingLogs, MinQuorum: body.MinQuorum, ServerStabilizationTime: time.Duration(body.ServerStabilizationTime),
		RedundancyZoneTag: body.RedundancyZoneTag, DisableUpgradeMigration: body.DisableUpgradeMigration,
		UpgradeVersionTag: body.UpgradeVersionTag,
	}}
	if q := r.URL.Query(); q.Has("cas") {
		index, err := strconv.ParseUint(q.Get("cas"), 10, 64)
		if err != nil {
			return nil, edge.BadRequest(fmt.Sprintf("Error parsing cas value: %v", err))
		}
		in.CAS, in.Config.ModifyIndex = true, index
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.AutopilotSet, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return out.Set, nil
}

// serverHealth is a server in the answer of /v1/operator/autopilot/health.
type serverHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string
	Version     string
	Leader      bool
	LastContact readable
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time
}

// autopilotHealth answers with 429 while a server is not healthy, so that a check
// of the status is enough.
func (s operatorAPI) autopilotHealth(_ http.ResponseWriter, r *http.Request) (any, error) {
	in, err := s.autopilotRequest(r)
	if err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.AutopilotHealth, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	servers := make([]serverHealth, len(out.Servers))
	for i, x := range out.Servers {
		servers[i] = serverHealth{
			ID: x.ID, Name: x.Name, Address: x.Address, SerfStatus: x.NodeStatus, Version: x.Version, Leader: x.Leader,
			LastContact: readable(x.LastContact), LastTerm: x.LastTerm, LastIndex: x.LastIndex,
			Healthy: x.Healthy, Voter: x.Voter, StableSince: x.StableSince,
		}
	}
	status := http.StatusOK
	if !out.Healthy {
		status = http.StatusTooManyRequests
	}
	return edge.Under(status, struct {
		Healthy          bool
		FailureTolerance int
		Servers          []serverHealth
	}{out.Healthy, out.FailureTolerance, servers}), nil
}

// serverState is a server in the answer of /v1/operator/autopilot/state.
type serverState struct {
	ID          string
	Name        string
	Address     string
	NodeStatus  string
	Version     string
	LastContact readable
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
	ReadReplica bool // there are none
	Status      string
	Meta        map[string]string
	NodeType    string
}

func (s operatorAPI) autopilotState(_ http.ResponseWriter, r *http.Request) (any, error) {
	in, err := s.autopilotRequest(r)
	if err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.AutopilotState, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	servers := make(map[string]serverState, len(out.Servers))
	for id, x := range out.Servers {
		servers[id] = serverState{
			ID: x.ID, Name: x.Name, Address: x.Address, NodeStatus: x.NodeStatus, Version: x.Version,
			LastContact: readable(x.LastContact), LastTerm: x.LastTerm, LastIndex: x.LastIndex,
			Healthy: x.Healthy, StableSince: x.StableSince, Status: x.Status, Meta: x.Meta, NodeType: x.NodeType,
		}
	}
	return struct {
		Healthy                    bool
		FailureTolerance           int
		OptimisticFailureTolerance int // 0 where there are no redundancy zones
		Leader                     string
		Voters                     []string
		Servers                    map[string]serverState
	}{out.Healthy, out.FailureTolerance, 0, out.Leader, edge.List(out.Voters), servers}, nil
}
