package access_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap/zaptest"

	"consul.internal/cmd/consul/access"
	"consul.internal/cmd/consul/command"
	"consul.internal/httpapi"
	"consul.internal/server"
	"consul.internal/store"
)

// agent is the address of an HTTP edge over a server with ACLs.
func agent(t *testing.T, secret string) string {
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
		ACL: server.ACL{Enabled: true, InitialManagement: secret},
	}, server.Deps{Store: st, Log: log})
	s.BootstrapACL(t.Context())
	web := httpapi.DefaultConfig()
	web.Datacenter, web.NodeName, web.ACLs, web.ACLDefaultPolicy = "dc1", "node-a", true, "allow"
	h, err := httpapi.New(web, httpapi.Deps{Caller: s, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	door := httptest.NewServer(h.Handler())
	t.Cleanup(door.Close)
	return door.URL
}

type step struct {
	Name    string
	Args    []string
	Stdin   string
	Env     map[string]string
	Files   map[string]string
	Capture []struct{ Var, Expr string }
	Expect  struct {
		Exit   int
		Stdout struct {
			Mode      string
			Lines     []string
			Unordered bool
		}
		Stderr struct{ Mode string }
	}
}

// The recorded cases of policies and roles, and of logins, command by command.
func TestRecorded(t *testing.T) {
	for name, secret := range map[string]string{"cli-acl-policy": "", "cli-login": "aaaaaaaa-0000-0000-0000-00000000000a"} {
		t.Run(name, func(t *testing.T) { recorded(t, name, secret) })
	}
}

func recorded(t *testing.T, name, secret string) {
	raw, err := os.ReadFile("../../../internal/conformance/testdata/cli/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var script struct{ Steps []step }
	if err := json.Unmarshal(raw, &script); err != nil {
		t.Fatal(err)
	}
	if len(script.Steps) < 15 {
		t.Fatalf("only %d steps", len(script.Steps))
	}
	t.Setenv("CONSUL_HTTP_ADDR", agent(t, secret))
	t.Chdir(t.TempDir())
	vars := map[string]string{}
	fill := func(in string) string {
		for k, v := range vars {
			in = strings.ReplaceAll(in, "${"+k+"}", v)
		}
		return in
	}
	for _, s := range script.Steps {
		for name, text := range s.Files {
			if err := os.WriteFile(filepath.Base(name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("CONSUL_HTTP_TOKEN", fill(s.Env["CONSUL_HTTP_TOKEN"]))
		var args []string
		for _, a := range s.Args {
			args = append(args, fill(a))
		}
		var out, errs bytes.Buffer
		app := &command.App{In: strings.NewReader(s.Stdin), Out: &out, Err: &errs}
		code := access.Commands().Run(app, "test", args)
		if code != s.Expect.Exit {
			t.Errorf("%s: exit %d, want %d: %s%s", s.Name, code, s.Expect.Exit, out.String(), errs.String())
			continue
		}
		for _, c := range s.Capture {
			if m := regexp.MustCompile(c.Expr).FindStringSubmatch(out.String()); m != nil {
				vars[c.Var] = m[1]
			}
		}
		if s.Expect.Stderr.Mode == "nonempty" && errs.Len() == 0 {
			t.Errorf("%s: it says nothing", s.Name)
		}
		if s.Expect.Stdout.Mode == "lines" {
			if missing := lines(out.String(), s.Expect.Stdout.Lines, fill); missing != "" {
				t.Errorf("%s: no %q in\n%s", s.Name, missing, out.String())
			}
		}
	}
}

// lines is the first of the wanted lines that is not there; <*> stands for anything.
func lines(out string, want []string, fill func(string) string) string {
	blanks := regexp.MustCompile(`\s+`)
	var have []string
	for l := range strings.Lines(out) {
		have = append(have, strings.TrimSpace(blanks.ReplaceAllString(l, " ")))
	}
	for _, w := range want {
		line := strings.ReplaceAll(regexp.QuoteMeta(fill(w)), `<\*>`, ".*")
		fits := regexp.MustCompile("^" + line + "$")
		i := slices.IndexFunc(have, fits.MatchString)
		if i < 0 {
			return w
		}
		have = slices.Delete(have, i, i+1)
	}
	return ""
}

// Tokens are made, shown, changed, cloned and deleted.
func TestTokens(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", agent(t, ""))
	run := func(want int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if code := access.Commands().Run(&command.App{In: strings.NewReader(""), Out: &out, Err: &out}, "test", append([]string{"acl"}, args...)); code != want {
			t.Fatalf("%v: exit %d: %s", args, code, out.String())
		}
		return out.String()
	}
	field := func(out, name string) string {
		t.Helper()
		m := regexp.MustCompile(name + `:\s+(\S+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no %s in %s", name, out)
		}
		return m[1]
	}
	t.Setenv("CONSUL_HTTP_TOKEN", field(run(0, "bootstrap"), "SecretID"))
	run(0, "policy", "create", "-name", "p", "-rules", `acl = "read"`)
	run(0, "role", "create", "-name", "r", "-policy-name", "p")
	made := run(0, "token", "create", "-description", "d", "-role-name", "r", "-service-identity", "web", "-templated-policy", "builtin/node", "-var", "name:n1", "-expires-ttl", "1h")
	id := field(made, "AccessorID")
	for _, want := range []string{"- r", "web (Datacenters: all)", "builtin/node (Name: n1)", "Expiration Time:"} {
		if !strings.Contains(made, want) {
			t.Errorf("no %q in %s", want, made)
		}
	}
	changed := run(0, "token", "update", "-accessor-id", id[:8], "-description", "e", "-policy-name", "p")
	if !strings.Contains(changed, "- p") || !strings.Contains(changed, "- r") || field(changed, "Description") != "e" {
		t.Errorf("changed: %s", changed)
	}
	if twin := run(0, "token", "clone", "-accessor-id", id, "-description", "f"); field(twin, "AccessorID") == id {
		t.Errorf("clone: %s", twin)
	}
	if all := run(0, "token", "list"); strings.Count(all, "AccessorID:") != 4 {
		t.Errorf("list: %s", all)
	}
	t.Setenv("CONSUL_HTTP_TOKEN", field(made, "SecretID"))
	if own := run(0, "token", "read", "-self"); field(own, "AccessorID") != id {
		t.Errorf("self: %s", own)
	}
	if list := run(0, "templated-policy", "list"); !strings.Contains(list, "builtin/service\n") {
		t.Errorf("templates: %s", list)
	}
	if one := run(0, "templated-policy", "read", "-name", "builtin/node"); !strings.Contains(one, "Raw Template:") {
		t.Errorf("template: %s", one)
	}
	if p := run(0, "templated-policy", "preview", "-name", "builtin/service", "-var", "name:web"); !strings.Contains(p, `service "web" {`) {
		t.Errorf("preview: %s", p)
	}
	if out := run(0, "role", "list", "-format", "json"); !json.Valid([]byte(out)) {
		t.Errorf("no JSON: %s", out)
	}
	run(1, "templated-policy", "read", "-name", "none")
	run(1, "set-agent-token", "weird", "s")
	run(1, "set-agent-token", "agent")
	run(1, "token", "delete", "-accessor-id", id)
	run(1, "token", "delete")
	run(1, "role", "update", "-name", "r", "-node-identity", "n")
}

// A token is changed by adding to what it has, and shown with all that it gives.
func TestTokenAppend(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", agent(t, ""))
	run := func(want int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if code := access.Commands().Run(&command.App{In: strings.NewReader(""), Out: &out, Err: &out}, "test", append([]string{"acl"}, args...)); code != want {
			t.Fatalf("%v: exit %d: %s", args, code, out.String())
		}
		return out.String()
	}
	field := func(out, name string) string {
		t.Helper()
		m := regexp.MustCompile(`\b` + name + `:\s+(\S+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no %s in %s", name, out)
		}
		return m[1]
	}
	t.Setenv("CONSUL_HTTP_TOKEN", field(run(0, "bootstrap"), "SecretID"))
	ids := map[string]string{}
	for _, name := range []string{"p1", "p2", "p3"} {
		ids[name] = field(run(0, "policy", "create", "-name", name, "-description", "about "+name, "-rules", `key_prefix "`+name+`/" { policy = "read" }`), "ID")
	}
	for _, name := range []string{"r1", "r2"} {
		ids[name] = field(run(0, "role", "create", "-name", name, "-policy-name", "p3", "-service-identity", "in-"+name), "ID")
	}
	made := run(0, "token", "create", "-policy-name", "p1", "-role-name", "r1", "-service-identity", "web", "-node-identity", "n1:dc1", "-meta")
	id := field(made, "AccessorID")
	if field(made, "Create Index") == "0" || field(made, "Hash") == "" {
		t.Errorf("made: %s", made)
	}
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("policies.hcl", `
TemplatedPolicies {
  TemplateName = "builtin/service"
  TemplateVariables { Name = "a" }
}
TemplatedPolicies {
  TemplateName = "builtin/service"
  TemplateVariables { Name = "b" }
}
TemplatedPolicies {
  TemplateName = "builtin/node"
  TemplateVariables { Name = "n1" }
}`)
	list := write("policies.json", `{"TemplatedPolicies": [{"TemplateName": "builtin/service", "TemplateVariables": {"Name": "c"}}]}`)
	for _, c := range []struct {
		args []string
		has  []string // all that it has then
	}{
		{[]string{"-description", "d"}, []string{"- p1", "- r1", "web (", "n1 ("}},
		{[]string{"-append-policy-id", ids["p2"][:13]}, []string{"- p1", "- p2", "- r1", "web (", "n1 ("}},
		{[]string{"-append-policy-name", "p3", "-append-policy-name", "p1"}, []string{"- p1", "- p2", "- p3", "- r1", "web (", "n1 ("}},
		{[]string{"-policy-id", ids["p2"]}, []string{"- p2", "- r1", "web (", "n1 ("}},
		{[]string{"-append-role-id", ids["r2"], "-append-role-name", "r1"}, []string{"- p2", "- r1", "- r2", "web (", "n1 ("}},
		{[]string{"-append-service-identity", "db:dc1", "-append-node-identity", "n2:dc2"}, []string{"- p2", "- r1", "- r2", "web (", "db (Datacenters: dc1)", "n1 (", "n2 (Datacenter: dc2)"}},
		{[]string{"-service-identity", "api", "-merge-service-identities", "-node-identity", "n3:dc1"}, []string{"- p2", "- r1", "- r2", "web (", "db (", "api (", "n3 ("}},
		{[]string{"-templated-policy", "builtin/service", "-var", "name:web"}, []string{"- p2", "- r1", "- r2", "web (", "db (", "api (", "n3 (", "builtin/service (Name: web)"}},
		{[]string{"-append-templated-policy", "builtin/dns"}, []string{"- p2", "- r1", "- r2", "web (", "db (", "api (", "n3 (", "builtin/service (Name: web)", "builtin/dns"}},
		{[]string{"-templated-policy-file", file}, []string{"- p2", "- r1", "- r2", "web (", "db (", "api (", "n3 (", "builtin/service (Name: a)", "builtin/service (Name: b)", "builtin/node (Name: n1)"}},
		{[]string{"-replace-templated-policy-file", list}, []string{"- p2", "- r1", "- r2", "web (", "db (", "api (", "n3 (", "builtin/service (Name: c)"}},
		{[]string{"-append-templated-policy-file", list}, []string{"- p2", "- r1", "- r2", "web (", "db (", "api (", "n3 (", "builtin/service (Name: c)"}},
		{[]string{"-replace-templated-policy", "builtin/dns", "-role-id", ids["r2"][:13]}, []string{"- p2", "- r2", "web (", "db (", "api (", "n3 (", "builtin/dns"}},
	} {
		out := run(0, append([]string{"token", "update", "-id", id[:8]}, c.args...)...)
		if n := strings.Count(out, "\n   "); n != len(c.has) || slices.ContainsFunc(c.has, func(want string) bool { return !strings.Contains(out, want) }) {
			t.Errorf("%v: want %q in\n%s", c.args, c.has, out)
		}
	}
	run(1, "token", "update", "-id", id, "-templated-policy", "builtin/dns", "-append-templated-policy", "builtin/dns")
	run(1, "token", "update", "-id", id, "-templated-policy-file", file, "-append-templated-policy-file", list)
	run(1, "token", "create", "-templated-policy-file", file+".none")
	run(1, "token", "create", "-templated-policy-file", write("empty.hcl", ""))
	run(1, "token", "create", "-templated-policy-file", write("other.hcl", `TemplatedPolicies { TemplateNome = "a" }`))
	if p := run(0, "templated-policy", "preview", "-file", list); !strings.Contains(p, `service "c" {`) {
		t.Errorf("preview of a file: %s", p)
	}
	run(1, "token", "create", "-templated-policy-file", write("nameless.json", `{"TemplatedPolicies": [{}]}`))
	run(1, "token", "create", "-templated-policy-file", file, "-var", "name:x")
	run(1, "templated-policy", "preview", "-file", list, "-var", "name:x")
	run(1, "templated-policy", "preview", "-file", file)
	run(1, "templated-policy", "preview", "-file", list, "-name", "builtin/dns")
	run(0, "role", "create", "-name", "r3", "-templated-policy-file", file)
	run(1, "token", "update", "-id", id, "-append-policy-id", "zz")
	run(1, "token", "update", "-id", id, "-append-node-identity", "n")

	all := run(0, "token", "read", "-id", id, "-expanded")
	for _, want := range []string{"Policy Name: p2", "about p2", `key_prefix "p2/"`, "Role Name: r2", "Policy Name: p3", `key_prefix "p3/"`, "in-r2 (Datacenters: all)", "api (", "Default Policy: allow"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "p1/") || strings.Contains(all, "Role Name: r1") {
		t.Errorf("it shows what the token does not have:\n%s", all)
	}
	if out := run(0, "token", "read", "-self", "-expanded", "-format", "json"); !strings.Contains(out, `"ExpandedPolicies"`) || !json.Valid([]byte(out)) {
		t.Errorf("own token as JSON: %s", out)
	}
	if out := run(0, "token", "update", "-id", "anonymous", "-policy-name", "p1"); field(out, "AccessorID") != "00000000-0000-0000-0000-000000000002" {
		t.Errorf("anonymous: %s", out)
	}
}
