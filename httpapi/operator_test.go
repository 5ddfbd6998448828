package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// fakePool keeps what it was asked.
type fakePool struct {
	joined []string
	wan    bool
	err    error
}

func (p *fakePool) Members(wan bool) []Member {
	if wan {
		return []Member{{Name: "n1.dc1"}, {Name: "n2.dc2"}}
	}
	return []Member{{Name: "n1"}}
}

func (p *fakePool) Join(_ context.Context, addrs []string, wan bool) (int, error) {
	p.joined, p.wan = addrs, wan
	return len(addrs), p.err
}

// filled answers with *out set to v where the types fit.
func filled[T any](v T) *fakeCaller {
	return &fakeCaller{answer: func(_ context.Context, _ string, _, out any) error {
		if out, ok := out.(*T); ok {
			*out = v
		}
		return nil
	}}
}

func TestMembersAndJoin(t *testing.T) {
	s := newTestServer(t, &fakeCaller{}, nil)
	pool := &fakePool{}
	s.deps.Pool = pool
	for target, want := range map[string]string{
		"/v1/agent/members":                                  "n1",
		"/v1/agent/members?wan":                              "n1",
		"/v1/agent/members?wan=1":                            "n1.dc1 n2.dc2",
		"/v1/agent/members?wan=1&filter=Name+contains+\"2\"": "n2.dc2",
		"/v1/agent/members?segment=_all":                     "n1",
	} {
		var members []Member
		if err := json.Unmarshal([]byte(text(t, do(s, "GET", target, ""))), &members); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range members {
			names = append(names, m.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	for target, wan := range map[string]bool{"/v1/agent/join/10.0.0.1:8301": false, "/v1/agent/join/10.0.0.1:8301?wan=1": true, "/v1/agent/join/10.0.0.1:8301?wan": true} {
		r := do(s, "PUT", target, "")
		if r.StatusCode != 200 || len(pool.joined) != 1 || pool.joined[0] != "10.0.0.1:8301" || pool.wan != wan {
			t.Errorf("%s: %d, joined %q, wan %v", target, r.StatusCode, pool.joined, pool.wan)
		}
	}
	pool.err = fault.Newf(fault.Invalid, "1 error occurred: nobody there")
	if r := do(s, "PUT", "/v1/agent/join/10.0.0.1", ""); r.StatusCode != 500 || text(t, r) != pool.err.Error() {
		t.Errorf("a failed join: %d", r.StatusCode)
	}
	if r := do(s, "PUT", "/v1/agent/join/", ""); r.StatusCode != 400 {
		t.Errorf("no address: %d", r.StatusCode)
	}
}

// TestOperatorRequests: what stands in a request is what reaches the servers.
func TestOperatorRequests(t *testing.T) {
	f := &fakeCaller{}
	s := newTestServer(t, f, nil)
	to := rpc.Target{Datacenter: "dc2", Token: "secret"}
	stale := rpc.ReadOptions{Target: to, Consistency: rpc.Stale, MaxWait: 5 * time.Minute}
	for _, tt := range []struct {
		method, target, body string
		want                 any
	}{
		{"PUT", "/v1/agent/force-leave/n1?", "", &rpc.ForceLeaveRequest{Target: to, Node: "n1"}},
		{"PUT", "/v1/agent/force-leave/n1.dc3?prune&wan=1", "", &rpc.ForceLeaveRequest{Target: to, Node: "n1.dc3", Prune: true, WAN: true}},
		{"PUT", "/v1/operator/federation/forget/dc9?", "", &rpc.ForgetDatacenterRequest{Target: to, Name: "dc9"}},
		{"GET", "/v1/operator/raft/configuration?stale", "", &rpc.RaftConfigurationRequest{ReadOptions: stale}},
		{"PUT", "/v1/operator/raft/compare?", "", &rpc.RaftCompareRequest{Target: to}},
		{"DELETE", "/v1/operator/raft/peer?id=x", "", &rpc.RaftPeerRequest{Target: to, ID: "x"}},
		{"DELETE", "/v1/operator/raft/peer?address=a:1", "", &rpc.RaftPeerRequest{Target: to, Address: "a:1"}},
		{"POST", "/v1/operator/raft/transfer-leader?", "", &rpc.RaftPeerRequest{Target: to}},
		{"POST", "/v1/operator/raft/transfer-leader?id=x", "", &rpc.RaftPeerRequest{Target: to, ID: "x"}},
		{"GET", "/v1/operator/autopilot/configuration?stale", "", &rpc.AutopilotRequest{ReadOptions: stale}},
		{"GET", "/v1/operator/autopilot/health?stale", "", &rpc.AutopilotRequest{ReadOptions: stale}},
		{"GET", "/v1/operator/autopilot/state?stale", "", &rpc.AutopilotRequest{ReadOptions: stale}},
		{"PUT", "/v1/operator/autopilot/configuration?cas=7", `{"MaxTrailingLogs":9,"LastContactThreshold":"1s","ServerStabilizationTime":null}`, &rpc.AutopilotSetRequest{
			Target: to, CAS: true, Config: rpc.AutopilotConfig{
				CleanupDeadServers: true, MaxTrailingLogs: 9, LastContactThreshold: time.Second,
				ServerStabilizationTime: 10 * time.Second, ModifyIndex: 7,
			}}},
		{"PUT", "/v1/operator/autopilot/configuration?", `{"CleanupDeadServers":false,"MinQuorum":3,"ServerStabilizationTime":5,"RedundancyZoneTag":"z","DisableUpgradeMigration":true,"UpgradeVersionTag":"v","ModifyIndex":4}`, &rpc.AutopilotSetRequest{
			Target: to, Config: rpc.AutopilotConfig{
				MaxTrailingLogs: 250, MinQuorum: 3, LastContactThreshold: 200 * time.Millisecond, ServerStabilizationTime: 5,
				RedundancyZoneTag: "z", DisableUpgradeMigration: true, UpgradeVersionTag: "v",
			}}},
		{"GET", "/v1/operator/usage?global&stale", "", &rpc.UsageRequest{ReadOptions: stale, Global: true}},
		{"GET", "/v1/operator/keyring?relay-factor=5&local-only", "", &rpc.KeyringRequest{Target: to, Op: rpc.KeyringList, RelayFactor: 5, LocalOnly: true}},
		{"POST", "/v1/operator/keyring?", `{"Key":"k"}`, &rpc.KeyringRequest{Target: to, Op: rpc.KeyringInstall, Key: "k"}},
		{"PUT", "/v1/operator/keyring?", `{"Key":"k"}`, &rpc.KeyringRequest{Target: to, Op: rpc.KeyringUse, Key: "k"}},
		{"DELETE", "/v1/operator/keyring?relay-factor=1", `{"Key":"k"}`, &rpc.KeyringRequest{Target: to, Op: rpc.KeyringRemove, Key: "k", RelayFactor: 1}},
	} {
		f.first = nil // what goes to other datacenters comes after it
		r := do(s, tt.method, tt.target+"&dc=dc2", tt.body, "X-Consul-Token", "secret")
		if r.StatusCode != 200 && r.StatusCode != 429 || !reflect.DeepEqual(f.first, tt.want) {
			t.Errorf("%s %s: %d\n%+v\nwant\n%+v", tt.method, tt.target, r.StatusCode, f.first, tt.want)
		}
	}
}

func TestOperatorRefuses(t *testing.T) {
	f := &fakeCaller{}
	s := newTestServer(t, f, nil)
	for _, tt := range []struct{ method, target, body, text string }{
		{"DELETE", "/v1/operator/raft/peer", "", "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"},
		{"DELETE", "/v1/operator/raft/peer?id=x&address=y", "", "Must specify only one of ?id or ?address"},
		{"PUT", "/v1/operator/autopilot/configuration?cas=x", `{}`, `Error parsing cas value: strconv.ParseUint: parsing "x": invalid syntax`},
		{"PUT", "/v1/operator/autopilot/configuration?cas", `{}`, `Error parsing cas value: `},
		{"PUT", "/v1/operator/autopilot/configuration", `{`, "Error parsing autopilot config: unexpected EOF"},
		{"PUT", "/v1/operator/autopilot/configuration", `{"LastContactThreshold":"soon"}`, `Error parsing autopilot config: time: invalid duration "soon"`},
		{"PUT", "/v1/operator/autopilot/configuration", `{"LastContactThreshold":"-1s"}`, `Error parsing autopilot config: a duration must not be negative`},
		{"PUT", "/v1/operator/autopilot/configuration", `{"LastContactThreshold":[1]}`, `Error parsing autopilot config: [1] is not a duration`},
		{"PUT", "/v1/operator/autopilot/configuration", `{"MinQuorum":-1}`, `Error parsing autopilot config: json: cannot unmarshal number -1`},
		{"GET", "/v1/operator/keyring?relay-factor=6", "", "Error parsing relay factor"},
		{"GET", "/v1/operator/keyring?relay-factor=-1", "", "Error parsing relay factor"},
		{"PUT", "/v1/operator/keyring?local-only=true", `{"Key":"k"}`, "local-only can only be used for list requests"},
		{"POST", "/v1/operator/keyring", "{", "Request decode failed: unexpected EOF"},
		{"POST", "/v1/operator/keyring", "{}", "Missing Key"},
		{"GET", "/v1/operator/usage?global=maybe", "", "Invalid value for ?global"},
		{"PUT", "/v1/agent/force-leave/", "", "Missing node name"},
		{"PUT", "/v1/agent/force-leave/n?prune=maybe", "", "Invalid value for ?prune"},
	} {
		f.last = nil
		r := do(s, tt.method, tt.target, tt.body)
		if got := text(t, r); r.StatusCode != 400 || !strings.HasPrefix(got, tt.text) || f.last != nil {
			t.Errorf("%s %s: %d %q, asked %v", tt.method, tt.target, r.StatusCode, got, f.last)
		}
	}
}

func TestKeyring(t *testing.T) {
	s := newTestServer(t, filled(rpc.KeyringReply{Pools: []rpc.KeyringPool{
		{WAN: true, Datacenter: "dc1", Error: "1/1 nodes reported failure", Messages: map[string]string{"node-a.dc1": "Keyring is empty (encryption not enabled)"}},
		{Datacenter: "dc1", Error: "1/1 nodes reported failure", Messages: map[string]string{"node-a": "Keyring is empty (encryption not enabled)"}},
	}}), nil)
	const want = "4 errors occurred:\n\t* WAN error: 1/1 nodes reported failure\n\t* node-a.dc1: Keyring is empty (encryption not enabled)\n\t* dc1 (LAN) error: 1/1 nodes reported failure\n\t* node-a: Keyring is empty (encryption not enabled)\n\n"
	if r := do(s, "GET", "/v1/operator/keyring", ""); r.StatusCode != 500 || text(t, r) != want {
		t.Errorf("no encryption: %d", r.StatusCode)
	}
	s = newTestServer(t, filled(rpc.KeyringReply{Pools: []rpc.KeyringPool{{Datacenter: "dc1", Error: "no answer"}}}), nil)
	if r := do(s, "PUT", "/v1/operator/keyring", `{"Key":"k"}`); r.StatusCode != 500 || text(t, r) != "1 error occurred:\n\t* dc1 (LAN) error: no answer\n\n" {
		t.Errorf("one error: %d", r.StatusCode)
	}
	s = newTestServer(t, filled(rpc.KeyringReply{Pools: []rpc.KeyringPool{
		{WAN: true, Datacenter: "dc1", Keys: map[string]int{"k": 2}, PrimaryKeys: map[string]int{"k": 1}, NumNodes: 2}, {Datacenter: "dc1"},
	}}), nil)
	got := text(t, do(s, "GET", "/v1/operator/keyring", ""))
	if got != `[{"WAN":true,"Datacenter":"dc1","Segment":"","Keys":{"k":2},"PrimaryKeys":{"k":1},"NumNodes":2},{"WAN":false,"Datacenter":"dc1","Segment":"","Keys":{},"PrimaryKeys":{},"NumNodes":0}]` {
		t.Error(got)
	}
	if r := do(s, "PUT", "/v1/operator/keyring", `{"Key":"k"}`); r.StatusCode != 200 || text(t, r) != "" {
		t.Errorf("use: %d", r.StatusCode)
	}
}

// TestOperatorAnswers: the official client finds in an answer what the servers said.
func TestOperatorAnswers(t *testing.T) {
	server := rpc.AutopilotServer{
		ID: "i", Name: "n", Address: "a:1", NodeStatus: "alive", Version: "1.21.0", LastContact: 3 * time.Millisecond, LastTerm: 2, LastIndex: 9,
		Healthy: true, StableSince: time.Unix(5, 0).UTC(), Status: "leader", Voter: true, Leader: true, Meta: map[string]string{"k": "v"}, NodeType: "voter",
	}
	decoded := func(s *Server, target string, into any) int {
		t.Helper()
		r := do(s, "GET", target, "")
		for _, h := range []string{"X-Consul-Index", "X-Consul-Knownleader"} {
			if got := r.Header.Get(h); got != "" && target != "/v1/operator/usage" {
				t.Errorf("%s has %s", target, h)
			}
		}
		if err := json.Unmarshal([]byte(text(t, r)), into); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		return r.StatusCode
	}
	for _, healthy := range []bool{true, false} {
		s := newTestServer(t, filled(rpc.AutopilotHealthReply{Healthy: healthy, FailureTolerance: 1, Servers: []rpc.AutopilotServer{server}}), nil)
		var h api.OperatorHealthReply
		status := decoded(s, "/v1/operator/autopilot/health", &h)
		if (status == 200) != healthy || (status == 429) == healthy || h.Healthy != healthy || h.FailureTolerance != 1 || len(h.Servers) != 1 {
			t.Fatalf("%d %+v", status, h)
		}
		if x := h.Servers[0]; x.ID != "i" || x.SerfStatus != "alive" || x.LastContact.Duration() != 3*time.Millisecond || !x.Leader || !x.Voter || x.LastIndex != 9 || !x.StableSince.Equal(server.StableSince) {
			t.Errorf("%+v", x)
		}
	}
	s := newTestServer(t, filled(rpc.AutopilotStateReply{Healthy: true, FailureTolerance: 1, Leader: "i", Voters: []string{"i"}, Servers: map[string]rpc.AutopilotServer{"i": server}}), nil)
	var st api.AutopilotState
	if decoded(s, "/v1/operator/autopilot/state", &st); st.Leader != "i" || st.Servers["i"].Status != api.AutopilotServerLeader || st.Servers["i"].NodeType != api.AutopilotTypeVoter || st.Servers["i"].Meta["k"] != "v" || st.Servers["i"].NodeStatus != "alive" {
		t.Errorf("%+v", st)
	}
	s = newTestServer(t, filled(rpc.AutopilotConfig{CleanupDeadServers: true, LastContactThreshold: 200 * time.Millisecond, MaxTrailingLogs: 250, ServerStabilizationTime: 10 * time.Second, CreateIndex: 4, ModifyIndex: 5}), nil)
	var conf api.AutopilotConfiguration
	if decoded(s, "/v1/operator/autopilot/configuration", &conf); conf.LastContactThreshold.String() != "200ms" || conf.ServerStabilizationTime.String() != "10s" || conf.ModifyIndex != 5 || !conf.CleanupDeadServers {
		t.Errorf("%+v", conf)
	}
	s = newTestServer(t, filled(rpc.RaftConfigurationReply{Index: 3, Servers: []*rpc.RaftServer{{ID: "i", Node: "n", Address: "a:1", Leader: true, ProtocolVersion: "3", Voter: true, LastIndex: 8}}}), nil)
	if got := text(t, do(s, "GET", "/v1/operator/raft/configuration", "")); got != `{"Servers":[{"ID":"i","Node":"n","Address":"a:1","Leader":true,"ProtocolVersion":"3","Voter":true,"LastIndex":8}],"Index":3}` {
		t.Error(got)
	}
	s = newTestServer(t, filled(rpc.RaftCompareReply{Index: 3, Same: true, Agreed: "ab", Servers: []rpc.RaftState{{ID: "i", Node: "n", Voter: true, RaftSumReply: rpc.RaftSumReply{Known: true, Sum: "ab", Version: "v"}}}}), nil)
	if got := text(t, do(s, "PUT", "/v1/operator/raft/compare", "")); got != `{"Index":3,"Same":true,"Agreed":"ab","Servers":[{"ID":"i","Node":"n","Voter":true,"Leader":false,"Hash":"ab","Tables":null,"Version":"v"}]}` {
		t.Error(got)
	}
	s = newTestServer(t, filled(rpc.AutopilotSetReply{}), nil)
	if r := do(s, "PUT", "/v1/operator/autopilot/configuration?cas=1", "{}"); r.StatusCode != 200 || text(t, r) != "false" {
		t.Errorf("a lost comparison: %d", r.StatusCode)
	}
	s = newTestServer(t, filled(rpc.UsageReply{ReadMeta: rpc.ReadMeta{Index: 12, KnownLeader: true}, Usage: map[string]rpc.Usage{"dc1": {Nodes: 1}}}), nil)
	r := do(s, "GET", "/v1/operator/usage", "")
	want := `{"Usage":{"dc1":{"Nodes":1,"Services":0,"ServiceInstances":0,"ConnectServiceInstances":null,"BillableServiceInstances":0}},"Index":12,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"leader","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false}`
	if got := text(t, r); got != want || r.Header.Get("X-Consul-Index") != "12" {
		t.Errorf("%q\n%s", r.Header.Get("X-Consul-Index"), got)
	}
	gone := errors.New(`address "a:1" was not found in the Raft configuration`)
	s = newTestServer(t, &fakeCaller{answer: func(context.Context, string, any, any) error { return fault.With(fault.NotFound, gone) }}, nil)
	if r := do(s, "DELETE", "/v1/operator/raft/peer?address=a:1", ""); r.StatusCode != 500 || text(t, r) != gone.Error() {
		t.Errorf("an unknown peer: %d", r.StatusCode)
	}
}
