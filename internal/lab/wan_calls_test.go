//go:build linux

package lab

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestWANCalls: what a client sends for another datacenter comes to its leader
// through a server that is none, also when that leader has just died.
func TestWANCalls(t *testing.T) {
	far := site{servers: 3, args: []string{"-log-level=debug"}}
	w := newWAN(t, 20*time.Millisecond, site{servers: 3, clients: 1}, far)
	w.run()
	c, dc2 := w.asks(0), w.dcs[1]
	w.callLeader("leader reached directly or not", c, dc2.leader())

	var died []time.Duration
	through := 0 // calls after a leader's death that a server which did not lead handed on
	for i := range rounds(1, 5) {
		leader := dc2.leader()
		for _, a := range w.dcs[0].agents() { // only followers can be reached
			w.net.Cut(a.host, leader.host)
		}
		// What was under way when the link broke may have happened or not, and says
		// so; a read is asked elsewhere, and has the lost server passed over.
		var nodes []struct{ Node string }
		if err := c.get(w.ctx, "/v1/catalog/nodes?dc=dc2&consistent", &nodes); err != nil || len(nodes) == 0 {
			t.Errorf("read %v, %v", nodes, err)
		}
		w.callLeader("only a follower can reach the leader", c, leader)
		name, addr := fmt.Sprintf("new-%d", i), fmt.Sprintf("10.6.0.%d", i+1)
		before := map[string]int{}
		for _, a := range dc2.servers {
			before[a.name] = a.handed()
		}
		leader.kill()
		killed := time.Now()
		pause(w.ctx, time.Second)
		begin := time.Now()
		if err := c.place(w.ctx, "dc2", name, addr); err != nil {
			t.Errorf("1 s after the leader's death: %v", err)
		}
		died = append(died, time.Since(begin))
		var got []struct{ ServiceID string }
		if err := c.get(w.ctx, "/v1/catalog/service/"+name+"?dc=dc2&consistent", &got); err != nil || len(got) != 1 {
			t.Errorf("%v after the leader's death: read %v, %v", time.Since(killed), got, err)
		}
		r := c.asker().ask(name + ".service.dc2.consul.")
		if !r.right(addr) {
			t.Errorf("after the leader's death: %v", r)
		}
		// Whether it came there at once or through the other one is a matter of chance.
		for _, a := range dc2.servers {
			through += a.handed() - before[a.name]
		}
		w.net.HealAll()
		leader.start()
		dc2.settle()
		w.joined()
	}
	figures(t, "1 s after a leader was killed", nil, "%d of %d calls came to the next one through another server", through, 2*len(died))
	judge(t, "write to another datacenter 1 s after its leader was killed", died, 3*time.Second, 5*time.Second)
}

// callLeader writes and reads in dc2, and judges that a follower handed both on.
func (w *wan) callLeader(what string, c, leader *agent) {
	w.t.Helper()
	var took []time.Duration
	for i := range rounds(10, 100) {
		begin := time.Now()
		name := fmt.Sprintf("call-%d", i)
		if err := c.place(w.ctx, "dc2", name, "10.6.1.1"); err != nil {
			w.t.Errorf("%s: %v", what, err)
			continue
		}
		var got []struct{ ServiceID string }
		if err := c.get(w.ctx, "/v1/catalog/service/"+name+"?dc=dc2&consistent", &got); err != nil || len(got) != 1 {
			w.t.Errorf("%s: read %v, %v", what, got, err)
		}
		took = append(took, time.Since(begin))
	}
	judge(w.t, what+": write and consistent read", took, time.Second, 0)
	if w.net.Link(c.host, leader.host).Cut {
		w.handedTo(leader)
	}
}

// handedOn is what a server writes when it hands a call on.
const handedOn = "a call is handed on to the leader"

// handed is how many of the test's calls the server has handed on.
func (a *agent) handed() (n int) {
	for line := range strings.Lines(a.logs()) {
		if strings.Contains(line, handedOn) && (strings.Contains(line, "Catalog.Register") || strings.Contains(line, "Catalog.Service")) {
			n++
		}
	}
	return n
}

// handedTo judges that servers of dc2 other than the leader handed a write and a read on to it.
func (w *wan) handedTo(leader *agent) {
	w.t.Helper()
	for _, method := range []string{"Catalog.Register", "Catalog.Service"} {
		var lines []string
		for _, a := range w.dcs[1].servers {
			if a == leader {
				continue
			}
			for line := range strings.Lines(a.logs()) {
				if strings.Contains(line, handedOn) && strings.Contains(line, method) && strings.Contains(line, "leader="+leader.name) {
					lines = append(lines, a.name+": "+line)
				}
			}
		}
		if len(lines) == 0 {
			w.t.Errorf("no server handed %s on to %s", method, leader.name)
			continue
		}
		figures(w.t, "trace", nil, "%d times %s came to %s through another server", len(lines), method, leader.name)
	}
}
