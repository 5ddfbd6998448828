// Package scripts tests what a person runs first: the demonstration, and the
// containers' commands.
package scripts

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds what is waited for on a slow machine.
const patience = 2 * time.Minute

// program builds the program, once for all parts of a test.
func program(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has many loopback addresses")
	}
	path := filepath.Join(t.TempDir(), "consul")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/consul").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestFirstSteps(t *testing.T) {
	binary := program(t)
	t.Run("demo", func(t *testing.T) { demo(t, binary) })
	t.Run("compose", func(t *testing.T) { compose(t, binary) })
	t.Run("image", func(t *testing.T) { image(t, binary) })
}

// eventually asks again until it is so, or the time is over.
func eventually(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		err := ask(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// ports asks an agent's DNS door for a service, and returns the ports in order.
func ports(ctx context.Context, agent, name string) ([]uint16, error) {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(agent, "8600"))
	}}
	_, found, err := r.LookupSRV(ctx, "", "", name)
	if err != nil {
		return nil, err
	}
	var out []uint16
	for _, srv := range found {
		out = append(out, srv.Port)
	}
	slices.Sort(out)
	return out, nil
}

// demo runs the demonstration, tries what it says, and ends it as a person does.
func demo(t *testing.T, binary string) {
	cmd := exec.Command("./demo.sh", binary, t.TempDir())
	cmd.Env = append(os.Environ(), "SERVERS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	})
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if strings.HasPrefix(lines.Text(), "Ctrl-C ends") {
			break
		}
	}
	if !strings.Contains(said.String(), "\n    1 1 8080 client.node.dc2.consul.\n") {
		t.Fatalf("no answer from the other datacenter:\n%s\n%s", said.String(), errs.String())
	}

	// The commands that it names are tried, those that only look.
	tried := 0
	for _, line := range strings.Split(said.String(), "\n") {
		if line = strings.TrimSpace(line); !regexp.MustCompile(`^(dig|/\S+/consul|curl) `).MatchString(line) {
			continue
		}
		tried++
		if out, err := exec.CommandContext(t.Context(), "bash", "-c", line).CombinedOutput(); err != nil || strings.HasPrefix(line, "dig") && !regexp.MustCompile(`127\.0\.[12]\.100|client\.node`).Match(out) {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	if tried < 6 {
		t.Errorf("only %d commands were found in\n%s", tried, said.String())
	}

	// Ctrl-C ends everything.
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out) // until nobody holds the pipe
	if err != nil {
		t.Error(err)
	}
	ended = true
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s\n%s", err, rest, errs.String())
	}
	for _, agent := range []string{"127.0.1.1", "127.0.1.100", "127.0.2.1", "127.0.2.100"} {
		if c, err := net.Dial("tcp", net.JoinHostPort(agent, "8500")); err == nil {
			_ = c.Close()
			t.Errorf("%s still listens", agent)
		}
	}
}

// composed are the commands of compose.yaml by service. The file keeps each on
// one line in the form that is JSON, too.
func composed(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	commands, name := map[string][]string{}, ""
	for line := range strings.Lines(string(text)) {
		if m := regexp.MustCompile(`^  ([a-z0-9-]+):\n$`).FindStringSubmatch(line); m != nil {
			name = m[1]
			commands[name] = nil
		}
		if list, ok := strings.CutPrefix(line, "    command: "); ok {
			var args []string
			if err := json.Unmarshal([]byte(list), &args); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			commands[name] = args
		}
	}
	return commands
}

// compose runs the commands of compose.yaml as processes, each with a loopback
// address in the place of its container's.
func compose(t *testing.T, binary string) {
	commands := composed(t)
	addresses := map[string]string{"server-1": "127.0.3.1", "server-2": "127.0.3.2", "server-3": "127.0.3.3", "client-1": "127.0.3.11", "client-2": "127.0.3.12"}
	if len(commands) != len(addresses) {
		t.Fatalf("%d services: %v", len(commands), commands)
	}
	for name, args := range commands {
		replaced := 0
		for i, arg := range args {
			key, value, _ := strings.Cut(arg, "=")
			switch key {
			case "-bind", "-client":
				value = addresses[name]
			case "-data-dir":
				value = filepath.Join(t.TempDir(), "data")
			case "-retry-join":
				if addresses[value] == "" {
					t.Fatalf("%s joins %s, which is no service", name, value)
				}
				value = addresses[value]
			default:
				continue
			}
			args[i] = key + "=" + value
			replaced++
		}
		if replaced != 6 || !slices.Contains(args, "-node="+name) {
			t.Fatalf("%s: %d flags were replaced: %v", name, replaced, args)
		}
		start(t, binary, args)
	}
	for name, addr := range addresses {
		eventually(t, name+" has five members", func(ctx context.Context) error {
			out, err := exec.CommandContext(ctx, binary, "members", "-http-addr="+addr+":8500").CombinedOutput()
			if n := strings.Count(string(out), " alive "); err != nil || n != len(addresses) {
				return fmt.Errorf("%d members (%w)\n%s", n, err, out)
			}
			return nil
		})
		eventually(t, name+" finds both services", func(ctx context.Context) error {
			got, err := ports(ctx, addr, "web.service.consul.")
			if err != nil || !slices.Equal(got, []uint16{8081, 8082}) {
				return fmt.Errorf("ports %v, %w", got, err)
			}
			return nil
		})
	}
}

// start runs an agent until the test ends.
func start(t *testing.T, binary string, args []string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%v: %v\n%s", args, err, text)
		}
		_ = log.Close()
	})
}

// image holds the image's command against the program, and what it copies
// against the tree.
func image(t *testing.T, binary string) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	last := string(text[strings.LastIndex(string(text), "\nFROM ")+1:])
	if !strings.HasPrefix(last, "FROM scratch\n") {
		t.Errorf("the image is made of more than the program:\n%s", last)
	}
	lists := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^(ENTRYPOINT|CMD|HEALTHCHECK .*CMD) (\[.*\])$`).FindAllStringSubmatch(last, -1) {
		var list []string
		if err := json.Unmarshal([]byte(m[2]), &list); err != nil {
			t.Fatal(err)
		}
		lists[strings.Fields(m[1])[0]] = list
	}
	if !slices.Equal(lists["ENTRYPOINT"], []string{"/bin/consul"}) || len(lists["CMD"]) == 0 || !strings.Contains(last, " /bin/consul\n") {
		t.Fatalf("%v", lists)
	}
	config := t.TempDir()
	// The health check brings no token, and must pass all the same.
	if err := os.WriteFile(filepath.Join(config, "acl.hcl"), []byte(`acl { enabled = true, default_policy = "deny" }`), 0o600); err != nil {
		t.Fatal(err)
	}
	args := slices.Clone(lists["CMD"])
	for i, arg := range args {
		switch arg {
		case "-data-dir=/consul/data":
			args[i] = "-data-dir=" + filepath.Join(t.TempDir(), "data")
		case "-config-dir=/consul/config":
			args[i] = "-config-dir=" + config
		case "-client=0.0.0.0":
			args[i] = "-client=127.0.4.1"
		}
	}
	start(t, binary, append(args, "-bind=127.0.4.1", "-node=one"))
	eventually(t, "the image's health check passes", func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, binary, lists["HEALTHCHECK"][1:]...)
		cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR=127.0.4.1:8500")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}
