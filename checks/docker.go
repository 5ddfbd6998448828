package checks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"consul.internal/catalog"
)

const (
	// dockerSocket is where a Docker engine listens unless told otherwise.
	dockerSocket = "unix:///var/run/docker.sock"
	// dockerShell runs a command line where a definition names no shell, as documented.
	dockerShell = "/bin/sh"
	// dockerAnswer bounds an answer of the engine that is no output: the longest, of inspect, has 2 KiB.
	dockerAnswer = 64 << 10
	// dockerPoll is the pause between two looks at a command that has closed its output and has not ended: it rarely takes longer.
	dockerPoll = 50 * time.Millisecond
)

// Docker says where the engine of docker checks is. The zero value takes
// DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH from the environment.
type Docker struct {
	Host    string // such as unix:///var/run/docker.sock or tcp://127.0.0.1:2375
	CertDir string // of ca.pem, cert.pem and key.pem; "" = no TLS
}

func (d Docker) withDefaults() Docker {
	if d == (Docker{}) {
		d.Host = os.Getenv("DOCKER_HOST")
		if os.Getenv("DOCKER_TLS_VERIFY") != "" {
			d.CertDir = os.Getenv("DOCKER_CERT_PATH")
			if home, err := os.UserHomeDir(); d.CertDir == "" && err == nil {
				d.CertDir = filepath.Join(home, ".docker")
			}
		}
	}
	if d.Host == "" {
		d.Host = dockerSocket
	}
	return d
}

// engine speaks the HTTP API of a Docker engine.
type engine struct {
	base   string
	client *http.Client
}

func newEngine(d Docker) (*engine, error) {
	d = d.withDefaults()
	u, err := url.Parse(d.Host)
	if err != nil {
		return nil, fmt.Errorf("DOCKER_HOST is not a URL: %w", err)
	}
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: dockerAnswer}
	e := &engine{base: "http://docker", client: &http.Client{Transport: t}}
	switch u.Scheme {
	case "unix":
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", u.Path)
		}
		return e, nil
	case "tcp", "http", "https":
		e.base = "http://" + u.Host
	default:
		return nil, fmt.Errorf("DOCKER_HOST %q cannot be used: checks reach an engine by unix:///PATH or tcp://HOST:PORT", d.Host)
	}
	if d.CertDir != "" || u.Scheme == "https" {
		e.base = "https://" + u.Host
		t.TLSClientConfig, err = dockerTLS(d.CertDir)
	}
	return e, err
}

func dockerTLS(dir string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if dir == "" {
		return cfg, nil
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("certificates of the Docker engine: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("certificates of the Docker engine: %s holds none", filepath.Join(dir, "ca.pem"))
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, fmt.Errorf("certificates of the Docker engine: %w", err)
	}
	cfg.Certificates = []tls.Certificate{cert}
	return cfg, nil
}

// call makes one request. The paths carry no version: the engine then takes its
// own, while any version named here is too new for some engines or too old for others.
func (e *engine) call(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the Docker engine cannot be asked: %w", err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // read as far as it is wanted
	var problem struct{ Message string }
	data, err := io.ReadAll(io.LimitReader(resp.Body, dockerAnswer))
	if err != nil || json.Unmarshal(data, &problem) != nil || problem.Message == "" {
		problem.Message = strings.TrimSpace(string(data))
	}
	return nil, fmt.Errorf("the Docker engine answers %s: %s", resp.Status, problem.Message)
}

// ask makes a request whose answer is JSON.
func (e *engine) ask(ctx context.Context, method, path string, body, out any) error {
	resp, err := e.call(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if err := json.NewDecoder(io.LimitReader(resp.Body, dockerAnswer)).Decode(out); err != nil {
		return fmt.Errorf("the Docker engine's answer cannot be read: %w", err)
	}
	return nil
}

// create prepares a command in a container and returns its ID.
func (e *engine) create(ctx context.Context, container string, cmd []string) (string, error) {
	var out struct{ ID string }
	err := e.ask(ctx, http.MethodPost, "/containers/"+url.PathEscape(container)+"/exec",
		map[string]any{"AttachStdout": true, "AttachStderr": true, "Cmd": cmd}, &out)
	if err == nil && out.ID == "" {
		err = errors.New("the Docker engine gave no exec ID")
	}
	return out.ID, err
}

// start runs a prepared command and copies its output until it closes that.
func (e *engine) start(ctx context.Context, id string, out io.Writer) error {
	resp, err := e.call(ctx, http.MethodPost, "/exec/"+url.PathEscape(id)+"/start", map[string]any{"Detach": false, "Tty": false})
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is all that was wanted
	return demultiplex(out, resp.Body)
}

// inspect tells whether a command runs, and if not with what code it ended.
func (e *engine) inspect(ctx context.Context, id string) (running bool, code int, err error) {
	var out struct {
		Running  bool
		ExitCode *int
	}
	if err := e.ask(ctx, http.MethodGet, "/exec/"+url.PathEscape(id)+"/json", nil, &out); err != nil {
		return false, 0, err
	}
	if out.Running {
		return true, 0, nil
	}
	if out.ExitCode == nil {
		return false, 0, errors.New("the Docker engine tells no exit code")
	}
	return false, *out.ExitCode, nil
}

// wait returns the exit code of a command that has closed its output.
func (e *engine) wait(ctx context.Context, id string) (int, error) {
	for {
		running, code, err := e.inspect(ctx, id)
		if err != nil || !running {
			return code, err
		}
		pause := time.NewTimer(dockerPoll)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return 0, ctx.Err()
		}
	}
}

// demultiplex copies the payload of an engine's output stream: frames of eight
// bytes (the stream's number, three zeros, the length) and what they announce.
func demultiplex(dst io.Writer, src io.Reader) error {
	var head [8]byte
	for {
		switch _, err := io.ReadFull(src, head[:]); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the output of the command ends within a frame: %w", err)
		case head[0] > 2:
			return fmt.Errorf("the Docker engine's output stream has a frame of the unknown kind %d", head[0])
		}
		switch n, err := io.CopyN(dst, src, int64(binary.BigEndian.Uint32(head[4:]))); {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the output of the command ends after %d bytes of a frame: %w", n, io.ErrUnexpectedEOF)
		case err != nil:
			return err
		}
	}
}

// dockerCommand is what is run in the container. A single element with blanks or
// signs of a shell is a command line; anything else is run as it is, unless a
// shell is named, so that containers without any shell can be checked.
func dockerCommand(d *Definition) []string {
	line := len(d.Args) == 1 && strings.ContainsAny(d.Args[0], " \t\n|&;<>()$`\\\"'*?[]#~=%{}!")
	switch {
	case d.Shell == "" && !line:
		return d.Args
	case line:
		return []string{orDefault(d.Shell, dockerShell), "-c", d.Args[0]}
	}
	quoted := make([]string, len(d.Args))
	for i, arg := range d.Args {
		quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return []string{d.Shell, "-c", strings.Join(quoted, " ")}
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// dockerProbe runs a command in a container and judges it as a script. An engine
// cannot end a command: one that outlives its timeout runs on, and until it has
// ended no other is started.
func dockerProbe(d *Definition, where Docker, timeout time.Duration, maxSize int) probe {
	e, unusable := newEngine(where)
	cmd := dockerCommand(d)
	var left string // a command that was left running
	return func(ctx context.Context) (catalog.Status, string) {
		if unusable != nil {
			return catalog.Critical, unusable.Error()
		}
		if left != "" {
			if running, _, err := e.inspect(ctx, left); err == nil && running {
				return catalog.Critical, fmt.Sprintf("The command of an earlier run, which took longer than %s, still runs in container %s", timeout, d.DockerContainerID)
			}
			left = ""
		}
		id, err := e.create(ctx, d.DockerContainerID, cmd)
		if err != nil {
			return catalog.Critical, err.Error()
		}
		out := newTail(maxSize)
		code := 0
		if err = e.start(ctx, id, out); err == nil {
			code, err = e.wait(ctx, id)
		}
		switch {
		case err != nil && ctx.Err() != nil:
			left = id
			return catalog.Critical, timedOut(timeout, out)
		case err != nil:
			return catalog.Critical, err.Error()
		}
		return exitStatus(code), out.String()
	}
}
