package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadServerIsReplaced: autopilot never leaves fewer voters than expected, and
// removes a dead one once another has taken its place.
func TestDeadServerIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, "")
		for _, id := range []string{"a", "b", "c"} {
			l.add(id, 3, false)
			l.start(id)
		}
		s := l.settled(3, 15*time.Second)
		dead := "a"
		if s.cfg.NodeID == dead {
			dead = "b"
		}
		l.stop(dead)
		time.Sleep(5 * time.Minute)
		l.settled(3, time.Second) // it is still a voter: there are only three
		h, err := l.leader().Autopilot().Health()
		if err != nil || h.Healthy || h.FailureTolerance != 0 || len(h.Servers) != 3 || !h.Servers[0].Leader {
			t.Errorf("health with a dead server: %+v, %v", h, err)
		}
		l.add("d", 3, false)
		began := time.Now()
		l.start("d")
		for {
			s := l.settled(3, time.Minute)
			_, servers, err := s.Members().Servers(t.Context())
			gone := err == nil
			for _, sv := range servers {
				gone = gone && string(sv.ID) != dead
			}
			if gone {
				break
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%s is not replaced: %v", dead, servers)
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("replaced after %s; it should be stable for 10 s first", took)
		}
		time.Sleep(2 * pilotUpdate)
		st, err := l.leader().Autopilot().State()
		if err != nil || len(st.Voters) != 3 || st.Leader == "" || st.Servers[st.Leader].Status != "leader" || st.Servers[st.Leader].NodeType != "voter" {
			t.Errorf("state %+v, %v", st, err)
		}
	})
}

func TestAutopilotConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, testConfig(""), testDeps())
		s.RunLeader(s.Autopilot().Run)
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer shut(t, s)
		ready(t, s)
		c := s.Autopilot().Config()
		if !c.CleanupDeadServers || c.LastContactThreshold != 200*time.Millisecond || c.MaxTrailingLogs != 250 || c.ServerStabilizationTime != 10*time.Second {
			t.Errorf("defaults %+v", c)
		}
		c.MinQuorum, c.CleanupDeadServers = 3, false
		if ok, err := s.Autopilot().SetConfig(t.Context(), c, false); !ok || err != nil {
			t.Errorf("set: %v %v", ok, err)
		}
		first := s.Autopilot().Config()
		if first.MinQuorum != 3 || first.CleanupDeadServers || first.ModifyIndex == 0 || first.CreateIndex != first.ModifyIndex {
			t.Errorf("after set %+v", first)
		}
		c.ModifyIndex = 1
		if ok, err := s.Autopilot().SetConfig(t.Context(), c, true); ok || err != nil {
			t.Errorf("cas with a wrong index: %v %v", ok, err)
		}
		if ok, err := s.Autopilot().SetConfig(t.Context(), first, true); !ok || err != nil {
			t.Errorf("cas: %v %v", ok, err)
		}
		if now := s.Autopilot().Config(); now.CreateIndex != first.CreateIndex || now.ModifyIndex <= first.ModifyIndex {
			t.Errorf("after cas %+v", now)
		}
		time.Sleep(12 * time.Second)
		h, err := s.Autopilot().Health()
		if err != nil || !h.Healthy || len(h.Servers) != 1 || !h.Servers[0].Healthy || h.Servers[0].NodeStatus != "alive" {
			t.Errorf("health %+v, %v", h, err)
		}
	})
}
