package configs

import (
	"fmt"
	"strings"
	"testing"
)

func TestTransfer(t *testing.T) {
	s, _ := mustLoad(t, "-data-dir=x", "-client=127.0.0.1", "-server", "-hcl", `
dns_config {
  transfer {
    allow  = ["192.0.2.0/24", "2001:db8::1"]
    notify = ["192.0.2.53", "[2001:db8::53]:5353"]
    key "second" { algorithm = "hmac-sha512" secret = "c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM=" }
    key "third" { secret = "c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM=" }
    notify_key = "third"
  }
}`)
	got := fmt.Sprint(s.DNS.Transfer)
	if want := "{[192.0.2.0/24 2001:db8::1/128] [{second hmac-sha512 c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM=} {third hmac-sha256 c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM=}] [192.0.2.53:53 [2001:db8::53]:5353] third []}"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestTransferMistakes(t *testing.T) {
	for _, tt := range []struct{ hcl, want string }{
		{`dns_config { transfer { allow = ["lan"] } }`, `dns_config.transfer.allow: "lan" is not a network`},
		{`dns_config { transfer { notify = ["ns2"] } }`, `"ns2" is not an IP address`},
		{`dns_config { transfer { notify = ["192.0.2.1"] } }`, "nobody may have the zone"},
		{`dns_config { transfer { key "a" { secret = "c2hvcnQ=" } } }`, "is not base64 of at least 16 bytes"},
		{`dns_config { transfer { key "a" { sekret = "x" } } }`, `nearest valid key is "secret"`},
		{`server = false dns_config { transfer { allow = ["10.0.0.0/8"] } }`, "this agent is a client"},
	} {
		_, _, err := Load([]string{"-data-dir=x", "-client=127.0.0.1", "-hcl", "server = true", "-hcl", tt.hcl}, testHost())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.hcl, err)
		}
	}
}
