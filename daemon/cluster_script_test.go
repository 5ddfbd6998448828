package daemon_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/memnet"
	"consul.internal/rpc"
	"github.com/miekg/dns"
)

var update = flag.Bool("update", false, "rewrite the traces in testdata")

// TestCluster runs the scripts in testdata. A script is commands, each block of
// them followed by a line "----", what they said, and an empty line. Lines that
// begin with # are comments.
//
// What is told are facts that repeat, never IDs, indexes or exact times: chance
// in elections and gossip is not seeded. Commands are listed at (*script).run.
func TestCluster(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("scripts: %v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			if underRace && slices.Contains([]string{"reap.txt", "rolling.txt", "five.txt"}, filepath.Base(path)) {
				t.Skip("it takes minutes with the race detector; run it without")
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			began := time.Now()
			synctest.Test(t, func(t *testing.T) { got = (&script{c: newCluster(t)}).play(string(text)) })
			t.Logf("%.1f s of real time", time.Since(began).Seconds())
			switch {
			case got == string(text):
			case *update:
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			default:
				t.Errorf("the trace of %s is another one (-update takes it):\n%s", path, diff(string(text), got))
			}
		})
	}
}

// diff shows the lines around which two texts differ.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out []string
	cmd := ""
	for i := 0; i < max(len(w), len(g)); i++ {
		a, b := "", ""
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a == b {
			cmd = a
			continue
		}
		out = append(out, fmt.Sprintf("line %d, after %q:\n  want %s\n  got  %s", i+1, cmd, a, b))
		if len(w) != len(g) {
			break // what follows is shifted
		}
	}
	return strings.Join(out, "\n")
}

type script struct {
	c      *cluster
	rounds int
	known  []string // acknowledged writes
}

// play runs a script and returns it with what its commands say now.
func (s *script) play(text string) string {
	var out, block []string
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line != "----" {
			out = append(out, line)
			if line != "" && !strings.HasPrefix(line, "#") {
				block = append(block, line)
			}
			continue
		}
		out = append(out, line)
		for _, cmd := range block {
			said := s.say(cmd)
			if len(block) > 1 {
				for k := range said {
					what, _, _ := strings.Cut(cmd, " == ")
					said[k] = what + ": " + said[k]
				}
			}
			out = append(out, said...)
		}
		block = nil
		for i+1 < len(lines) && lines[i+1] != "" {
			i++ // what it said before
		}
	}
	for _, cmd := range block {
		s.c.t.Errorf("no ---- after %q", cmd)
	}
	return strings.Join(out, "\n") + "\n"
}

// say runs one command and words its outcome; "ok" is not worth a line.
func (s *script) say(line string) []string {
	began := time.Now()
	out, err := s.run(strings.Fields(line))
	if s.c.core != nil || testing.Verbose() {
		s.c.t.Logf("%8.2f s +%.2f: %s => %s %v", began.Sub(s.c.began).Seconds(), time.Since(began).Seconds(), line, strings.Join(out, " | "), err)
	}
	if err != nil {
		return append(out, "error: "+err.Error())
	}
	return out
}

// run runs one command:
//
//	server NAME [expect=3] [bootstrap] [join=a,b] [ip=..] [id=N] [node=NAME] [memory] [flag=-x=y]
//	client NAME ...                 describe a machine; join names machines
//	start NAME...                   start agents, one after the other
//	stop|leave|kill NAME...         SIGTERM without and with a leave, SIGKILL
//	restart NAME...                 kill if it runs, and start
//	move NAME                       give a machine that is down a new address
//	wipe NAME [id=N]                empty its data directory
//	cut A B | cutoneway A B | isolate A | heal | loss 30% | delay 100ms
//	advance 10s
//	await 15s COMMAND == ANSWER     poll until COMMAND says ANSWER ("|" between lines)
//	hold 60s COMMAND == ANSWER      it must say so all the time
//	lead NAME                       hand leadership to it
//	leader                          one or none
//	clusters                        how many cluster IDs there are
//	members|peers|catalog NAME      as this agent is told
//	alive NAME                      how many
//	state                           compare the catalogs of all servers
//	register NAME SERVICE PORT      at this agent, with a TTL check
//	check NAME SERVICE STATUS       report
//	put NAME NODE                   write into the catalog through this agent
//	dig NAME DOMAINNAME [TYPE]
//	flood NAME N                    ask for so many names that nobody has
//	forceleave NAME NODE [prune]    through this agent
//	ask NAME DOMAINNAME TYPE == ANSWER, asked      every 10 ms until asked
//	write NAME, written 3s          every 50 ms until written; the gap allowed
//	kept                            whether all servers have all that was acknowledged
//	log NAME WORDS                  whether its log has them since its start
func (s *script) run(f []string) ([]string, error) {
	c := s.c
	switch f[0] {
	case "server", "client":
		return nil, s.define(f)
	case "start", "stop", "leave", "kill", "restart", "move", "isolate", "wipe":
		return s.each(f)
	case "cut", "cutoneway", "heal", "loss", "delay":
		return nil, s.disturb(f)
	case "advance":
		d, err := time.ParseDuration(f[1])
		time.Sleep(d)
		return nil, err
	case "await", "hold":
		return s.until(f)
	case "leader":
		if c.leader() == nil {
			return []string{"none"}, nil
		}
		return []string{"one"}, nil
	case "clusters":
		return []string{strconv.Itoa(len(c.clusterIDs()))}, nil
	case "state":
		return []string{c.same()}, nil
	case "asked":
		return s.asked()
	case "written":
		return s.written(f[1])
	case "kept":
		return s.kept(), nil
	}
	n := c.nodes[f[1]]
	if n == nil {
		return nil, fmt.Errorf("no machine %s", f[1])
	}
	if n.d == nil && f[0] != "log" {
		return nil, fmt.Errorf("%s does not run", n.key)
	}
	return s.at(n, f)
}

// at runs the commands that ask one agent.
func (s *script) at(n *labNode, f []string) ([]string, error) {
	c := s.c
	switch f[0] {
	case "lead":
		return nil, s.lead(n)
	case "members":
		return c.members(n), nil
	case "alive":
		return []string{strconv.Itoa(alive(n))}, nil
	case "peers":
		return c.peers(n), nil
	case "catalog":
		how := rpc.Default
		if len(f) > 2 {
			how = map[string]rpc.Consistency{"stale": rpc.Stale, "consistent": rpc.Consistent}[f[2]]
		}
		return c.catalog(n, how)
	case "register":
		port, err := strconv.Atoi(f[3])
		if err != nil {
			return nil, err
		}
		return nil, n.register(f[2], port)
	case "check":
		return nil, n.d.Local().UpdateTTL("service:"+f[2], catalog.Status(f[3]), "reported")
	case "put":
		return nil, c.put(n, f[2])
	case "dig":
		qtype := dns.TypeA
		if len(f) > 3 {
			qtype = dns.StringToType[f[3]]
		}
		return []string{c.dig(n, f[2], qtype)}, nil
	case "flood":
		return s.flood(n, f[2])
	case "forceleave":
		_, err := rpc.Call(c.t.Context(), n.d.Caller(), rpc.PoolForceLeave, &rpc.ForceLeaveRequest{Node: f[2], Prune: slices.Contains(f, "prune")})
		return nil, err
	case "ask":
		_, want, _ := strings.Cut(strings.Join(f, " "), " == ")
		c.asker = c.ask(n, f[2], dns.StringToType[f[3]], want)
		return nil, nil
	case "write":
		s.rounds++
		c.scrib = c.scribble(n, s.rounds)
		return nil, nil
	case "log":
		words := strings.Join(f[2:], " ")
		for _, e := range n.logs.All() {
			if strings.Contains(fmt.Sprint(e.Message, " ", e.ContextMap()), words) {
				return []string{"yes"}, nil
			}
		}
		return []string{"no"}, nil
	}
	return nil, fmt.Errorf("unknown command")
}

func (s *script) define(f []string) error {
	d := spec{key: f[1], server: f[0] == "server"}
	for _, o := range f[2:] {
		name, value, _ := strings.Cut(o, "=")
		var err error
		switch name {
		case "expect":
			d.expect, err = strconv.Atoi(value)
		case "id":
			d.id, err = strconv.Atoi(value)
		case "bootstrap":
			d.bootstrap = true
		case "memory":
			d.memory = true
		case "join":
			d.join = strings.Split(value, ",")
		case "ip":
			d.ip = value
		case "node":
			d.name = value
		case "flag":
			d.flags = append(d.flags, value)
		default:
			err = fmt.Errorf("unknown option %s", o)
		}
		if err != nil {
			return err
		}
	}
	s.c.add(d)
	return nil
}

// each does something with each of the machines named.
func (s *script) each(f []string) ([]string, error) {
	c := s.c
	var out []string
	for _, key := range f[1:] {
		if strings.Contains(key, "=") {
			continue
		}
		n := c.nodes[key]
		if n == nil {
			return out, fmt.Errorf("no machine %s", key)
		}
		var err error
		switch f[0] {
		case "start":
			err = c.start(n)
		case "stop":
			err = c.stop(n)
		case "leave":
			err = c.leave(n)
		case "kill":
			err = c.kill(n)
		case "restart":
			if n.d != nil {
				err = c.kill(n)
			}
			if err == nil {
				err = c.start(n)
			}
		case "move":
			c.move(n, "")
		case "isolate":
			c.net.Isolate(n.ip)
		case "wipe":
			n.end.Wait()
			err = os.RemoveAll(n.dir)
			if id, ok := strings.CutPrefix(f[len(f)-1], "id="); ok {
				n.id = fmt.Sprintf("00000000-0000-4000-8000-%012s", id)
			}
		}
		if err != nil {
			out = append(out, fmt.Sprintf("%s: %v", key, err))
		}
	}
	return out, nil
}

func (s *script) disturb(f []string) error {
	c := s.c
	ip := func(i int) string { return c.nodes[f[i]].ip }
	switch f[0] {
	case "cut":
		c.net.Cut(ip(1), ip(2))
	case "cutoneway":
		c.net.CutOneWay(ip(1), ip(2))
	case "heal":
		c.net.HealAll()
	case "loss":
		share, err := strconv.Atoi(strings.TrimSuffix(f[1], "%"))
		if err != nil {
			return err
		}
		c.rule.Loss = float64(share) / 100
		c.net.SetDefault(c.rule)
	case "delay":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			return err
		}
		c.rule = memnet.Rule{Delay: d, Loss: c.rule.Loss}
		c.net.SetDefault(c.rule)
	}
	return nil
}

// until polls a command for await and hold.
func (s *script) until(f []string) ([]string, error) {
	within, err := time.ParseDuration(f[1])
	if err != nil {
		return nil, err
	}
	cmd, want, ok := strings.Cut(strings.Join(f[2:], " "), " == ")
	if !ok {
		return nil, fmt.Errorf("%s what?", f[0])
	}
	last, began := "", time.Now()
	reached := s.c.await(within, func() bool {
		out, err := s.run(strings.Fields(cmd))
		if err != nil {
			out = append(out, "error: "+err.Error())
		}
		last = strings.Join(out, " | ")
		return (last == want) == (f[0] == "await")
	})
	switch {
	case f[0] == "await" && reached:
		return []string{fmt.Sprintf("within %s", f[1])}, nil
	case f[0] == "hold" && !reached:
		return []string{fmt.Sprintf("for %s", f[1])}, nil
	}
	s.c.t.Logf("after %v: %s", time.Since(began).Round(100*time.Millisecond), last)
	return []string{"NO"}, nil
}

// lead hands leadership to a server.
func (s *script) lead(n *labNode) error {
	var err error
	done := s.c.await(30*time.Second, func() bool {
		if n.d.Store().IsLeader() {
			return true
		}
		_, err = rpc.Call(s.c.t.Context(), n.d.Caller(), rpc.RaftTransferLeader, &rpc.RaftPeerRequest{ID: n.id})
		return s.c.await(time.Second, n.d.Store().IsLeader)
	})
	if !done {
		return fmt.Errorf("%s does not lead: %v", n.key, err)
	}
	return nil
}

// flood asks for names that do not exist; what the agent keeps must not grow.
func (s *script) flood(n *labNode, count string) ([]string, error) {
	many, err := strconv.Atoi(count)
	if err != nil {
		return nil, err
	}
	before := n.d.Mirror().Stats()
	answers := map[string]int{}
	began := time.Now()
	for i := range many {
		answers[s.c.dig(n, fmt.Sprintf("nothing-%d.service.consul", i), dns.TypeA)]++
	}
	after := n.d.Mirror().Stats()
	out := []string{fmt.Sprintf("%v, %d names more kept", answers, after.Names-before.Names)}
	if took := time.Since(began); took > 0 {
		out = append(out, "it waited for somebody")
		s.c.t.Logf("the flood took %v", took)
	}
	return out, nil
}

func (s *script) asked() ([]string, error) {
	a := s.c.asker
	a.halt()
	s.c.asker = nil
	s.c.t.Logf("asked %d times", a.asked)
	if a.asked == 0 {
		return []string{"nothing was asked"}, nil
	}
	if len(a.wrong) > 0 {
		return []string{fmt.Sprintf("%d of %d answers were wrong: %v", len(a.wrong), a.asked, a.wrong)}, nil
	}
	return []string{"every answer was right"}, nil
}

func (s *script) written(gap string) ([]string, error) {
	w := s.c.scrib
	w.halt()
	s.c.scrib = nil
	limit, err := time.ParseDuration(gap)
	if err != nil {
		return nil, err
	}
	s.c.t.Logf("%d writes acknowledged, longest gap %v, errors %v", len(w.known), w.worst.Round(10*time.Millisecond), w.errors)
	out := []string{"no gap longer than " + gap}
	if w.worst > limit || len(w.known) == 0 {
		out[0] = fmt.Sprintf("%d writes, a gap of %s", len(w.known), w.worst.Round(100*time.Millisecond))
	}
	s.known = append(s.known, w.known...)
	return out, nil
}

// kept looks for every acknowledged write on every server; they get some time to
// catch up.
func (s *script) kept() []string {
	var out []string
	for _, n := range s.c.running(true) {
		lost := 0
		s.c.await(10*time.Second, func() bool {
			lost = 0
			for _, name := range s.known {
				if _, ok := n.d.Store().State().Node(name); !ok {
					lost++
				}
			}
			return lost == 0
		})
		if lost > 0 {
			out = append(out, fmt.Sprintf("%s lacks %d acknowledged writes", n.key, lost))
		}
	}
	if len(out) == 0 && len(s.known) > 0 {
		return []string{"all that was acknowledged"}
	}
	return out
}
