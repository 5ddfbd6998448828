// Package monitoring holds the dashboard and the alerts against an agent that runs: a
// metric that has another name or other labels than they say fails here.
package monitoring

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"consul.internal/internal/metrics"
)

// absent are names that a healthy server which stands alone does not show, and why.
// They have to be in the agent's own list of names all the same.
var absent = map[string]string{
	"consul_client_rpc_exceeded":      "an agent asked too often",
	"consul_raft_leader_lastContact":  "a leader with followers",
	"consul_serf_member_failed":       "a failure",
	"consul_serf_member_flap":         "a failure that passes",
	"consul_serf_queue_Event":         "half a minute",
	"consul_telemetry_series_refused": "thousands of series",
}

// prometheusOwn are labels that Prometheus adds.
var prometheusOwn = []string{"job", "instance", "le", "quantile"}

func TestMonitoring(t *testing.T) {
	a := run(t)
	a.use(t)
	// What the collectors show comes by and by.
	awaited := []string{
		"consul_agent_tls_cert_expiry{", "consul_raft_thread_main_saturation_count", "consul_memberlist_gossip_count{", "consul_kvs_apply_count", "consul_state_kv_entries{",
		"consul_autopilot_healthy 1", "consul_serf_events{", "consul_dns_responses{", `consul_gossip_keys{network="lan"} 1`, "consul_host_cpu_total{", "consul_runtime_sched_wait_p99_ns ", "consul_runtime_gc_pause_ns_sum",
		`consul_host_disk_used_percent{path=`, "process_open_fds ", "consul_rpc_consistentRead_count", "consul_prepared_query_execute_count",
	}
	var text string
	a.eventually(t, "figures of every part", func(ctx context.Context) (err error) {
		if text, err = a.ask(ctx, http.MethodGet, "/v1/agent/metrics?format=prometheus", ""); err != nil {
			return err
		}
		for _, w := range awaited {
			if !strings.Contains(text, "\n"+w) {
				return errors.New("there is no " + w)
			}
		}
		return nil
	})
	shown := page(t, text)
	t.Run("defined", func(t *testing.T) { defined(t, shown) })
	t.Run("alerts", func(t *testing.T) {
		found := alerts(t)
		for name, expr := range found {
			check(t, "alert "+name, expr, shown)
		}
		if len(found) < 20 {
			t.Errorf("only %d alerts were read", len(found))
		}
	})
	t.Run("dashboard", func(t *testing.T) {
		exprs := dashboard(t)
		for title, list := range exprs {
			for _, expr := range list {
				check(t, "panel "+title, expr, shown)
			}
		}
		if len(exprs) < 30 {
			t.Errorf("only %d panels were read", len(exprs))
		}
	})
	t.Run("a renamed metric is found", func(t *testing.T) {
		for _, expr := range []string{
			"consul_raft_comitTime_sum > 1", `consul_dns_responses{code="SERVFAIL"}`, "sum by (dc) (consul_state_nodes)", "consul_raft_apply_sum", "up",
			`{__name__=~"consul_serf_quue_.*"}`,
		} {
			if len(wrong(expr, shown)) == 0 {
				t.Errorf("nothing is found wrong in %s", expr)
			}
		}
	})
}

// defined holds the page against the list that the reference is made of.
func defined(t *testing.T, shown map[string]metric) {
	kinds := map[string]string{"timer": "summary", "counter": "counter", "gauge": "gauge", "histogram": "histogram"}
	known := definitions()
	for name, m := range shown {
		d, ok := known(name)
		labels := slices.Sorted(maps.Keys(m.labels))
		want := strings.FieldsFunc(d.Labels, func(r rune) bool { return r == ',' })
		slices.Sort(want)
		if !ok || kinds[d.Kind] != m.kind || !slices.Equal(labels, want) && len(labels) > 0 {
			t.Errorf("%s is a %s with labels %v; defined is %+v", name, m.kind, labels, d)
		}
	}
}

// definitions finds what is said about a name as Prometheus knows it.
func definitions() func(string) (metrics.Definition, bool) {
	clean := strings.NewReplacer(".", "_", "-", "_")
	by := map[string]metrics.Definition{}
	for _, d := range slices.Concat(metrics.Definitions(), metrics.Libraries()) {
		by["consul_"+clean.Replace(d.Name)] = d
	}
	for _, d := range metrics.OfProcess() {
		by[d.Name] = d
	}
	return func(name string) (metrics.Definition, bool) {
		if d, ok := by[name]; ok {
			return d, true
		}
		for known, d := range by {
			if begin, _, many := strings.Cut(known, "<"); many && strings.HasPrefix(name, begin) {
				return d, true
			}
		}
		return metrics.Definition{}, false
	}
}

func check(t *testing.T, where, expr string, shown map[string]metric) {
	t.Helper()
	for _, problem := range wrong(expr, shown) {
		t.Errorf("%s: %s in %s", where, problem, expr)
	}
}

var (
	quoted   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	named    = regexp.MustCompile(`[A-Za-z_:][A-Za-z0-9_:]*`)
	selector = regexp.MustCompile(`([A-Za-z_:][A-Za-z0-9_:]*)?\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"`)
	grouped  = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
)

func nameAt(line string) string { return named.FindString(line) }

func labelsAt(line string) (names []string) {
	if s := selector.FindStringSubmatch(line); s != nil {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// wrong says what is not right in a query: a name that the agent does not show, or a
// label that the named metrics do not have.
func wrong(expr string, shown map[string]metric) (problems []string) {
	lookup := definitions()
	all := map[string]bool{} // labels of any metric in the query
	metricOf := func(name string) map[string]bool {
		if m, ok := known(shown, name); ok {
			maps.Copy(all, m.labels)
			return m.labels
		}
		if _, excused := absent[name]; !excused {
			problems = append(problems, "no agent shows "+name)
			return nil
		}
		d, ok := lookup(name)
		if !ok {
			problems = append(problems, name+" is in no list of names")
		}
		labels := map[string]bool{}
		for l := range strings.SplitSeq(d.Labels, ",") {
			labels[l], all[l] = true, true
		}
		return labels
	}
	names := 0
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		var labels map[string]bool
		if s[1] != "" {
			labels = metricOf(s[1])
			names++
		}
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			switch {
			case m[1] == "__name__":
				names++
				if !anyName(m[2]) {
					problems = append(problems, "no metric has a name like "+m[2])
				}
			case s[1] != "" && !labels[m[1]] && !slices.Contains(prometheusOwn, m[1]):
				problems = append(problems, s[1]+" has no label "+m[1])
			}
		}
	}
	rest := selector.ReplaceAllString(expr, " ")
	groups := grouped.FindAllStringSubmatch(rest, -1)
	rest = quoted.ReplaceAllString(grouped.ReplaceAllString(rest, " "), " ")
	for _, name := range named.FindAllString(rest, -1) {
		if strings.HasPrefix(name, "consul_") || strings.HasPrefix(name, "process_") {
			metricOf(name)
			names++
		}
	}
	for _, g := range groups { // the labels of all metrics are known now
		for _, l := range named.FindAllString(g[1], -1) {
			if !all[l] && !slices.Contains(prometheusOwn, l) {
				problems = append(problems, "nothing has the label "+l)
			}
		}
	}
	if names == 0 {
		problems = append(problems, "no metric of an agent")
	}
	return problems
}

// anyName reports whether one of the agent's names matches, and all that an expression
// in parentheses offers do.
func anyName(pattern string) bool {
	lookup := definitions()
	open, end := strings.IndexByte(pattern, '('), strings.IndexByte(pattern, ')')
	if open < 0 || end < open {
		_, ok := lookup(pattern)
		return ok
	}
	for one := range strings.SplitSeq(pattern[open+1:end], "|") {
		if _, ok := lookup(pattern[:open] + one + pattern[end+1:]); !ok {
			return false
		}
	}
	return true
}

// alerts reads the rules: their form is simpler than YAML allows, and promtool judges
// that it is YAML.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, rule := range strings.Split(string(text), "\n      - alert: ")[1:] {
		name, body, _ := strings.Cut(rule, "\n")
		_, expr, ok := strings.Cut(body, "        expr: ")
		if !ok || found[name] != "" {
			t.Fatalf("alert %s has no query, or stands there twice", name)
		}
		var lines []string
		for i, line := range strings.Split(expr, "\n") {
			if i > 0 && !strings.HasPrefix(line, "          ") {
				break
			}
			lines = append(lines, strings.TrimSpace(strings.TrimPrefix(line, ">-")))
		}
		found[name] = strings.TrimSpace(strings.Join(lines, " "))
		for _, part := range []string{"\n        labels: {severity: ", "summary: \"", "description: \""} {
			if !strings.Contains(body, part) {
				t.Errorf("alert %s has no %q", name, part)
			}
		}
	}
	return found
}

// dashboard reads the queries of the panels, of the variables and of the annotations.
func dashboard(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
		Templating, Annotations struct {
			List []struct{ Name, Type, Definition, Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			found[p.Title] = append(found[p.Title], q.Expr)
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %s asks nothing", p.Title)
		}
	}
	for _, v := range slices.Concat(d.Templating.List, d.Annotations.List) {
		if v.Type != "datasource" {
			found[v.Name] = append(found[v.Name], strings.Replace(v.Definition, ", "+v.Name+")", ")", 1)+v.Expr)
		}
	}
	return found
}
