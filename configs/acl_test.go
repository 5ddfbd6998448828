package configs

import (
	"strings"
	"testing"
	"time"
)

// TestOlderACLKeys loads what an old guide has people write: the datacenter turns
// access control on, the token for copying turns copying on.
func TestOlderACLKeys(t *testing.T) {
	write(t, map[string]string{
		"a.json": `{"data_dir": "d", "acl_datacenter": "dc1", "acl_default_policy": "deny", "acl_down_policy": "async-cache",
			"acl_master_token": "m", "acl_agent_master_token": "am", "acl_token": "t", "acl_agent_token": "at", "acl_ttl": "9s",
			"acl_replication_token": "r", "acl_enable_key_list_policy": true}`,
		"off.hcl": "data_dir = \"d\"\nacl { enabled = false, enable_token_replication = false }",
	})
	s, _ := mustLoad(t, "-config-file=a.json")
	want := ACL{
		Enabled: true, DefaultPolicy: "deny", DownPolicy: "async-cache", TokenTTL: 9 * time.Second, PolicyTTL: 30 * time.Second, RoleTTL: 30 * time.Second,
		KeyListPolicy: true, TokenReplication: true,
		Tokens: Tokens{InitialManagement: "m", AgentRecovery: "am", Default: "t", Agent: "at", Replication: "r"},
	}
	if s.ACL != want {
		t.Errorf("got  %+v\nwant %+v", s.ACL, want)
	}
	// Today's keys, if they say something, have the last word, whatever the order of the files.
	for _, args := range [][]string{{"-config-file=a.json", "-config-file=off.hcl"}, {"-config-file=off.hcl", "-config-file=a.json"}} {
		if s, _ := mustLoad(t, args...); s.ACL.Enabled || s.ACL.TokenReplication {
			t.Errorf("%q: %+v", args, s.ACL)
		}
	}
}

func TestACL(t *testing.T) {
	write(t, map[string]string{
		"a.hcl": `data_dir = "d"
acl {
  enabled = true
  default_policy = "deny"
  enable_token_persistence = true
  token_ttl = "1s"
  tokens { master = "m", agent_master = "r", agent = "a", default = "u", dns = "n", replication = "p", config_file_service_registration = "c" }
}`,
		"b.hcl": "data_dir = \"d\"\nacl { tokens { default = \"secret-u\" } }",
		"c.hcl": "data_dir = \"d\"\nacl { down_policy = \"perhaps\", token_ttl = \"-1s\" }",
	})
	s, warnings := mustLoad(t, "-config-file=a.hcl")
	if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	if want := (Tokens{"m", "r", "a", "u", "n", "p", "c"}); s.ACL.Tokens != want || !s.ACL.TokenPersistence || s.ACL.TokenTTL != time.Second {
		t.Errorf("%+v", s.ACL)
	}
	_, warnings = mustLoad(t, "-config-file=b.hcl")
	if got := strings.Join(warnings, "|"); !strings.Contains(got, "no effect while acl.enabled is not true") || strings.Contains(got, "secret-u") {
		t.Errorf("warnings %q", got)
	}
	_, _, err := Load([]string{"-config-file=c.hcl"}, testHost())
	if err == nil || !strings.Contains(err.Error(), "acl.down_policy cannot be \"perhaps\"") || !strings.Contains(err.Error(), "acl.token_ttl cannot be -1s") {
		t.Errorf("error %v", err)
	}
	next := *s
	next.effective.ACL.Tokens.Default = nil
	if changed, restart := Diff(s, &next); len(changed) != 1 || changed[0] != "acl.tokens.default" || len(restart) != 0 {
		t.Errorf("changed %q, restart %q", changed, restart)
	}
}
