package server_test

import (
	"strings"
	"testing"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/rpc"
	"consul.internal/server"
)

// TestSessionTTLMin: a server judges by its own setting before the log, and by the known
// one if there is none.
func TestSessionTTLMin(t *testing.T) {
	for least, tt := range map[time.Duration]struct{ short, enough string }{
		0:           {"9999ms", "10s"},
		time.Second: {"999ms", "1s"},
		time.Hour:   {"59m", "60m"},
	} {
		s, st := openAs(t, true, 20*time.Second, func(c *server.Config, _ *server.Deps) { c.SessionTTLMin = least })
		if _, err := rpc.Call(t.Context(), s, rpc.CatalogRegister, register("web", 80)); err != nil {
			t.Fatal(err)
		}
		create := func(ttl string) error {
			_, err := rpc.Call(t.Context(), s, rpc.SessionCreate, &rpc.SessionCreateRequest{Session: kv.Session{Node: "n1", TTL: ttl}})
			return err
		}
		if err := create(tt.short); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "Invalid Session TTL '") {
			t.Errorf("%s where %v is the least: %v", tt.short, least, err)
		}
		if err := create(tt.enough); err != nil {
			t.Errorf("%s where %v is the least: %v", tt.enough, least, err)
		}
		if _, all := st.State().Sessions().List(nil); len(all) != 1 || all[0].TTL != tt.enough {
			t.Errorf("where %v is the least there are %v", least, all)
		}
	}
}
