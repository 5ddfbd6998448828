package daemon_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// TestSessionTTLMin: the servers say which TTL is the shortest, also to clients, whose
// own setting counts for nothing. What was taken stays when the least is raised: the
// log is read again by the same measure on every server.
func TestSessionTTLMin(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	args := []string{"-server", "-bootstrap", "-data-dir=" + filepath.Join(dir, "s")}
	server := start(t, addr, append(args, `-hcl=session_ttl_min = "3s"`)...)
	client := agentOf(t, freeAddr(t), "-node=client", "-data-dir="+filepath.Join(dir, "c"), "-retry-join="+addr, `-hcl=session_ttl_min = "1h"`)
	create := func(n *node, ttl string) (string, error) {
		id, _, err := n.client.Session().CreateNoChecks(&api.SessionEntry{Node: "node-a", TTL: ttl}, nil)
		return id, err
	}
	refused := func(n *node, ttl, least string) {
		t.Helper()
		if _, err := create(n, ttl); err == nil || !strings.Contains(err.Error(), "must be between ["+least+"=24h0m0s]") {
			t.Errorf("a TTL of %s where %s is the least: %v", ttl, least, err)
		}
	}
	client.await(t, "the client's way to the servers", func() bool {
		_, err := create(client, "3s")
		return err == nil
	})
	refused(client, "2999ms", "3s")
	refused(server, "1s", "3s")
	id, err := create(client, "30s")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}

	server = start(t, addr, append(args, `-hcl=session_ttl_min = "1m"`)...)
	if s, _, err := server.client.Session().Renew(id, nil); err != nil || s == nil || s.TTL != "30s" {
		t.Errorf("the session of before: %+v, %v", s, err)
	}
	refused(server, "30s", "1m0s")
	if _, err := create(server, "1m"); err != nil {
		t.Error(err)
	}
}
