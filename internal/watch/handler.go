package watch

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const (
	// IndexVariable is the environment variable in which a program finds the index.
	IndexVariable = "CONSUL_INDEX"
	// indexHeader is where a URL finds it.
	indexHeader = "X-Consul-Index"
	// DefaultTimeout is the known limit for a URL to answer in.
	DefaultTimeout = 10 * time.Second
	// grace is how long a program's output is still read after it has ended or was
	// killed: children of it may hold the pipe open for ever.
	grace = time.Second
	// maxAnswer is how much of a URL's answer is read: enough to say what is wrong.
	maxAnswer = 64 << 10
	// shell runs commands that are one line of text, unless SHELL names another one.
	shell = "/bin/sh"
)

// Shell is the command that has a shell run a line of text.
func Shell(line string) []string {
	path := os.Getenv("SHELL")
	if path == "" {
		path = shell
	}
	return []string{path, "-c", line}
}

// Command makes a command of at least one argument that is killed when ctx ends,
// with all that it has started. What it leaves behind keeps nobody waiting: Run
// returns exec.ErrWaitDelay then.
func Command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = grace
	return cmd
}

// Program is a handler that is started for each change, and gets the answer as
// JSON on its standard input.
type Program struct {
	Args     []string
	Out, Err io.Writer
}

// Run waits until the program has ended. When ctx ends it is killed, with all
// that it has started.
func (p *Program) Run(ctx context.Context, index uint64, value any) error {
	if len(p.Args) == 0 {
		return errors.New("no program to run")
	}
	text, err := encode(value)
	if err != nil {
		return err
	}
	cmd := Command(ctx, p.Args)
	cmd.Env = append(os.Environ(), IndexVariable+"="+strconv.FormatUint(index, 10))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), p.Out, p.Err
	// A background child that holds the pipe is no fault of a program that ended well.
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return err
	}
	return nil
}

// URL is a handler that the answer is sent to as JSON.
type URL struct {
	Path          string
	Method        string // "" = POST
	Header        map[string][]string
	Timeout       time.Duration // 0 = DefaultTimeout
	TLSSkipVerify bool
	Out           io.Writer // gets what the URL answers
}

// Run sends the answer once. An answer that is no success is an error.
func (u *URL) Run(ctx context.Context, index uint64, value any) error {
	text, err := encode(value)
	if err != nil {
		return err
	}
	timeout, method := u.Timeout, u.Method
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	if method == "" {
		method = http.MethodPost
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.Path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	for name, values := range u.Header {
		for _, v := range values {
			req.Header.Add(name, v)
		}
		if http.CanonicalHeaderKey(name) == "Host" && len(values) > 0 {
			req.Host = values[0]
		}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(indexHeader, strconv.FormatUint(index, 10))
	transport := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DisableKeepAlives: true, // changes are rare
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: u.TLSSkipVerify},
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	if u.Out != nil {
		_, err = io.Copy(u.Out, io.LimitReader(resp.Body, maxAnswer))
	}
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s answered %s", u.Path, resp.Status)
	}
	return nil
}

func encode(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	return append(text, '\n'), err
}
