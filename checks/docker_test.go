package checks

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"consul.internal/catalog"
)

// frame is a piece of an engine's output stream.
func frame(stream byte, text string) []byte {
	head := make([]byte, 8)
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head, text...)
}

// fakeEngine answers the three calls of docker checks. What a command does is
// its first word.
type fakeEngine struct {
	mu      sync.Mutex
	cmds    [][]string
	looks   int  // how often an ended command is still shown as running
	ended   bool // a command that hangs has ended
	started int
}

func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail := func(status int, text string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": text})
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /containers/web/exec":
		var in struct {
			AttachStdout, AttachStderr, Tty bool
			Cmd                             []string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !in.AttachStdout || !in.AttachStderr || in.Tty || len(in.Cmd) == 0 {
			fail(400, fmt.Sprintf("bad exec: %+v %v", in, err))
			return
		}
		f.cmds = append(f.cmds, in.Cmd)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]string{"Id": fmt.Sprint("exec", len(f.cmds))})
	case "POST /containers/paused/exec":
		fail(409, "Container paused is paused, unpause the container before exec")
	case "POST /containers/plain/exec":
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "no JSON\n")
	case "POST /containers/garbled/exec":
		_, _ = io.WriteString(w, "[1,")
	case "POST /containers/nothing/exec":
		_, _ = io.WriteString(w, "{}")
	default:
		id, what, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/exec/exec"), "/")
		var n int
		if _, err := fmt.Sscan(id, &n); !ok || err != nil || n < 1 || n > len(f.cmds) {
			fail(404, "No such container: "+r.URL.Path)
			return
		}
		if what == "start" {
			f.start(w, f.cmds[n-1])
			return
		}
		f.inspect(w, f.cmds[n-1])
	}
}

// start takes the connection over, as an engine does, and sends what the command prints.
func (f *fakeEngine) start(w http.ResponseWriter, cmd []string) {
	f.started++
	f.looks = 2
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n")
	switch cmd[0] {
	case "hang":
		_, _ = conn.Write(frame(1, "so far\n"))
		f.mu.Unlock()
		_, _ = conn.Read(make([]byte, 1)) // until the other side has had enough
		f.mu.Lock()
	case "torn":
		_, _ = conn.Write(frame(1, "text")[:10])
	case "raw":
		_, _ = io.WriteString(conn, "plain text")
	case "long":
		for range 100 {
			_, _ = conn.Write(frame(1, strings.Repeat("x", 999)+"\n"))
		}
		_, _ = conn.Write(frame(2, "the end\n"))
	default:
		_, _ = conn.Write(slices.Concat(frame(1, "out\n"), frame(2, "err\n"), frame(1, strings.Join(cmd, "|"))))
	}
}

func (f *fakeEngine) inspect(w http.ResponseWriter, cmd []string) {
	f.looks--
	if cmd[0] == "hang" && !f.ended || cmd[0] != "hang" && f.looks > 0 {
		_, _ = io.WriteString(w, `{"Running":true,"ExitCode":null}`)
		return
	}
	code := 0
	_, _ = fmt.Sscanf(cmd[len(cmd)-1], "exit%d", &code)
	_, _ = fmt.Fprintf(w, `{"Running":false,"ExitCode":%d}`, code)
}

func newFakeEngine(t *testing.T) (*fakeEngine, Docker) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeEngine{}
	srv := httptest.NewUnstartedServer(f)
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return f, Docker{Host: "unix://" + path}
}

func probeDocker(t *testing.T, where Docker, d *Definition) (catalog.Status, string) {
	t.Helper()
	return probeWith(t, d, func(c *Config) { c.OutputMaxSize, c.Docker = 512, where })
}

func TestDockerProbe(t *testing.T) {
	f, where := newFakeEngine(t)
	missing := Docker{Host: "unix://" + filepath.Join(t.TempDir(), "none")}
	for _, tt := range []struct {
		name   string
		where  Docker
		def    Definition
		status catalog.Status
		output string
	}{
		{"passes", where, Definition{DockerContainerID: "web", Args: []string{"check", "-x", "a b"}}, "passing", "out\nerr\ncheck|-x|a b"},
		{"warns", where, Definition{DockerContainerID: "web", Args: []string{"check", "exit1"}}, "warning", "out\nerr\n"},
		{"fails", where, Definition{DockerContainerID: "web", Args: []string{"check", "exit2"}}, "critical", "out\nerr\n"},
		{"not found in it", where, Definition{DockerContainerID: "web", Args: []string{"check", "exit127"}}, "critical", "out\nerr\n"},
		{"line", where, Definition{DockerContainerID: "web", Args: []string{"check && done"}}, "passing", "/bin/sh|-c|check && done"},
		{"line of a shell", where, Definition{DockerContainerID: "web", Shell: "/bin/bash", Args: []string{"check $X"}}, "passing", "/bin/bash|-c|check $X"},
		{"one word", where, Definition{DockerContainerID: "web", Args: []string{"/check"}}, "passing", "err\n/check"},
		{"words of a shell", where, Definition{DockerContainerID: "web", Shell: "/bin/bash", Args: []string{"check", "it's"}}, "passing", `/bin/bash|-c|'check' 'it'\''s'`},
		{"long", where, Definition{DockerContainerID: "web", Args: []string{"long"}}, "passing", "Captured 512 of 100008 bytes"},
		{"unknown container", where, Definition{DockerContainerID: "nope", Args: []string{"x"}}, "critical", "404 Not Found: No such container"},
		{"paused", where, Definition{DockerContainerID: "paused", Args: []string{"x"}}, "critical", "is paused"},
		{"plain error", where, Definition{DockerContainerID: "plain", Args: []string{"x"}}, "critical", "500 Internal Server Error: no JSON"},
		{"garbled", where, Definition{DockerContainerID: "garbled", Args: []string{"x"}}, "critical", "cannot be read"},
		{"no ID", where, Definition{DockerContainerID: "nothing", Args: []string{"x"}}, "critical", "no exec ID"},
		{"torn", where, Definition{DockerContainerID: "web", Args: []string{"torn"}}, "critical", "ends after 2 bytes of a frame"},
		{"not multiplexed", where, Definition{DockerContainerID: "web", Args: []string{"raw"}}, "critical", "unknown kind 112"},
		{"no engine", missing, Definition{DockerContainerID: "web", Args: []string{"x"}}, "critical", "cannot be asked"},
		{"bad host", Docker{Host: "ssh://x"}, Definition{DockerContainerID: "web", Args: []string{"x"}}, "critical", "unix:///PATH or tcp://HOST:PORT"},
		{"no certificates", Docker{Host: "tcp://127.0.0.1:1", CertDir: t.TempDir()}, Definition{DockerContainerID: "web", Args: []string{"x"}}, "critical", "ca.pem"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, output := probeDocker(t, tt.where, &tt.def)
			if status != tt.status || !strings.Contains(output, tt.output) || len(output) > 512 {
				t.Errorf("%s %q, want %s with %q", status, output, tt.status, tt.output)
			}
		})
	}
	if f.started < 10 {
		t.Errorf("%d commands were started", f.started)
	}
}

// A command that hangs is not joined by another one at each interval.
func TestDockerTimeout(t *testing.T) {
	f, where := newFakeEngine(t)
	def := &Definition{DockerContainerID: "web", Args: []string{"hang"}, Interval: time.Second, Timeout: 100 * time.Millisecond}
	run := dockerProbe(def, where, def.Timeout, 512)
	for i, want := range []string{"Timed out (100ms) running check\n\nso far\n", "still runs in container web", "still runs in container web", "Timed out (100ms)"} {
		if i == 3 {
			f.mu.Lock()
			f.ended = true
			f.mu.Unlock()
		}
		status, output := probeWithin(t, run, def.Timeout)
		if status != catalog.Critical || !strings.Contains(output, want) {
			t.Errorf("run %d: %s %q, want %q", i, status, output, want)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.started != 2 {
		t.Errorf("%d commands were started, want 2", f.started)
	}
}

func TestDockerOverTCP(t *testing.T) {
	def := &Definition{DockerContainerID: "web", Args: []string{"check"}}
	plain := httptest.NewServer(&fakeEngine{})
	t.Cleanup(plain.Close)
	host := "tcp://" + plain.Listener.Addr().String()
	if status, output := probeDocker(t, Docker{Host: host}, def); status != catalog.Passing {
		t.Errorf("%s %q", status, output)
	}
	secure := httptest.NewTLSServer(&fakeEngine{})
	t.Cleanup(secure.Close)
	dir := t.TempDir()
	cert := secure.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	for name, data := range map[string][]byte{"ca.pem": certPEM, "cert.pem": certPEM, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DOCKER_HOST", "tcp://"+secure.Listener.Addr().String())
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	t.Setenv("DOCKER_CERT_PATH", dir)
	if status, output := probeDocker(t, Docker{}, def); status != catalog.Passing {
		t.Errorf("%s %q", status, output)
	}
	t.Setenv("DOCKER_TLS_VERIFY", "")
	if status, output := probeDocker(t, Docker{}, def); status != catalog.Critical || !strings.Contains(output, "400 Bad Request") {
		t.Errorf("plain text to a TLS port: %s %q", status, output)
	}
	t.Setenv("DOCKER_HOST", "")
	if got := (Docker{}).withDefaults(); got != (Docker{Host: dockerSocket}) {
		t.Errorf("without environment: %+v", got)
	}
}

func FuzzDemultiplex(f *testing.F) {
	f.Add(slices.Concat(frame(1, "out"), frame(2, "err")))
	f.Add([]byte("\x01\x00\x00\x00\xff\xff\xff\xffshort"))
	f.Add([]byte("\x05"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		err := demultiplex(&out, bytes.NewReader(data))
		if out.Len() > len(data) {
			t.Errorf("%d bytes out of %d", out.Len(), len(data))
		}
		if err == nil && len(data) > 0 && len(data) < 8 {
			t.Errorf("a torn frame was accepted: %q", data)
		}
	})
}
