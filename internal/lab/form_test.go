//go:build linux

package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestForm: three servers of which one knows how many to expect, two clients,
// all told to join the first, in any order of starting.
func TestForm(t *testing.T) {
	l := newLab(t, shape{servers: 3, clients: 2})
	for _, a := range l.clients {
		a.args = slices.DeleteFunc(a.args, func(s string) bool { return s == "-retry-join=s2" || s == "-retry-join=s3" })
	}
	var times []time.Duration
	for round := range rounds(2, 10) {
		order := l.agents()
		l.rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var names []string
		begin := time.Now()
		for _, a := range order {
			names = append(names, a.name)
			a.start()
			pause(l.ctx, time.Duration(l.rand.Int64N(int64(500*time.Millisecond))))
		}
		if _, err := await(l.ctx, surely, l.whole); err != nil {
			t.Fatalf("order %v: %v", names, err)
		}
		times = append(times, time.Since(begin))
		if err := l.oneCluster(); err != nil {
			t.Errorf("order %v: %v", names, err)
		}
		if round == 0 {
			l.checkCommands()
		}
		for _, a := range order {
			a.kill()
			if err := a.wipe(); err != nil {
				t.Fatal(err)
			}
		}
	}
	figures(t, "form in random order", times, "")
	for _, d := range times {
		if d > formWithin {
			t.Errorf("took %v, the bar is %v", d, formWithin)
		}
	}
}

// oneCluster says nil when all servers' files name one and the same cluster.
func (l *lab) oneCluster() error {
	_, err := await(l.ctx, patience, func(context.Context) error {
		var all []string
		for _, s := range l.servers {
			ids := s.clusterIDs()
			if len(ids) == 0 {
				return fmt.Errorf("%s has no cluster ID on its disk", s.name)
			}
			all = append(all, ids...)
		}
		slices.Sort(all)
		if len(slices.Compact(all)) != 1 {
			return fmt.Errorf("cluster IDs %v", all)
		}
		return nil
	})
	return err
}

// checkCommands: what a person sees.
func (l *lab) checkCommands() {
	l.t.Helper()
	c := l.clients[0]
	out, err := c.cli(l.ctx, "members")
	if err != nil || strings.Count(out, " alive ") != len(l.agents()) {
		l.t.Errorf("consul members: %v\n%s", err, out)
	}
	out, err = c.cli(l.ctx, "operator", "raft", "list-peers")
	if err != nil || strings.Count(out, " leader ") != 1 || strings.Count(out, " true ") != len(l.servers) {
		l.t.Errorf("consul operator raft list-peers: %v\n%s", err, out)
	}
}
