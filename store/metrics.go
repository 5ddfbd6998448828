package store

// Figures are what is worth watching of this server's part in raft.
type Figures struct {
	Applied, Last uint64 // index of the last entry in the state, and in the log
	Peers         int    // servers in raft's configuration; 0 = not known yet
	LeaderKnown   bool
	Hung          bool // the disk takes no writes, so that this server takes no part
}

// FiguresOf looks at a store's raft. It waits for nothing.
func FiguresOf(s *Store) Figures {
	f := Figures{Applied: s.Index(), Hung: s.gate.IsShut()}
	n := s.node.Load()
	if n == nil {
		return f
	}
	f.Last, f.LeaderKnown = n.LastIndex(), s.LeaderID() != ""
	if c := n.GetConfiguration(); c.Error() == nil {
		f.Peers = len(c.Configuration().Servers)
	}
	return f
}
