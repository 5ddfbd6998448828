package rpc

import "time"

// Operations among servers and on the raft cluster that they form.
var (
	// RaftPledge asks one certain server to take part in founding a cluster.
	RaftPledge = Method[PledgeRequest, PledgeReply]{Name: "Raft.Pledge", Idempotent: true}
	// RaftStats asks one certain server how far its log is.
	RaftStats = Method[RaftStatsRequest, RaftStatsReply]{Name: "Raft.Stats", Idempotent: true}
	// RaftDemote asks the leader to take the vote from the server that asks,
	// which has found its data damaged and will fetch everything anew.
	RaftDemote = Method[RaftDemoteRequest, RaftDemoteReply]{Name: "Raft.Demote", Idempotent: true}
	// RaftLeave asks the leader to remove the server that asks from the cluster.
	RaftLeave = Method[RaftPeerRequest, Empty]{Name: "Raft.Leave", Idempotent: true}

	// RaftSum asks one certain server what its state came to at a checkpoint.
	RaftSum = Method[RaftSumRequest, RaftSumReply]{Name: "Raft.Sum", Idempotent: true}
	// RaftCompare has the leader compare the states of all servers now.
	RaftCompare = Method[RaftCompareRequest, RaftCompareReply]{Name: "Operator.RaftCompare"}

	RaftConfiguration  = Method[RaftConfigurationRequest, RaftConfigurationReply]{Name: "Operator.RaftConfiguration", Idempotent: true}
	RaftRemovePeer     = Method[RaftPeerRequest, Empty]{Name: "Operator.RaftRemovePeer"}
	RaftTransferLeader = Method[RaftPeerRequest, RaftTransferReply]{Name: "Operator.RaftTransferLeader"}

	AutopilotGet    = Method[AutopilotRequest, AutopilotConfig]{Name: "Operator.AutopilotGet", Idempotent: true}
	AutopilotSet    = Method[AutopilotSetRequest, AutopilotSetReply]{Name: "Operator.AutopilotSet"}
	AutopilotHealth = Method[AutopilotRequest, AutopilotHealthReply]{Name: "Operator.AutopilotHealth", Idempotent: true}
	AutopilotState  = Method[AutopilotRequest, AutopilotStateReply]{Name: "Operator.AutopilotState", Idempotent: true}
)

// Ballot orders attempts at founding a cluster: by round, then by who makes it.
type Ballot struct {
	Round uint64
	By    string // node ID
}

// Less orders ballots.
func (b Ballot) Less(c Ballot) bool {
	if b.Round != c.Round {
		return b.Round < c.Round
	}
	return b.By < c.By
}

// Founder is a server that is to found a cluster with others.
type Founder struct{ ID, Address string }

// Pledge binds a server to found one certain cluster with certain others.
type Pledge struct {
	Ballot    Ballot
	ClusterID string
	Set       []Founder // by ID
}

// PledgeRequest asks for a promise (Pledge is nil) or for the pledge itself.
type PledgeRequest struct {
	Target
	Ballot Ballot
	Pledge *Pledge
}

// PledgeReply tells whether the promise or pledge was made, durably.
type PledgeReply struct {
	Granted bool
	// Taken says that the server belongs to a cluster already, or has voted in one.
	Taken bool
	// ClusterID of the server, where it knows one.
	ClusterID string
	// Promised is the highest ballot that the server has promised.
	Promised Ballot
	// Pledge is what the server is pledged to, nil = nothing.
	Pledge *Pledge
	Reason string // of a refusal, for people
}

// RaftStatsRequest asks how far a server's log is.
type RaftStatsRequest struct{ Target }

// RaftStatsReply tells how far a server's log is.
type RaftStatsReply struct {
	LastContact time.Duration // since the leader was heard of; 0 on the leader, negative = never
	LastTerm    uint64
	LastIndex   uint64
	ClusterID   string // to which the server belongs or is pledged, "" = none
}

// RaftDemoteRequest asks the leader to let a damaged server heal.
type RaftDemoteRequest struct {
	Target
	ID        string
	Address   string
	ClusterID string // as far as the server still knows it
}

// RaftDemoteReply says whether the server may wipe its data and join anew.
type RaftDemoteReply struct {
	Granted bool
	Reason  string // why not yet, for people
}

// RaftSumRequest asks for the sum of a server's state at a checkpoint.
type RaftSumRequest struct {
	Target
	Index uint64
}

// RaftSumReply is the sum of a server's state at a checkpoint.
type RaftSumReply struct {
	Known   bool              // false: the server was not there, or has not got so far
	Sum     string            // equal for equal states of one version of the program
	Tables  map[string]string // the same by table, to tell where states differ
	Version string            // of the program
}

// RaftCompareRequest has the states of all servers compared.
type RaftCompareRequest struct{ Target }

// RaftState is a server's state at a checkpoint.
type RaftState struct {
	ID, Node      string
	Voter, Leader bool
	RaftSumReply
}

// RaftCompareReply tells how the states of all servers compare.
type RaftCompareReply struct {
	Index   uint64 // of the checkpoint
	Same    bool   // all servers have answered, and have the same
	Agreed  string // the sum of more than half of the voters, "" = there is none
	Version string // of the program that they run
	Servers []RaftState
}

// RaftConfigurationRequest asks for the members of the raft cluster.
type RaftConfigurationRequest struct{ ReadOptions }

// RaftServer is a member of the raft cluster, in the shape of /v1/operator/raft/configuration.
type RaftServer struct {
	ID              string
	Node            string
	Address         string
	Leader          bool
	ProtocolVersion string
	Voter           bool
	LastIndex       uint64
}

// RaftConfigurationReply lists the members of the raft cluster.
type RaftConfigurationReply struct {
	Servers []*RaftServer
	Index   uint64 // of the log entry that made them so
}

// RaftPeerRequest names a server by ID or address; both empty = any.
type RaftPeerRequest struct {
	Target
	ID      string
	Address string
}

// RaftTransferReply answers a transfer of leadership.
type RaftTransferReply struct{ Success bool }

// AutopilotRequest asks about autopilot.
type AutopilotRequest struct{ ReadOptions }

// AutopilotConfig is what autopilot goes by, as the servers have agreed.
type AutopilotConfig struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime time.Duration
	// Kept and shown for clients that set them; they change nothing here.
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string

	CreateIndex uint64
	ModifyIndex uint64
}

// AutopilotSetRequest replaces autopilot's configuration.
type AutopilotSetRequest struct {
	Target
	Config AutopilotConfig
	// CAS makes it happen only while the ModifyIndex is still Config.ModifyIndex.
	CAS bool
}

// AutopilotSetReply says whether the configuration was replaced.
type AutopilotSetReply struct{ Set bool }

// AutopilotServer is a server as autopilot sees it.
type AutopilotServer struct {
	ID          string
	Name        string
	Address     string
	NodeStatus  string // alive, failed, left
	Version     string
	LastContact time.Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
	Status      string // leader, voter, non-voter, staging, none
	Voter       bool
	Leader      bool
	Meta        map[string]string
	NodeType    string
}

// AutopilotHealthReply is the health of the servers as the leader sees it.
type AutopilotHealthReply struct {
	Healthy          bool
	FailureTolerance int
	Servers          []AutopilotServer // leader first, then voters, healthy ones first
}

// AutopilotStateReply is all that autopilot knows.
type AutopilotStateReply struct {
	Healthy          bool
	FailureTolerance int
	Servers          map[string]AutopilotServer
	Leader           string
	Voters           []string
}
