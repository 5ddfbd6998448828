package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// commandCase is a command line, what it prints, and what the agent was asked.
type commandCase struct {
	args       []string
	code       int
	out, errs  string
	asked      string // part of "METHOD URI TOKEN"; "" = nothing is looked for
	notAsked   bool   // the agent must not have been asked at all
	errsPrefix bool   // errs is only the beginning
}

func (tt *commandCase) check(t *testing.T, seen *[]string) {
	t.Helper()
	t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
		*seen = nil
		code, out, errs := execute(t, tt.args...)
		same := errs == tt.errs || tt.errsPrefix && strings.HasPrefix(errs, tt.errs)
		if code != tt.code || out != tt.out || !same {
			t.Errorf("exit %d\n%q\n%q\nwant %d\n%q\n%q", code, out, errs, tt.code, tt.out, tt.errs)
		}
		if got := strings.Join(*seen, "\n"); !strings.Contains(got, tt.asked) || tt.notAsked && got != "" {
			t.Errorf("asked %q, want %q", got, tt.asked)
		}
	})
}

const (
	rafts = `{"Index":3,"Servers":[{"ID":"i1","Node":"n1","Address":"10.0.0.1:8300","Leader":true,"ProtocolVersion":"3","Voter":true,"LastIndex":40},
		{"ID":"i2","Node":"n2","Address":"10.0.0.2:8300","ProtocolVersion":"3","Voter":true,"LastIndex":39},
		{"ID":"i3","Node":"n3","Address":"10.0.0.3:8300","ProtocolVersion":"3","LastIndex":20}]}`
	autopilot = `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":3,"ServerStabilizationTime":"10s","RedundancyZoneTag":"","DisableUpgradeMigration":false,"UpgradeVersionTag":"","CreateIndex":4,"ModifyIndex":7}`
	states    = `{"Healthy":true,"FailureTolerance":1,"OptimisticFailureTolerance":0,"Leader":"i1","Voters":["i1","i2"],"Servers":{
		"i2":{"ID":"i2","Name":"n2","Address":"10.0.0.2:8300","NodeStatus":"alive","Version":"1.21.0","LastContact":"1ms","LastTerm":3,"LastIndex":39,"Healthy":true,"Status":"voter","NodeType":"voter"},
		"i1":{"ID":"i1","Name":"n1","Address":"10.0.0.1:8300","NodeStatus":"alive","Version":"1.21.0","LastContact":"0s","LastTerm":3,"LastIndex":40,"Healthy":true,"StableSince":"2026-01-02T03:04:05Z","Status":"leader","NodeType":"voter","Meta":{"k":"v"}}}}`
	usages = `{"Usage":{"dc2":{"Nodes":2,"Services":1,"ServiceInstances":2,"ConnectServiceInstances":{"connect-proxy":1},"BillableServiceInstances":1},
		"dc1":{"Nodes":1,"Services":2,"ServiceInstances":4,"ConnectServiceInstances":{"mesh-gateway":2,"connect-proxy":0},"BillableServiceInstances":3}}}`
	rings = `[{"WAN":true,"Datacenter":"dc1","Keys":{"b":2,"a":1},"PrimaryKeys":{"a":1},"NumNodes":2},
		{"Datacenter":"dc1","Segment":"alpha","Keys":{"a":3},"PrimaryKeys":{"a":3},"NumNodes":3,"Messages":{"n1":"late"}}]`
)

func TestOperatorCommands(t *testing.T) {
	seen := answering(t, map[string]string{
		"/v1/operator/raft/configuration":      rafts,
		"/v1/operator/raft/peer":               "",
		"/v1/operator/raft/transfer-leader":    `{"Success":true}`,
		"/v1/operator/autopilot/configuration": autopilot,
		"/v1/operator/autopilot/state":         states,
		"/v1/operator/usage":                   usages,
	})
	const config = "CleanupDeadServers = true\nLastContactThreshold = 200ms\nMaxTrailingLogs = 250\nMinQuorum = 3\n" +
		"ServerStabilizationTime = 10s\nRedundancyZoneTag = \"\"\nDisableUpgradeMigration = false\nUpgradeVersionTag = \"\"\n"
	const billable = "Billable Service Instances Total: 4\ndc1 Billable Service Instances: 3\ndc2 Billable Service Instances: 1\n\n" +
		"Billable Services\nDatacenter  Services  Service instances\ndc1         2         3\ndc2         1         1\n                      \nTotal       3         4\n"
	const connect = "Connect Services\nDatacenter  Type           Service instances\ndc1         connect-proxy  0\ndc1         mesh-gateway   2\ndc2         connect-proxy  1\n                           \nTotal                      3\n"
	for _, tt := range []commandCase{
		{args: []string{"operator", "raft", "list-peers", "-stale=true", "-datacenter=dc2", "-token=t"},
			out: "Node  ID  Address        State     Voter  RaftProtocol  Commit Index  Trails Leader By\n" +
				"n1    i1  10.0.0.1:8300  leader    true   3             40            -\n" +
				"n2    i2  10.0.0.2:8300  follower  true   3             39            1 commit\n" +
				"n3    i3  10.0.0.3:8300  follower  false  3             20            20 commits\n",
			asked: "GET /v1/operator/raft/configuration?dc=dc2&stale= t"},
		{args: []string{"operator", "raft", "remove-peer", "-address=10.0.0.3:8300"}, out: "Removed peer with address \"10.0.0.3:8300\"\n", asked: "DELETE /v1/operator/raft/peer?address=10.0.0.3%3A8300 "},
		{args: []string{"operator", "raft", "remove-peer", "-id=i3"}, out: "Removed peer with id \"i3\"\n", asked: "DELETE /v1/operator/raft/peer?id=i3 "},
		{args: []string{"operator", "raft", "remove-peer"}, code: 1, errs: "Error removing peer: an address or id is required for the peer to remove\n", notAsked: true},
		{args: []string{"operator", "raft", "remove-peer", "-id=a", "-address=b"}, code: 1, errs: "Error removing peer: cannot give both an address and id\n", notAsked: true},
		{args: []string{"operator", "raft", "transfer-leader"}, out: "Success\n", asked: "POST /v1/operator/raft/transfer-leader "},
		{args: []string{"operator", "raft", "transfer-leader", "-id=i2"}, out: "Success\n", asked: "POST /v1/operator/raft/transfer-leader?id=i2 "},
		{args: []string{"operator", "autopilot", "get-config", "-stale"}, out: config, asked: "GET /v1/operator/autopilot/configuration?stale= "},
		{args: []string{"operator", "autopilot", "state"}, out: "Healthy:                      true\nFailure Tolerance:            1\nOptimistic Failure Tolerance: 0\nLeader:                       i1\n" +
			"Voters:\n   i1\n   i2\nServers:\n" +
			"   i1\n      Name:            n1\n      Address:         10.0.0.1:8300\n      Version:         1.21.0\n      Status:          leader\n      Node Type:       voter\n      Node Status:     alive\n" +
			"      Healthy:         true\n      Last Contact:    0s\n      Last Term:       3\n      Last Index:      40\n      Stable Since:    2026-01-02T03:04:05Z\n      Meta\n         \"k\": \"v\"\n" +
			"   i2\n      Name:            n2\n      Address:         10.0.0.2:8300\n      Version:         1.21.0\n      Status:          voter\n      Node Type:       voter\n      Node Status:     alive\n" +
			"      Healthy:         true\n      Last Contact:    1ms\n      Last Term:       3\n      Last Index:      39\n"},
		{args: []string{"operator", "autopilot", "state", "-format=xml"}, code: 1, errs: "Invalid format: xml, known are pretty and json\n", notAsked: true},
		{args: []string{"operator", "autopilot", "set-config", "-max-trailing-logs=zz"}, code: 1, errs: "invalid value \"zz\" for flag -max-trailing-logs: ", errsPrefix: true, notAsked: true},
		{args: []string{"operator", "usage", "instances"}, out: billable + "\nNodes\nDatacenter  Count\ndc1         1\ndc2         2\n            \nTotal       3\n\n" + connect, asked: "GET /v1/operator/usage "},
		{args: []string{"operator", "usage", "instances", "-all-datacenters", "-billable"}, out: billable, asked: "GET /v1/operator/usage?global= "},
		{args: []string{"operator", "usage", "instances", "-connect"}, out: connect},
		{args: []string{"operator", "usage", "instances", "-connect", "-billable"}, code: 1, errs: "Cannot specify both -billable and -connect\n", notAsked: true},
		{args: []string{"operator", "raft", "list-peers", "-detailed"}, code: 1, errs: "flag provided but not defined: -detailed\nUsage:\n", errsPrefix: true},
		{args: []string{"operator"}, code: 1, errs: "Usage: consul operator <subcommand> [options]\n", errsPrefix: true},
		{args: []string{"operator", "raft"}, code: 1, errs: "Usage: consul operator raft <subcommand> [options]\n", errsPrefix: true},
	} {
		tt.check(t, seen)
	}
	code, out, _ := execute(t, "operator", "autopilot", "state", "-format=json")
	if code != 0 || !strings.Contains(out, `"Healthy": true`) || !strings.Contains(out, `"LastContact": "1ms"`) {
		t.Errorf("exit %d, %s", code, out)
	}
}

// TestAutopilotSet: only what the flags name changes, and only if nobody else
// changed anything meanwhile.
func TestAutopilotSet(t *testing.T) {
	var puts []string
	answer := "true"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(autopilot))
			return
		}
		body := new(strings.Builder)
		_ = r.Write(body)
		puts = append(puts, r.URL.RequestURI()+" "+body.String()[strings.Index(body.String(), "{"):])
		_, _ = w.Write([]byte(answer))
	}))
	defer s.Close()
	t.Setenv("CONSUL_HTTP_ADDR", s.URL)
	code, out, errs := execute(t, "operator", "autopilot", "set-config", "-cleanup-dead-servers=false", "-max-trailing-logs=99",
		"-last-contact-threshold=300ms", "-min-quorum=5", "-server-stabilization-time=1m", "-redundancy-zone-tag=z", "-disable-upgrade-migration", "-upgrade-version-tag=v")
	if code != 0 || out != "Configuration updated!\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	want := `"CleanupDeadServers":false,"LastContactThreshold":"300ms","MaxTrailingLogs":99,"MinQuorum":5,"ServerStabilizationTime":"1m0s","RedundancyZoneTag":"z","DisableUpgradeMigration":true,"UpgradeVersionTag":"v"`
	if len(puts) != 1 || !strings.HasPrefix(puts[0], "/v1/operator/autopilot/configuration?cas=7 ") || !strings.Contains(puts[0], want) {
		t.Errorf("sent %q", puts)
	}
	puts = nil
	answer = "false"
	code, _, errs = execute(t, "operator", "autopilot", "set-config", "-max-trailing-logs=0")
	if code != 1 || errs != "Configuration could not be atomically updated, please try again\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
	if len(puts) != 1 || !strings.Contains(puts[0], `"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":0,"MinQuorum":3`) {
		t.Errorf("sent %q", puts)
	}
}

func TestPoolCommands(t *testing.T) {
	seen := answering(t, map[string]string{
		"/v1/agent/join/10.0.0.1":      "",
		"/v1/agent/join/10.0.0.2:8302": "",
		"/v1/agent/force-leave/n1":     "",
		"/v1/operator/keyring":         rings,
	})
	const nobody = "Error joining address '10.9.9.9': Unexpected response code: 404 (nothing here)\n"
	for _, tt := range []commandCase{
		{args: []string{"join", "10.0.0.1"}, out: "Successfully joined cluster by contacting 1 nodes.\n", asked: "PUT /v1/agent/join/10.0.0.1 "},
		{args: []string{"join", "-wan", "10.0.0.1", "10.0.0.2:8302"}, out: "Successfully joined cluster by contacting 2 nodes.\n", asked: "PUT /v1/agent/join/10.0.0.2:8302?wan=1 "},
		{args: []string{"join", "10.9.9.9", "10.0.0.1"}, out: "Successfully joined cluster by contacting 1 nodes.\n", errs: nobody},
		{args: []string{"join", "10.9.9.9"}, code: 1, errs: nobody + "Failed to join any nodes.\n"},
		{args: []string{"join"}, code: 1, errs: "At least one address to join must be specified.\n\nUsage: consul join [options] address ...\n", errsPrefix: true, notAsked: true},
		{args: []string{"force-leave", "n1"}, asked: "PUT /v1/agent/force-leave/n1 "},
		{args: []string{"force-leave", "-prune", "-wan", "n1"}, asked: "PUT /v1/agent/force-leave/n1?prune=1&wan=1 "},
		{args: []string{"force-leave", "nobody"}, code: 1, errs: "Error force leaving: Unexpected response code: 404 (nothing here)\n"},
		{args: []string{"force-leave"}, code: 1, errs: "A single node name must be specified to force leave.\n\nUsage: consul force-leave [options] name\n", errsPrefix: true, notAsked: true},
		{args: []string{"force-leave", "a", "b"}, code: 1, errs: "A single node name must be specified", errsPrefix: true, notAsked: true},
		{args: []string{"keyring", "-list"}, out: "==> Gathering installed encryption keys...\n==> Done!\n\nWAN:\n  a [1/2]\n  b [2/2]\n\ndc1 (LAN) [alpha]:\n  ===> n1: late\n  a [3/3]\n", asked: "GET /v1/operator/keyring "},
		{args: []string{"keyring", "-list-primary", "-local-only", "-relay-factor=3"}, out: "==> Gathering installed encryption keys...\n==> Done!\n\nWAN:\n  a [1/2]\n\ndc1 (LAN) [alpha]:\n  ===> n1: late\n  a [3/3]\n",
			asked: "GET /v1/operator/keyring?local-only=true&relay-factor=3 "},
		{args: []string{"keyring", "-install=k"}, out: "==> Installing new gossip encryption key...\n==> Done!\n", asked: "POST /v1/operator/keyring "},
		{args: []string{"keyring", "-use=k", "-relay-factor=1"}, out: "==> Changing primary gossip encryption key...\n==> Done!\n", asked: "PUT /v1/operator/keyring?relay-factor=1 "},
		{args: []string{"keyring", "-remove=k"}, out: "==> Removing gossip encryption key...\n==> Done!\n", asked: "DELETE /v1/operator/keyring "},
		{args: []string{"keyring", "-remove=k", "-http-addr=127.0.0.1:1"}, code: 1, out: "==> Removing gossip encryption key...\n", errs: "error: Delete ", errsPrefix: true},
		{args: []string{"keyring"}, code: 1, errs: "Usage: consul keyring [options]\n", errsPrefix: true, notAsked: true},
		{args: []string{"keyring", "-list", "-use=k"}, code: 1, errs: "Usage: consul keyring [options]\n", errsPrefix: true, notAsked: true},
		{args: []string{"keyring", "-list", "-relay-factor=6"}, code: 1, errs: "Error parsing relay factor: 6 is not in the range 0 to 5\n", notAsked: true},
		{args: []string{"keyring", "-use=k", "-local-only"}, code: 1, errs: "Error: -local-only can only be used with -list and -list-primary\n", notAsked: true},
	} {
		tt.check(t, seen)
	}
}

func TestRTT(t *testing.T) {
	const coord = `{"Vec":[%,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.00001}`
	at := func(x string) string { return strings.Replace(coord, "%", x, 1) }
	seen := answering(t, map[string]string{
		"/v1/agent/self": `{"Config":{"NodeName":"n1","Datacenter":"dc1"}}`,
		"/v1/coordinate/nodes": `[{"Node":"n1","Segment":"","Coord":` + at("0") + `},{"Node":"n2","Segment":"","Coord":` + at("0.0005") + `},
			{"Node":"n3","Segment":"alpha","Coord":` + at("0") + `},{"Node":"odd","Segment":"","Coord":{"Vec":[1]}}]`,
		"/v1/coordinate/datacenters": `[{"Datacenter":"dc1","AreaID":"wan","Coordinates":[{"Node":"n1","Coord":` + at("0") + `}]},
			{"Datacenter":"dc2","AreaID":"wan","Coordinates":[{"Node":"n2.dc2","Coord":` + at("0.001") + `}]}]`,
	})
	for _, tt := range []commandCase{
		{args: []string{"rtt", "n1", "n2"}, out: "Estimated n1 <-> n2 rtt: 0.520 ms (using LAN coordinates)\n"},
		{args: []string{"rtt", "n2"}, out: "Estimated n2 <-> n1 rtt: 0.520 ms (using LAN coordinates)\n"},
		{args: []string{"rtt", "-wan", "n1.dc1", "n2.dc2"}, out: "Estimated n1.dc1 <-> n2.dc2 rtt: 1.020 ms (using WAN coordinates)\n"},
		{args: []string{"rtt", "-wan", "n2.dc2"}, out: "Estimated n2.dc2 <-> n1.dc1 rtt: 1.020 ms (using WAN coordinates)\n"},
		{args: []string{"rtt", "-wan", "n1"}, code: 1, errs: "Node names must be specified as <node name>.<datacenter> with -wan, which \"n1\" is not\n"},
		{args: []string{"rtt", "nobody"}, code: 1, errs: "Could not find a coordinate for node \"nobody\"\n"},
		{args: []string{"rtt", "n1", "n3"}, code: 1, errs: "Could not find a common coordinate for nodes \"n1\" and \"n3\"\n"},
		{args: []string{"rtt", "n1", "odd"}, code: 1, errs: "Could not find a common coordinate for nodes \"n1\" and \"odd\"\n"},
		{args: []string{"rtt"}, code: 1, errs: "One or two node names must be specified\n\nUsage: consul rtt [options] node1 [node2]\n", errsPrefix: true, notAsked: true},
	} {
		tt.check(t, seen)
	}
}
