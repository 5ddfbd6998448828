package store

// Figures are what this package can be asked for its metrics at any time.
type Figures struct {
	Leader       bool
	Running      bool // raft runs; false while a damaged server heals
	DiskHeld     bool // the disk does not take writes
	Peers        int  // members of the cluster, with or without a vote
	Healthy      bool // all servers, as autopilot sees it; true where it is not known
	Tolerance    int  // voters that may fail, as autopilot sees it
	AppliedIndex uint64
	Differ       int // servers whose state differed when this one last compared, as leader
}

// ReadFigures reads them.
func ReadFigures(s *Store) Figures {
	f := Figures{Leader: s.IsLeader(), DiskHeld: s.gate.IsShut(), Healthy: true, AppliedIndex: s.Index(), Differ: s.compare.Differ()}
	if n := s.node.Load(); n != nil && !f.DiskHeld { // behind a hung disk raft would not answer
		f.Running = true
		if c := n.GetConfiguration(); c.Error() == nil {
			f.Peers = len(c.Configuration().Servers)
		}
	}
	if h, err := s.pilot.Health(); err == nil {
		f.Healthy, f.Tolerance = h.Healthy, h.FailureTolerance
	}
	return f
}
