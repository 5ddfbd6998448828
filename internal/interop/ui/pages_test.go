package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// federation is a datacenter of three servers and a client, joined with one of one
// server, with services on them.
func federation(t *testing.T, secret, common string) []*agent {
	t.Helper()
	server := func(name, dc string, expect int, join, wan int) func([]string) (string, string) {
		return func(addrs []string) (string, string) {
			text := fmt.Sprintf("server = true\ndatacenter = %q\nbootstrap_expect = %d\n", dc, expect)
			if join >= 0 {
				text += fmt.Sprintf("retry_join = [%q]\n", addrs[join])
			}
			if wan >= 0 {
				text += fmt.Sprintf("retry_join_wan = [%q]\n", addrs[wan])
			}
			return name, text
		}
	}
	all := newAgents(t, secret, "log_level = \"INFO\"\nprimary_datacenter = \"dc1\"\nretry_interval = \"1s\"\nretry_interval_wan = \"1s\"\nports { dns = 8600 }\n"+common,
		server("alpha", "dc1", 3, 0, -1), server("beta", "dc1", 3, 0, -1), server("gamma", "dc1", 3, 0, -1),
		func(addrs []string) (string, string) {
			return "worker", fmt.Sprintf("datacenter = \"dc1\"\nretry_join = [%q]\n", addrs[0])
		},
		server("delta", "dc2", 1, 4, 0),
	)
	return all
}

// services registers what the pages show.
func services(a []*agent) {
	worker, delta := a[3], a[4]
	for i := 1; i <= 3; i++ {
		worker.put("/v1/agent/service/register", fmt.Sprintf(`{"ID":"web-%d","Name":"web","Port":80%02d,"Tags":["v%d","http"],"Meta":{"rack":"r%d"},
			"Checks":[{"CheckID":"web-%d","Name":"answers","TTL":"1h","Status":"passing","Notes":"asks for /health"}]}`, i, i, i, i, i))
	}
	worker.put("/v1/agent/service/register", `{"Name":"db","Port":5432,"Tags":["primary"],"Checks":[{"CheckID":"db","Name":"replication","TTL":"1h","Status":"warning"}]}`)
	worker.put("/v1/agent/service/register", `{"Name":"cache","Port":6379}`)
	worker.put("/v1/agent/check/warn/db?note=lag+is+12+s", "")
	delta.put("/v1/agent/service/register", `{"Name":"web","Port":8080,"Tags":["v3"]}`)
	worker.put("/v1/kv/app/config/color", "green")
	worker.put("/v1/kv/app/config/size", "12")
	worker.put("/v1/kv/app/name", "shop\nsecond line\n")
	worker.put("/v1/kv/top", "value")
	worker.put("/v1/config", `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`)
	poll(worker.t, "a query", func() error {
		return worker.ask(http.MethodPost, "/v1/query", `{"Name":"nearest-web","Service":{"Service":"web","Failover":{"NearestN":1}}}`, nil)
	})
	worker.put("/v1/event/fire/deploy", "v42")
}

// pages are all that the menu leads to, and one of each item, with words that stand
// on them when they are whole.
func pages(base string) []struct{ name, path, text string } {
	return []struct{ name, path, text string }{
		{"services", base + "dc1/services", "cache"},
		{"service", base + "dc1/services/web", "web-2"},
		{"instance", base + "dc1/services/web/instances/worker/web-1", "asks for /health"},
		{"nodes", base + "dc1/nodes", "gamma"},
		{"node", base + "dc1/nodes/worker", "Checks of the node"},
		{"keys", base + "dc1/kv/", "app/"},
		{"key", base + "dc1/kv/app/config/color/edit", "Changed at"},
		{"dns", base + "dc1/dns?name=web.service.consul&type=SRV", "What it is made of"},
		{"queries", base + "dc1/queries", "nearest-web"},
		{"tokens", base + "dc1/acls/tokens", "Tokens"},
		{"policies", base + "dc1/acls/policies", "Policies"},
		{"roles", base + "dc1/acls/roles", "Roles"},
		{"config", base + "dc1/config", "service-defaults"},
		{"entry", base + "dc1/config/service-defaults/web", "http"},
		{"events", base + "dc1/events", "deploy"},
		{"datacenters", base + "dc1/datacenters", "dc2"},
		{"servers", base + "dc1/servers", "tolerates the loss of"},
		{"elsewhere", base + "dc2/services/web", "delta"},
	}
}

func TestPages(t *testing.T) {
	need(t)
	a := federation(t, "", "")
	b := newBrowser(t, false, 1280, 860) // it is closed before the agents are
	worker := a[3]
	worker.awaitLeader("dc1")
	worker.awaitLeader("dc2")
	services(a)
	base := worker.url("/ui/")

	t.Run("each page", func(t *testing.T) {
		for _, p := range pages(base) {
			b.t = t
			b.open(p.path)
			b.sees(p.text)
			b.accessible()
			b.shoot(p.name + "-light")
		}
	})
	b.t = t
	t.Run("clicks", func(t *testing.T) {
		b.t = t
		b.open(worker.url("/"))
		b.sees("cache")
		b.follow("web")
		b.sees("web.service.dc1.consul")
		b.follow("web-2")
		b.sees("asks for /health")
		b.follow("worker")
		b.sees("Checks of the node")
		b.click("css selector", "#dcs summary")
		b.follow("dc2")
		b.sees("delta")
		for _, section := range []string{"Services", "Nodes", "Key/value", "DNS", "Queries", "Access", "Config entries", "Events", "Datacenters", "Servers"} {
			b.click("xpath", fmt.Sprintf("//nav[@aria-label='Pages']//a[normalize-space()=%q]", section))
			b.await(section, "return document.querySelector('nav [aria-current=page]')?.textContent === arguments[0] && location.pathname.startsWith('/ui/dc2/')", section)
		}
		for old, now := range map[string]string{"dc1/nodes": "dc1/nodes", "dc1/services/web/instances": "dc1/services/web/instances", "dc1/kv/app/name/edit": "dc1/kv/app/name/edit", "dc2": "dc2/services", "": "", "dc1/overview/server-status": "dc1/servers"} {
			b.open(base + old)
			if at := b.url(); at != base+now {
				t.Errorf("%s led to %s", old, at)
			}
		}
	})
	t.Run("search", func(t *testing.T) {
		b.t = t
		b.open(base + "dc1/services")
		b.sees("cache")
		b.keys("/")
		b.keys("we")
		b.await("web alone", "return [...document.querySelectorAll('#live td.first a')].map(a => a.textContent).join() === 'web'")
		if !strings.HasSuffix(b.url(), "?q=we") {
			t.Errorf("the address is %s", b.url())
		}
		b.open(base + "dc1/services?state=warning")
		b.await("db alone", "return [...document.querySelectorAll('#live td.first a')].map(a => a.textContent).join() === 'db'")
		b.open(base + "dc1/services?tag=primary")
		b.await("db alone", "return [...document.querySelectorAll('#live td.first a')].map(a => a.textContent).join() === 'db'")
		b.open(base + "dc1/services")
		b.sees("cache")
		b.keys("j")
		b.keys("j")
		b.await("the second row", "return document.activeElement === document.querySelectorAll('#live td.first a')[1]")
		b.keys("\ue007")
		b.await("its page", "return location.pathname.split('/').length === 5")
	})
	t.Run("live", func(t *testing.T) {
		b.t = t
		b.open(base + "dc1/services/web")
		b.sees("web-2")
		b.run("window.sameDocument = true", nil)
		worker.put("/v1/agent/check/fail/web-2?note=connection+refused", "")
		b.await("a red check", "return document.querySelector('.card.critical pre')?.textContent.includes('connection refused') && window.sameDocument")
		b.shoot("live-critical")
		worker.put("/v1/agent/check/pass/web-2", "")
		b.await("all well", "return !document.querySelector('.card.critical') && window.sameDocument")
		worker.put("/v1/agent/service/register", `{"Name":"late","Port":1}`)
		b.open(base + "dc1/services")
		b.sees("late")
		b.run("window.sameDocument = true", nil)
		worker.put("/v1/agent/service/deregister/late", "")
		b.await("it gone", "return !document.body.innerText.includes('late') && window.sameDocument")
	})
	t.Run("keys", func(t *testing.T) { b.t = t; editKeys(t, b, worker, base) })
	t.Run("theme", func(t *testing.T) {
		b.t = t
		b.open(base + "dc1/services")
		b.sees("cache")
		b.click("css selector", "#theme")
		b.await("dark", "return document.documentElement.dataset.theme === 'dark' && getComputedStyle(document.body).colorScheme === 'dark'")
		for _, p := range pages(base) {
			b.open(p.path)
			b.sees(p.text)
			b.accessible()
			b.shoot(p.name + "-dark")
		}
	})
	t.Run("phone", func(t *testing.T) {
		b := newBrowser(t, false, 375, 760)
		for _, p := range pages(base) {
			b.open(p.path)
			b.sees(p.text)
			b.accessible()
			b.await("no wider than the screen", "return document.documentElement.scrollWidth <= innerWidth")
			b.shoot(p.name + "-phone")
		}
	})
	b.t = t
}

// editKeys creates, edits and deletes keys, and a folder.
func editKeys(t *testing.T, b *browser, worker *agent, base string) {
	value := func(key string) string {
		var got []struct{ Value []byte }
		if err := worker.ask(http.MethodGet, "/v1/kv/"+key+"?consistent", "", &got); err != nil || len(got) != 1 {
			return fmt.Sprintf("%v %d", err, len(got))
		}
		return string(got[0].Value)
	}
	b.open(base + "dc1/kv/")
	b.click("css selector", "#create summary")
	b.write("#create input[name=name]", "fresh/one <b>&")
	b.write("#create textarea", "first")
	b.click("css selector", "#create button")
	b.sees("Saved.")
	if got := value("fresh/one%20%3Cb%3E&"); got != "first" {
		t.Errorf("created %q", got)
	}
	b.write(".edit textarea", "\nsecond\n line")
	b.click("css selector", ".edit button")
	b.sees("Saved.")
	if got := value("fresh/one%20%3Cb%3E&"); got != "\nsecond\n line" {
		t.Errorf("saved %q", got)
	}
	// Somebody else writes in the meantime.
	worker.put("/v1/kv/fresh/one%20%3Cb%3E&", "theirs")
	b.write(".edit textarea", "mine")
	b.click("css selector", ".edit button")
	b.sees("somebody else has changed")
	if got := value("fresh/one%20%3Cb%3E&"); got != "theirs" {
		t.Errorf("after a conflict: %q", got)
	}
	b.click("css selector", ".form summary")
	b.click("css selector", ".form .bad")
	b.sees("Deleted.")
	if got := value("fresh/one%20%3Cb%3E&"); !strings.Contains(got, "404") {
		t.Errorf("deleted %q", got)
	}
	b.open(base + "dc1/kv/app/")
	b.sees("config/")
	b.click("xpath", "//summary[normalize-space()='Delete folder']")
	b.click("xpath", "//button[normalize-space()='Delete all of it']")
	b.sees("Deleted.")
	if got := value("app/config/color"); !strings.Contains(got, "404") {
		t.Errorf("deleted %q", got)
	}
	worker.put("/v1/kv/app/config/color", "green")
	worker.put("/v1/txn", `[{"KV":{"Verb":"set","Key":"odd//./key","Value":"a2VwdA=="}}]`)
	b.open(base + "dc1/kv/odd/")
	b.follow("/")
	b.follow("./")
	b.follow("key")
	b.await("its value", "return document.querySelector('.edit textarea')?.value === 'kept'")
}

// TestAccess: with ACLs nothing is shown without a token, and with one as much as it
// allows.
func TestAccess(t *testing.T) {
	need(t)
	const secret = "8a1c3c8e-52f1-4d4c-9a51-0f6b8b7c0001"
	a := federation(t, secret, fmt.Sprintf(`acl {
  enabled = true
  default_policy = "deny"
  tokens { initial_management = %q agent = %q replication = %q }
}`, secret, secret, secret))
	b := newBrowser(t, true, 1280, 860)
	worker := a[3]
	worker.awaitLeader("dc1")
	worker.awaitLeader("dc2")
	services(a)
	base := worker.url("/ui/")

	b.open(base + "dc1/nodes")
	b.sees("You are not logged in")
	if strings.Contains(b.text(), "gamma") {
		t.Error("a stranger sees nodes")
	}
	b.open(base + "dc1/kv/top/edit")
	b.sees("Log in with a token")
	b.shoot("denied-dark")
	b.accessible()

	b.follow("Log in with a token")
	b.write("input[name=token]", "00000000-0000-0000-0000-00000000dead")
	b.click("css selector", ".login button")
	b.sees("Nobody knows this token")
	b.shoot("login-dark")
	b.accessible()
	b.write("input[name=token]", secret)
	b.click("css selector", ".login button")
	b.await("the key", "return document.querySelector('.edit textarea')?.value === 'value'")
	var cookies string
	b.run("return document.cookie", &cookies)
	if strings.Contains(cookies, secret) {
		t.Error("a script can read the token")
	}
	for _, p := range pages(base) {
		b.open(p.path)
		b.sees(p.text)
		b.accessible()
		b.shoot("acl-" + p.name + "-dark")
	}
	b.open(base + ".login")
	b.sees("Log out")
	b.click("xpath", "//button[normalize-space()='Log out']")
	b.open(base + "dc1/nodes")
	b.sees("You are not logged in")

	// A token for one service and one folder.
	var policy, token struct{ ID, SecretID string }
	poll(t, "a policy", func() error {
		return worker.ask(http.MethodPut, "/v1/acl/policy", string(marshal(t, map[string]string{"Name": "some", "Rules": `service "web" { policy = "read" }
node_prefix "" { policy = "read" }
key_prefix "app/" { policy = "read" }`})), &policy)
	})
	poll(t, "a token", func() error {
		return worker.ask(http.MethodPut, "/v1/acl/token", fmt.Sprintf(`{"Policies":[{"ID":%q}]}`, policy.ID), &token)
	})
	b.open(base + ".login")
	b.write("input[name=token]", token.SecretID)
	b.click("css selector", ".login button")
	b.sees("Some of it is not shown")
	if text := b.text(); !strings.Contains(text, "web") || strings.Contains(text, "cache") {
		t.Errorf("it sees\n%s", text)
	}
	b.open(base + "dc1/kv/app/config/color/edit")
	b.sees("may read the key, but not change it")
	b.open(base + "dc1/acls/tokens")
	b.sees("Not allowed")
	b.open(base + "dc1/servers")
	b.sees("Not allowed")
	b.shoot("denied-with-token-dark")
}

func marshal(t *testing.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
