package definition

import (
	"errors"
	"fmt"
	"time"

	"consul.internal/internal/hclconf"
	"consul.internal/internal/watch"
)

// Watch is a query whose changes a handler is told of: a program or a URL.
type Watch struct {
	Query watch.Query
	Args  []string // the program
	URL   *watch.URL
}

// WatchBlock is a "watches" block.
type WatchBlock struct {
	Pos         hclconf.Range  `hcl:",range"`
	Type        string         `hcl:"type" doc:"key, keyprefix, services, nodes, service, checks or event"`
	Datacenter  string         `hcl:"datacenter" doc:"datacenter to ask; default is the agent's"`
	Token       string         `hcl:"token" doc:"ACL token to ask with; default is the agent's"`
	Stale       bool           `hcl:"stale" doc:"let any server answer"`
	Key         string         `hcl:"key" doc:"key, for type key"`
	Prefix      string         `hcl:"prefix" doc:"prefix of keys, for type keyprefix"`
	Service     string         `hcl:"service" doc:"service, for types service and checks"`
	Tag         any            `hcl:"tag" doc:"tag or list of tags that instances must have, for type service"`
	PassingOnly bool           `hcl:"passingonly" doc:"instances that pass all checks only, for type service"`
	State       string         `hcl:"state" doc:"state of checks, for type checks"`
	Name        string         `hcl:"name" doc:"name of events, for type event"`
	Filter      string         `hcl:"filter" doc:"filter expression, for types services, nodes, service and checks"`
	HandlerType string         `hcl:"handler_type" doc:"script (the default) or http"`
	Handler     string         `hcl:"handler" doc:"command that a shell runs; args is better"`
	Args        []string       `hcl:"args" doc:"program to start, with its arguments"`
	HTTP        *WatchURLBlock `hcl:"http_handler_config" doc:"URL to send to, for handler_type http"`
}

// WatchURLBlock is the URL of a handler.
type WatchURLBlock struct {
	Path          string              `hcl:"path" doc:"the URL"`
	Method        string              `hcl:"method" doc:"method; default is POST"`
	Header        map[string][]string `hcl:"header" doc:"headers to send"`
	Timeout       *time.Duration      `hcl:"timeout" doc:"how long an answer may take; default is 10s"`
	TLSSkipVerify bool                `hcl:"tls_skip_verify" doc:"take any certificate"`
}

// Watches checks the watches and turns them into what the daemon runs.
func (j *Judge) Watches(files []WatchBlock) []Watch {
	var out []Watch
	for i := range files {
		f := &files[i]
		w, err := watchOf(f)
		if err != nil {
			j.Errors = append(j.Errors, fmt.Sprintf("%s: watches[%d]: %s", hclconf.Place(f.Pos), i, err))
		}
		if f.Handler != "" && err == nil {
			j.Warnings = append(j.Warnings, fmt.Sprintf("%s: watches[%d]: 'handler' has been deprecated: use 'args' instead", hclconf.Place(f.Pos), i))
		}
		out = append(out, w)
	}
	return out
}

func watchOf(f *WatchBlock) (Watch, error) {
	w := Watch{Query: watch.Query{
		Type: f.Type, Datacenter: f.Datacenter, Token: f.Token, Stale: f.Stale, Key: f.Key, Prefix: f.Prefix, Service: f.Service,
		PassingOnly: f.PassingOnly, State: f.State, Name: f.Name, Filter: f.Filter,
	}}
	var err error
	if w.Query.Tags, err = tagList(f.Tag); err != nil {
		return w, err
	}
	if err := w.Query.Check(); err != nil {
		return w, err
	}
	switch {
	case f.HandlerType == "http" && f.HTTP == nil:
		return w, errors.New("handler_type 'http' requires 'http_handler_config' to be set")
	case f.HandlerType == "http" && f.HTTP.Path == "":
		return w, errors.New("http_handler_config requires 'path' to be set")
	case f.HandlerType == "http":
		var timeout time.Duration
		if f.HTTP.Timeout != nil {
			timeout = *f.HTTP.Timeout
		}
		w.URL = &watch.URL{Path: f.HTTP.Path, Method: f.HTTP.Method, Header: f.HTTP.Header, Timeout: timeout, TLSSkipVerify: f.HTTP.TLSSkipVerify}
	case f.HandlerType != "" && f.HandlerType != "script":
		return w, fmt.Errorf("handler_type %q is neither script nor http", f.HandlerType)
	case f.HTTP != nil:
		return w, errors.New("http_handler_config needs handler_type = \"http\"")
	case f.Handler != "" && len(f.Args) > 0:
		return w, errors.New("only one of 'handler' and 'args' may be set")
	case f.Handler != "":
		w.Args = watch.Shell(f.Handler)
	case len(f.Args) > 0:
		w.Args = f.Args
	default:
		return w, errors.New("a handler is needed: set 'args', or handler_type 'http'")
	}
	return w, nil
}

// tagList takes one tag or a list of them.
func tagList(v any) ([]string, error) {
	wrong := errors.New("tag must be a string or a list of strings")
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil, wrong
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, wrong
}
