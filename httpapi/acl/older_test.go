package acl_test

//lint:file-ignore SA1019 the older calls are what is tested

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/raft"
	"go.uber.org/zap/zaptest"

	"consul.internal/httpapi"
	"consul.internal/server"
	"consul.internal/store"
)

// The official client's older calls, as a guide of that time has them.
func TestOlderEndpoints(t *testing.T) {
	const master = "aaaaaaaa-0000-0000-0000-00000000000a"
	door := httptest.NewServer(edgeOver(t, master, true))
	defer door.Close()
	as := func(token string) *api.ACL {
		c, err := api.NewClient(&api.Config{Address: door.URL, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		return c.ACL()
	}
	all := as(master)
	info := func(id string) *api.ACLEntry {
		t.Helper()
		e, _, err := all.Info(id, nil)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	id, _, err := all.Create(&api.ACLEntry{Name: "app", Type: "client", Rules: `key "app/" { policy = "write" }`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := info(id); e == nil || e.Name != "app" || e.Type != "client" || !strings.Contains(e.Rules, `key_prefix "app/"`) {
		t.Errorf("info: %+v", e)
	}
	own, _, err := as(id).TokenReadSelf(nil)
	if err != nil || len(own.Policies) != 1 || own.Policies[0].Name != "older-"+own.AccessorID {
		t.Errorf("as a token of today: %+v %v", own, err)
	}
	if _, err := all.Update(&api.ACLEntry{ID: id, Name: "app2", Type: "client", Rules: `service "" { policy = "read" }`}, nil); err != nil {
		t.Fatal(err)
	}
	twin, _, err := all.Clone(id, nil)
	if err != nil || twin == id {
		t.Fatal(twin, err)
	}
	for _, one := range []string{id, twin} {
		if e := info(one); e == nil || e.Name != "app2" || !strings.Contains(e.Rules, `service_prefix ""`) || strings.Contains(e.Rules, "key") {
			t.Errorf("changed: %+v", e)
		}
	}
	// A change of the one is none of its clone.
	if _, err := all.Update(&api.ACLEntry{ID: id, Name: "app3", Type: "management"}, nil); err != nil {
		t.Fatal(err)
	}
	if e := info(id); e.Type != "management" {
		t.Errorf("%+v", e)
	}
	if e := info(twin); e.Name != "app2" || e.Type != "client" {
		t.Errorf("the clone changed too: %+v", e)
	}
	const given = "bbbbbbbb-0000-0000-0000-00000000000b"
	if _, err := all.Update(&api.ACLEntry{ID: given, Name: "new", Type: "client"}, nil); err != nil {
		t.Errorf("one that is not there: %v", err)
	}
	if _, err := all.Update(&api.ACLEntry{ID: "anonymous", Type: "client", Rules: `node "" { policy = "read" }`}, nil); err != nil {
		t.Errorf("anonymous: %v", err)
	}
	list, _, err := all.List(nil)
	if err != nil || len(list) != 5 { // master, anonymous, and three made here
		t.Errorf("%d tokens, %v", len(list), err)
	}
	if _, err := all.Destroy(id, nil); err != nil {
		t.Fatal(err)
	}
	if e := info(id); e != nil {
		t.Errorf("destroyed, but %+v", e)
	}
	if p, _, err := all.PolicyReadByName("older-"+own.AccessorID, nil); p != nil || err != nil {
		t.Errorf("its policy is left: %+v %v", p, err)
	}
	stranger := as("")
	for what, err := range map[string]error{
		"create":  second(stranger.Create(&api.ACLEntry{Type: "client"}, nil)),
		"manage":  second(stranger.Create(&api.ACLEntry{Type: "management"}, nil)),
		"clone":   second(stranger.Clone(twin, nil)),
		"update":  first(stranger.Update(&api.ACLEntry{ID: twin, Type: "management"}, nil)),
		"destroy": first(stranger.Destroy(twin, nil)),
		"nobody":  first(stranger.Destroy(given[:35]+"c", nil)),
		"list":    listed(stranger.List(nil)),
	} {
		if err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("%s without a token: %v", what, err)
		}
	}
	if _, _, err := all.Create(&api.ACLEntry{Type: "weird"}, nil); err == nil {
		t.Error("a weird type")
	}
	if _, _, err := all.Create(&api.ACLEntry{Rules: "key {"}, nil); err == nil {
		t.Error("wrong rules")
	}
	if got, err := all.RulesTranslate(strings.NewReader(`agent "a" { policy = "read" }`)); err == nil && !strings.Contains(got, "agent_prefix") {
		t.Errorf("translated: %s", got)
	}
}

func second[A any](_ A, _ *api.WriteMeta, err error) error        { return err }
func first(_ *api.WriteMeta, err error) error                     { return err }
func listed(_ []*api.ACLEntry, _ *api.QueryMeta, err error) error { return err }

// edgeOver is the HTTP edge over a server with ACLs.
func edgeOver(t *testing.T, secret string, on bool) http.Handler {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.NodeID, cfg.Bootstrap = "aaaaaaaa-1111-1111-1111-111111111111", true
	addr, tr := raft.NewInmemTransport("127.0.0.1:8300")
	tr.Connect(addr, tr)
	log := zaptest.NewLogger(t)
	st, err := store.New(cfg, store.Deps{Logger: log, Transport: tr})
	if err == nil {
		err = st.Open(t.Context())
	}
	if err == nil {
		err = st.Ready(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s := server.New(server.Config{
		Datacenter: "dc1", RPCHoldTimeout: time.Minute, DefaultQueryTime: time.Minute, MaxQueryTime: time.Minute,
		ACL: server.ACL{Enabled: on, InitialManagement: secret},
	}, server.Deps{Store: st, Log: log})
	s.BootstrapACL(t.Context())
	web := httpapi.DefaultConfig()
	web.Datacenter, web.NodeName = "dc1", "node-a"
	web.ACLs, web.ACLDefaultPolicy, web.ACLDownPolicy = on, "deny", "extend-cache"
	h, err := httpapi.New(web, httpapi.Deps{Caller: s, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return h.Handler()
}
