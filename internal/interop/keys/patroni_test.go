package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/miekg/dns"
)

// scope is the name of the database cluster, and so of its service.
const scope = "orders"

// patroniConfig is one as people write it, with Patroni's shortest times.
var patroniConfig = template.Must(template.New("").Parse(`
scope: ` + scope + `
name: {{.Name}}
restapi:
  listen: {{.Addr}}:8008
  connect_address: {{.Addr}}:8008
consul:
  host: {{.Consul}}:8500
  register_service: true
  service_check_interval: 1s
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    maximum_lag_on_failover: 1048576
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 20
        shared_buffers: 16MB
  initdb:
    - encoding: UTF8
    - data-checksums
  pg_hba:
    - host replication replicator 127.0.0.0/8 md5
    - host all all 127.0.0.0/8 md5
    - local all all trust
postgresql:
  listen: {{.Addr}}:5432
  connect_address: {{.Addr}}:5432
  data_dir: {{.Dir}}/data
  bin_dir: {{.Bin}}
  pgpass: {{.Dir}}/pgpass
  authentication:
    superuser: {username: postgres, password: super}
    replication: {username: replicator, password: repl}
    rewind: {username: rewinder, password: rewind}
  parameters:
    unix_socket_directories: {{.Dir}}
`))

// postgres is one machine of the database cluster.
type postgres struct {
	Name, Addr, Dir string
	Consul, Bin     string
	cmd             *exec.Cmd
}

// TestPatroni runs a database cluster: it starts, its primary is killed and
// followed, the old one comes back as replica, and takes over again.
func TestPatroni(t *testing.T) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian's place; not in PATH
	if err != nil || len(bins) == 0 {
		t.Skip("SKIPPED: PostgreSQL is not there; make interop-keys as root installs it where apt-get can")
	}
	need(t, "patroni", "patronictl")
	consul, client := agent(t)
	dir := databaseDir(t)
	machine := func(name string) *postgres {
		p := &postgres{Name: name, Addr: loopback(), Dir: filepath.Join(dir, name), Consul: consul, Bin: bins[len(bins)-1]}
		p.configure(t)
		p.start(t)
		return p
	}
	one := machine("one")
	one.await(t, "primary")
	if out := one.sql(t, "create table t (v int primary key); insert into t values (1); select v from t"); out != "1" {
		t.Fatalf("the primary says %q", out)
	}
	two := machine("two")
	two.await(t, "replica")
	named(t, consul, "primary", one.Addr)
	named(t, consul, "replica", two.Addr)
	poll(t, "the row on the replica", func() error { return two.has("1") })

	one.kill(t)
	two.await(t, "primary")
	named(t, consul, "primary", two.Addr)
	two.sql(t, "insert into t values (2)")

	one.start(t)
	one.await(t, "replica")
	named(t, consul, "replica", one.Addr)
	poll(t, "both rows on the old primary", func() error { return one.has("1\n2") })

	two.ctl(t, "switchover", "--master", "two", "--candidate", "one", "--force", scope)
	one.await(t, "primary")
	two.await(t, "replica")
	named(t, consul, "primary", one.Addr)
	named(t, consul, "replica", two.Addr)
	one.sql(t, "insert into t values (3)")
	poll(t, "all rows on the replica", func() error { return two.has("1\n2\n3") })
	listed(t, one)

	leader, _, err := client.KV().Get("service/"+scope+"/leader", nil)
	if err != nil || leader == nil || string(leader.Value) != "one" || leader.Session == "" {
		t.Errorf("the leader's key: %+v %v", leader, err)
	}
}

// owner runs a database: not root, whom PostgreSQL refuses.
func owner(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// databaseDir is a directory that the database's user reaches, with a name short
// enough for a socket.
func databaseDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	give(t, dir)
	return dir
}

func give(t *testing.T, path string) {
	t.Helper()
	if c := owner(t); c != nil {
		if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *postgres) config() string { return filepath.Join(p.Dir, "patroni.yml") }

func (p *postgres) configure(t *testing.T) {
	t.Helper()
	if err := os.Mkdir(p.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	give(t, p.Dir)
	f, err := os.Create(p.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := patroniConfig.Execute(f, p); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	give(t, p.config())
}

// as makes a program one of the database's user.
func (p *postgres) as(t *testing.T) func(*exec.Cmd) {
	c := owner(t)
	return func(cmd *exec.Cmd) {
		cmd.Dir = p.Dir
		cmd.Env = append(os.Environ(), "HOME="+p.Dir, "LC_ALL=C.UTF-8")
		if c != nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c}
		}
	}
}

func (p *postgres) start(t *testing.T) {
	t.Helper()
	p.cmd = start(t, program{name: "patroni " + p.Name, path: "patroni", args: []string{p.config()}, prepare: p.as(t)})
	cmd := p.cmd
	t.Cleanup(func() { // before that of start
		if cmd.ProcessState == nil {
			p.kill(t)
		}
	})
}

// kill ends Patroni and its database as a power cut does.
func (p *postgres) kill(t *testing.T) {
	t.Helper()
	kill(p.cmd) // first: it would start the database again
	text, err := os.ReadFile(filepath.Join(p.Dir, "data", "postmaster.pid"))
	if os.IsNotExist(err) {
		return // not started yet
	}
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	poll(t, "the end of the database", func() error {
		c, err := net.DialTimeout("tcp", p.Addr+":5432", time.Second)
		if err != nil {
			return nil
		}
		return errors.Join(errors.New("it still listens"), c.Close())
	})
}

// await waits until Patroni itself says that it runs in a role.
func (p *postgres) await(t *testing.T, role string) {
	t.Helper()
	poll(t, p.Name+" as "+role, func() error {
		resp, err := http.Get("http://" + p.Addr + ":8008/" + role)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var said struct{ State, Role string }
		if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || said.State != "running" {
			return fmt.Errorf("%s %+v", resp.Status, said)
		}
		return nil
	})
}

// query asks the database.
func (p *postgres) query(sql string) (string, error) {
	cmd := exec.Command(filepath.Join(p.Bin, "psql"), "-qtA", "-h", p.Addr, "-U", "postgres", "-d", "postgres", "-c", sql)
	cmd.Env = append(os.Environ(), "PGPASSWORD=super", "PGCONNECT_TIMEOUT=5")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func (p *postgres) sql(t *testing.T, sql string) string {
	t.Helper()
	out, err := p.query(sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *postgres) has(rows string) error {
	got, err := p.query("select v from t order by v")
	if err == nil && got != rows {
		err = fmt.Errorf("rows are %q", got)
	}
	return err
}

// ctl does what an administrator does.
func (p *postgres) ctl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("patronictl", append([]string{"-c", p.config()}, args...)...)
	p.as(t)(cmd)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("patronictl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// listed compares with what patronictl list prints.
func listed(t *testing.T, p *postgres) {
	t.Helper()
	poll(t, "patronictl list", func() error {
		text := p.ctl(t, "list", "-f", "json")
		var members []struct{ Member, Role, State string }
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			return err
		}
		var got []string
		for _, m := range members {
			got = append(got, m.Member+" "+m.Role+" "+m.State)
		}
		if !slices.Equal(got, []string{"one Leader running", "two Replica running"}) {
			return fmt.Errorf("members are %q", got)
		}
		return nil
	})
}

// named waits until DNS has one address for a role, and the port with it.
func named(t *testing.T, consul, role, addr string) {
	t.Helper()
	name := role + "." + scope + ".service.consul."
	poll(t, name, func() error {
		a, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), consul+":8600")
		if err != nil {
			return err
		}
		srv, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion(name, dns.TypeSRV), consul+":8600")
		if err != nil {
			return err
		}
		if len(a.Answer) != 1 || len(srv.Answer) != 1 {
			return fmt.Errorf("answers %v %v", a.Answer, srv.Answer)
		}
		if got, port := a.Answer[0].(*dns.A).A.String(), srv.Answer[0].(*dns.SRV).Port; got != addr || port != 5432 {
			return fmt.Errorf("%s port %d, want %s", got, port, addr)
		}
		return nil
	})
}
