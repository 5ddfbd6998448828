// Package commandtest helps the tests of commands: it runs command lines, and
// lends agents that give fixed answers.
package commandtest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"consul.internal/cmd/consul/command"
)

// Run runs one command line.
func Run(t *testing.T, set command.Set, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return RunWith(t, set, "", args...)
}

// RunWith runs one command line with a standard input.
func RunWith(t *testing.T, set command.Set, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = set.Run(&command.App{In: strings.NewReader(stdin), Out: &out, Err: &errs}, "", args)
	return code, out.String(), errs.String()
}

// Answering lends an agent that answers fixed paths and records requests.
func Answering(t *testing.T, answers map[string]string) *[]string {
	t.Helper()
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("X-Consul-Token"))
		body, ok := answers[r.URL.Path]
		if !ok {
			http.Error(w, "nothing here", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	t.Setenv("CONSUL_HTTP_ADDR", s.URL)
	return &seen
}

// Case is a command line, what it prints, and what the agent was asked.
type Case struct {
	Args       []string
	Stdin      string
	Code       int
	Out, Errs  string
	Asked      string // part of "METHOD URI TOKEN"; "" = nothing is looked for
	NotAsked   bool   // the agent must not have been asked at all
	ErrsPrefix bool   // Errs is only the beginning
}

// Check runs the case; seen is what Answering returned.
func (c *Case) Check(t *testing.T, set command.Set, seen *[]string) {
	t.Helper()
	t.Run(strings.Join(c.Args, " "), func(t *testing.T) {
		*seen = nil
		code, out, errs := RunWith(t, set, c.Stdin, c.Args...)
		same := errs == c.Errs || c.ErrsPrefix && strings.HasPrefix(errs, c.Errs)
		if code != c.Code || out != c.Out || !same {
			t.Errorf("exit %d\n%q\n%q\nwant %d\n%q\n%q", code, out, errs, c.Code, c.Out, c.Errs)
		}
		if got := strings.Join(*seen, "\n"); !strings.Contains(got, c.Asked) || c.NotAsked && got != "" {
			t.Errorf("asked %q, want %q", got, c.Asked)
		}
	})
}
