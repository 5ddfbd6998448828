package operate

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"consul.internal/cmd/consul/commandtest"
)

// execute runs one command line of this family.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return commandtest.Run(t, Commands(), args...)
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
	seen := commandtest.Answering(t, map[string]string{
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
	for _, tt := range []commandtest.Case{
		{Args: []string{"operator", "raft", "list-peers", "-stale=true", "-datacenter=dc2", "-token=t"},
			Out: "Node  ID  Address        State     Voter  RaftProtocol  Commit Index  Trails Leader By\n" +
				"n1    i1  10.0.0.1:8300  leader    true   3             40            -\n" +
				"n2    i2  10.0.0.2:8300  follower  true   3             39            1 commit\n" +
				"n3    i3  10.0.0.3:8300  follower  false  3             20            20 commits\n",
			Asked: "GET /v1/operator/raft/configuration?dc=dc2&stale= t"},
		{Args: []string{"operator", "raft", "remove-peer", "-address=10.0.0.3:8300"}, Out: "Removed peer with address \"10.0.0.3:8300\"\n", Asked: "DELETE /v1/operator/raft/peer?address=10.0.0.3%3A8300 "},
		{Args: []string{"operator", "raft", "remove-peer", "-id=i3"}, Out: "Removed peer with id \"i3\"\n", Asked: "DELETE /v1/operator/raft/peer?id=i3 "},
		{Args: []string{"operator", "raft", "remove-peer"}, Code: 1, Errs: "Error removing peer: an address or id is required for the peer to remove\n", NotAsked: true},
		{Args: []string{"operator", "raft", "remove-peer", "-id=a", "-address=b"}, Code: 1, Errs: "Error removing peer: cannot give both an address and id\n", NotAsked: true},
		{Args: []string{"operator", "raft", "transfer-leader"}, Out: "Success\n", Asked: "POST /v1/operator/raft/transfer-leader "},
		{Args: []string{"operator", "raft", "transfer-leader", "-id=i2"}, Out: "Success\n", Asked: "POST /v1/operator/raft/transfer-leader?id=i2 "},
		{Args: []string{"operator", "autopilot", "get-config", "-stale"}, Out: config, Asked: "GET /v1/operator/autopilot/configuration?stale= "},
		{Args: []string{"operator", "autopilot", "state"}, Out: "Healthy:                      true\nFailure Tolerance:            1\nOptimistic Failure Tolerance: 0\nLeader:                       i1\n" +
			"Voters:\n   i1\n   i2\nServers:\n" +
			"   i1\n      Name:            n1\n      Address:         10.0.0.1:8300\n      Version:         1.21.0\n      Status:          leader\n      Node Type:       voter\n      Node Status:     alive\n" +
			"      Healthy:         true\n      Last Contact:    0s\n      Last Term:       3\n      Last Index:      40\n      Stable Since:    2026-01-02T03:04:05Z\n      Meta\n         \"k\": \"v\"\n" +
			"   i2\n      Name:            n2\n      Address:         10.0.0.2:8300\n      Version:         1.21.0\n      Status:          voter\n      Node Type:       voter\n      Node Status:     alive\n" +
			"      Healthy:         true\n      Last Contact:    1ms\n      Last Term:       3\n      Last Index:      39\n"},
		{Args: []string{"operator", "autopilot", "state", "-format=xml"}, Code: 1, Errs: "Invalid format: xml, known are pretty and json\n", NotAsked: true},
		{Args: []string{"operator", "autopilot", "set-config", "-max-trailing-logs=zz"}, Code: 1, Errs: "invalid value \"zz\" for flag -max-trailing-logs: ", ErrsPrefix: true, NotAsked: true},
		{Args: []string{"operator", "usage", "instances"}, Out: billable + "\nNodes\nDatacenter  Count\ndc1         1\ndc2         2\n            \nTotal       3\n\n" + connect, Asked: "GET /v1/operator/usage "},
		{Args: []string{"operator", "usage", "instances", "-all-datacenters", "-billable"}, Out: billable, Asked: "GET /v1/operator/usage?global= "},
		{Args: []string{"operator", "usage", "instances", "-connect"}, Out: connect},
		{Args: []string{"operator", "usage", "instances", "-connect", "-billable"}, Code: 1, Errs: "Cannot specify both -billable and -connect\n", NotAsked: true},
		{Args: []string{"operator", "raft", "list-peers", "-detailed"}, Code: 1, Errs: "flag provided but not defined: -detailed\nUsage:\n", ErrsPrefix: true},
		{Args: []string{"operator"}, Code: 1, Errs: "Usage: consul operator <subcommand> [options]\n", ErrsPrefix: true},
		{Args: []string{"operator", "raft"}, Code: 1, Errs: "Usage: consul operator raft <subcommand> [options]\n", ErrsPrefix: true},
	} {
		tt.Check(t, Commands(), seen)
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
	seen := commandtest.Answering(t, map[string]string{
		"/v1/agent/join/10.0.0.1":      "",
		"/v1/agent/join/10.0.0.2:8302": "",
		"/v1/agent/force-leave/n1":     "",
		"/v1/operator/keyring":         rings,
	})
	const nobody = "Error joining address '10.9.9.9': Unexpected response code: 404 (nothing here)\n"
	for _, tt := range []commandtest.Case{
		{Args: []string{"join", "10.0.0.1"}, Out: "Successfully joined cluster by contacting 1 nodes.\n", Asked: "PUT /v1/agent/join/10.0.0.1 "},
		{Args: []string{"join", "-wan", "10.0.0.1", "10.0.0.2:8302"}, Out: "Successfully joined cluster by contacting 2 nodes.\n", Asked: "PUT /v1/agent/join/10.0.0.2:8302?wan=1 "},
		{Args: []string{"join", "10.9.9.9", "10.0.0.1"}, Out: "Successfully joined cluster by contacting 1 nodes.\n", Errs: nobody},
		{Args: []string{"join", "10.9.9.9"}, Code: 1, Errs: nobody + "Failed to join any nodes.\n"},
		{Args: []string{"join"}, Code: 1, Errs: "At least one address to join must be specified.\n\nUsage: consul join [options] address ...\n", ErrsPrefix: true, NotAsked: true},
		{Args: []string{"force-leave", "n1"}, Asked: "PUT /v1/agent/force-leave/n1 "},
		{Args: []string{"force-leave", "-prune", "-wan", "n1"}, Asked: "PUT /v1/agent/force-leave/n1?prune=1&wan=1 "},
		{Args: []string{"force-leave", "nobody"}, Code: 1, Errs: "Error force leaving: Unexpected response code: 404 (nothing here)\n"},
		{Args: []string{"force-leave"}, Code: 1, Errs: "A single node name must be specified to force leave.\n\nUsage: consul force-leave [options] name\n", ErrsPrefix: true, NotAsked: true},
		{Args: []string{"force-leave", "a", "b"}, Code: 1, Errs: "A single node name must be specified", ErrsPrefix: true, NotAsked: true},
		{Args: []string{"keyring", "-list"}, Out: "==> Gathering installed encryption keys...\n==> Done!\n\nWAN:\n  a [1/2]\n  b [2/2]\n\ndc1 (LAN) [alpha]:\n  ===> n1: late\n  a [3/3]\n", Asked: "GET /v1/operator/keyring "},
		{Args: []string{"keyring", "-list-primary", "-local-only", "-relay-factor=3"}, Out: "==> Gathering installed encryption keys...\n==> Done!\n\nWAN:\n  a [1/2]\n\ndc1 (LAN) [alpha]:\n  ===> n1: late\n  a [3/3]\n",
			Asked: "GET /v1/operator/keyring?local-only=true&relay-factor=3 "},
		{Args: []string{"keyring", "-install=k"}, Out: "==> Installing new gossip encryption key...\n==> Done!\n", Asked: "POST /v1/operator/keyring "},
		{Args: []string{"keyring", "-use=k", "-relay-factor=1"}, Out: "==> Changing primary gossip encryption key...\n==> Done!\n", Asked: "PUT /v1/operator/keyring?relay-factor=1 "},
		{Args: []string{"keyring", "-remove=k"}, Out: "==> Removing gossip encryption key...\n==> Done!\n", Asked: "DELETE /v1/operator/keyring "},
		{Args: []string{"keyring", "-remove=k", "-http-addr=127.0.0.1:1"}, Code: 1, Out: "==> Removing gossip encryption key...\n", Errs: "error: Delete ", ErrsPrefix: true},
		{Args: []string{"keyring"}, Code: 1, Errs: "Usage: consul keyring [options]\n", ErrsPrefix: true, NotAsked: true},
		{Args: []string{"keyring", "-list", "-use=k"}, Code: 1, Errs: "Usage: consul keyring [options]\n", ErrsPrefix: true, NotAsked: true},
		{Args: []string{"keyring", "-list", "-relay-factor=6"}, Code: 1, Errs: "Error parsing relay factor: 6 is not in the range 0 to 5\n", NotAsked: true},
		{Args: []string{"keyring", "-use=k", "-local-only"}, Code: 1, Errs: "Error: -local-only can only be used with -list and -list-primary\n", NotAsked: true},
	} {
		tt.Check(t, Commands(), seen)
	}
}
