package roster

import (
	"fmt"
	"net/netip"
	"strconv"
	"testing"

	"consul.internal/internal/gossip"
)

func itoa(n int) string { return strconv.Itoa(n) }

// FuzzParseServer: whatever tags say, a server that is accepted has an address and
// an ID.
func FuzzParseServer(f *testing.F) {
	f.Add("consul", uuid(1), "dc1", "8300", "3", "1", "3")
	f.Add("node", "", "", "", "-1", "x", "9999999999999999999")
	f.Fuzz(func(t *testing.T, role, id, dc, port, expect, level, vsn string) {
		m := gossip.Member{Name: "a", ID: id, Addr: netip.MustParseAddr("10.0.0.1"), Tags: map[string]string{
			"role": role, "id": id, "dc": dc, "port": port, "expect": expect, "level": level, "raft_vsn": vsn,
		}}
		s, err := ParseServer(m)
		if err == nil && (s.Addr.Port() == 0 || !validID.MatchString(s.ID) || s.Expect < 0 || s.Expect > maxExpect || s.Level < 0) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"a", "a:1", "[::1]:2", "::", "%", "{{"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := split(s, 8301)
		if err == nil && (host == "" && s != "" || port == 0) {
			t.Errorf("%q: %q %d", s, host, port)
		}
	})
}

func uuid(i int) string { return fmt.Sprintf("00000000-1111-2222-3333-%012d", i) }
