package conformance

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// httpTimeout ends a request that nothing answers; blocking queries of the
	// vectors are far shorter.
	httpTimeout = 60 * time.Second
	// cliTimeout and cliAfterInterrupt are the format's bounds on a command.
	cliTimeout, cliAfterInterrupt = 60 * time.Second, 10 * time.Second
)

func (x *scriptRun) runHTTP(ctx context.Context, st *Step) answer {
	a := x.agentOf(st)
	if a == nil {
		return answer{err: errors.New("no agent")}
	}
	body := []byte(x.vars.Expand(st.Body))
	if st.BodySize > 0 {
		body = bytes.Repeat([]byte("x"), st.BodySize)
	}
	if st.BodyVar != "" {
		raw, _ := x.vars.Get(st.BodyVar)
		body = []byte(raw)
	}
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	var reader io.Reader
	if len(body) > 0 {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, st.Method, "http://"+a.Addr("http")+x.vars.Expand(st.Path), reader)
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("User-Agent", "conformance")
	for k, v := range st.Headers {
		req.Header.Set(k, x.vars.Expand(v))
		if strings.EqualFold(k, "Host") {
			req.Host = x.vars.Expand(v)
		}
	}
	if st.StreamMS > 0 {
		stop := time.AfterFunc(time.Duration(st.StreamMS)*time.Millisecond, cancel)
		defer stop.Stop()
	}
	res, err := x.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil && st.StreamMS == 0 {
		return answer{err: fmt.Errorf("reading the body: %w", err)}
	}
	if res.Header.Get("Content-Encoding") == "gzip" && len(raw) > 0 {
		if raw, err = gunzip(raw); err != nil {
			return answer{err: err}
		}
	}
	return answer{status: res.StatusCode, header: res.Header, body: raw}
}

func gunzip(raw []byte) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zr)
}

func (x *scriptRun) runCLI(ctx context.Context, st *Step) answer {
	work := filepath.Join(x.dir, "work")
	for name, content := range st.Files {
		file := filepath.Join(work, x.vars.Expand(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return answer{err: err}
		}
		if err := os.WriteFile(file, []byte(x.vars.Expand(content)), 0o600); err != nil {
			return answer{err: err}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cliTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, x.Bin, x.vars.ExpandAll(st.Args)...)
	cmd.Dir = work
	cmd.Env = x.environment(st)
	cmd.Stdin = strings.NewReader(x.vars.Expand(st.Stdin))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second // a grandchild may hold the pipes
	if err := cmd.Start(); err != nil {
		return answer{err: err}
	}
	if st.InterruptMS > 0 {
		d := time.Duration(st.InterruptMS) * time.Millisecond
		interrupt := time.AfterFunc(d, func() { _ = cmd.Process.Signal(syscall.SIGINT) })
		defer interrupt.Stop()
		late := time.AfterFunc(d+cliAfterInterrupt, cancel)
		defer late.Stop()
	}
	err := cmd.Wait()
	ans := answer{stdout: stdout.String(), stderr: stderr.String(), exit: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		ans.err = fmt.Errorf("the command did not end by itself: %w\nstdout:\n%s\nstderr:\n%s",
			errors.Join(err, ctx.Err()), clip(ans.stdout), clip(ans.stderr))
	}
	return ans
}

// compare judges an answer; "" means as recorded.
func (x *scriptRun) compare(st *Step, want *Expect, ans answer) string {
	if ans.err != nil {
		return ans.err.Error()
	}
	var diffs []string
	add := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	if ans.header == nil {
		if ans.exit != want.Exit {
			add("exit: want %d, got %d; stdout %q stderr %q", want.Exit, ans.exit, clip(ans.stdout), clip(ans.stderr))
		}
		if d := want.Stdout.Judge(x.vars.Expand, ans.stdout); d != "" {
			add("stdout: %s", d)
		}
		if d := want.Stderr.Judge(x.vars.Expand, ans.stderr); d != "" {
			add("stderr: %s", d)
		}
		return strings.Join(diffs, "\n      ")
	}
	if ans.status != want.Status {
		add("status: want %d, got %d: %s", want.Status, ans.status, clip(string(ans.body)))
	}
	diffs = append(diffs, x.headerDiffs(want, ans.header)...)
	for _, rule := range want.Index {
		if d := x.indexDiff(rule, ans.header); d != "" {
			add("%s", d)
		}
	}
	ms := int(ans.elapsed.Milliseconds())
	if want.MinMS > 0 && ms < want.MinMS || want.MaxMS > 0 && ms > want.MaxMS {
		add("took %d ms, want %d to %d", ms, want.MinMS, want.MaxMS)
	}
	if ans.status == want.Status {
		if d := x.bodyDiff(want.Body, ans.body); d != "" {
			add("body: %s", d)
		}
	}
	return strings.Join(diffs, "\n      ")
}

func (x *scriptRun) headerDiffs(want *Expect, got http.Header) []string {
	var diffs []string
	for _, k := range sortedKeys(want.Headers) {
		values := got.Values(k)
		if len(values) == 0 {
			diffs = append(diffs, fmt.Sprintf("header %s: is missing, want %q", k, want.Headers[k]))
		} else if v := strings.Join(values, ", "); !x.headerMatches(want.Headers[k], v) {
			diffs = append(diffs, fmt.Sprintf("header %s: want %q, got %q", k, x.vars.Expand(want.Headers[k]), v))
		}
	}
	for _, k := range sortedKeys(want.HeadersOptional) {
		if v := strings.Join(got.Values(k), ", "); len(got.Values(k)) > 0 && !x.headerMatches(want.HeadersOptional[k], v) {
			diffs = append(diffs, fmt.Sprintf("header %s: want %q or none, got %q", k, want.HeadersOptional[k], v))
		}
	}
	for _, k := range want.HeadersAbsent {
		if v := got.Values(k); len(v) > 0 {
			diffs = append(diffs, fmt.Sprintf("header %s: must not be there, got %q", k, v))
		}
	}
	return diffs
}

func (x *scriptRun) headerMatches(want, got string) bool {
	switch want {
	case "<any>":
		return true
	case "<index>":
		return indexPattern.MatchString(got)
	}
	return wildcard(x.vars.Expand(want), got)
}

func (x *scriptRun) indexDiff(rule IndexRule, h http.Header) string {
	text, _ := x.vars.Get(rule.Var)
	old, err := strconv.ParseUint(text, 10, 64)
	now, err2 := strconv.ParseUint(h.Get("X-Consul-Index"), 10, 64)
	if err != nil || err2 != nil {
		return fmt.Sprintf("index: %q and %s=%q are not both numbers", h.Get("X-Consul-Index"), rule.Var, text)
	}
	ok := map[string]bool{">": now > old, ">=": now >= old, "=": now == old}[rule.Op]
	if !ok {
		return fmt.Sprintf("index: want %s %d, got %d", rule.Op, old, now)
	}
	return ""
}

func (x *scriptRun) bodyDiff(want *BodyExpect, got []byte) string {
	if want == nil {
		return ""
	}
	switch want.Kind {
	case "nonempty":
		if len(got) == 0 {
			return "want some bytes, got none"
		}
	case "empty":
		if len(got) > 0 {
			return fmt.Sprintf("want no bytes, got %q", clip(string(got)))
		}
	case "text":
		if want.Strict && !wildcard(x.vars.Expand(want.Text), string(got)) {
			return fmt.Sprintf("want %q, got %q", x.vars.Expand(want.Text), clip(string(got)))
		}
	case "json":
		doc, err := decodeJSON(got)
		if err != nil {
			return fmt.Sprintf("%v: %q", err, clip(string(got)))
		}
		raw := want.JSON
		if len(raw) == 0 {
			raw = json.RawMessage("null")
		}
		wanted, err := decodeJSON(raw)
		if err != nil {
			return "the recorded " + err.Error()
		}
		m := JSONMatcher{Expand: x.vars.Expand, Subset: want.Subset, Unordered: want.Unordered}
		if d := m.Match(wanted, doc); d != "" {
			return d
		}
	}
	return matchPatterns(want.Match, string(got))
}

// jsonPath follows paths such as $[0].ModifyIndex.
func jsonPath(doc any, path string) string {
	for _, part := range regexp.MustCompile(`\[(\d+)\]|\.([^.\[]+)`).FindAllStringSubmatch(path, -1) {
		switch v := doc.(type) {
		case []any:
			i, err := strconv.Atoi(part[1])
			if err != nil || i >= len(v) {
				return ""
			}
			doc = v[i]
		case map[string]any:
			doc = v[part[2]]
		default:
			return ""
		}
	}
	return scalar(doc)
}

func lastGroup(expr, text string) string {
	re, err := regexp.Compile(expr)
	if err != nil {
		return ""
	}
	m := re.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[len(m)-1]
}
