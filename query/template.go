package query

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// Asked is what a template is rendered for.
type Asked struct {
	Name    string // as the asker spelled it
	Segment string // network segment of the agent that was asked; there are none
}

// Compile makes sure that a template can be rendered. A query that is no template
// is right as it is.
func (q *Query) Compile() error {
	if !q.IsTemplate() {
		return nil
	}
	_, err := q.Render(Asked{Name: q.Name})
	return err
}

// Render makes the query that a template is for a name that begins with its own.
func (q *Query) Render(a Asked) (*Query, error) {
	if q.Template.Type != PrefixMatch {
		return nil, fault.Newf(fault.Invalid, "Bad Template.Type '%s'", q.Template.Type)
	}
	v := values{full: a.Name, prefix: q.Name, segment: a.Segment}
	if len(a.Name) >= len(q.Name) && catalog.EqualFold(a.Name[:len(q.Name)], q.Name) {
		v.suffix = a.Name[len(q.Name):]
	}
	if q.Template.Regexp != "" {
		re, err := regexp.Compile(q.Template.Regexp)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "Bad Regexp: %w", err)
		}
		v.matches = re.FindStringSubmatch(a.Name)
	}
	out := q.Clone()
	if err := out.Service.interpolate(&v); err != nil {
		return nil, err
	}
	if q.Template.RemoveEmptyTags {
		out.Service.Tags = slices.DeleteFunc(out.Service.Tags, func(t string) bool { return t == "" })
	}
	return out, nil
}

// interpolate replaces all interpolations in the texts of a service, which is not
// shared with anybody.
func (s *Service) interpolate(v *values) error {
	r := renderer{v: v}
	r.text("Service", &s.Service)
	r.text("SamenessGroup", &s.SamenessGroup)
	r.text("Near", &s.Near)
	r.list("Failover.Datacenters", s.Failover.Datacenters)
	for i := range s.Failover.Targets {
		r.text("Failover.Targets", &s.Failover.Targets[i].Peer)
		r.text("Failover.Targets", &s.Failover.Targets[i].Datacenter)
	}
	r.list("IgnoreCheckIDs", s.IgnoreCheckIDs)
	r.list("Tags", s.Tags)
	r.table("NodeMeta", s.NodeMeta)
	r.table("ServiceMeta", s.ServiceMeta)
	return r.err
}

// renderer replaces interpolations and keeps the first error.
type renderer struct {
	v   *values
	err error
}

func (r *renderer) text(field string, s *string) {
	out, err := r.v.expand(*s)
	if err != nil {
		if r.err == nil {
			r.err = fault.Newf(fault.Invalid, "Bad format '%s' in Service.%s: %w", *s, field, err)
		}
		return
	}
	*s = out
}

func (r *renderer) list(field string, list []string) {
	for i := range list {
		r.text(field, &list[i])
	}
}

func (r *renderer) table(field string, m map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		r.text(field, &v)
		m[k] = v
	}
}

// values are what interpolations stand for.
type values struct {
	full, prefix, suffix, segment string
	matches                       []string
}

// expand replaces each ${...}; $${ stands for ${ itself.
func (v *values) expand(s string) (string, error) {
	var b strings.Builder
	for {
		at := strings.Index(s, "${")
		if at < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		if at > 0 && s[at-1] == '$' {
			b.WriteString(s[:at-1] + "${")
			s = s[at+2:]
			continue
		}
		b.WriteString(s[:at])
		expr, rest, ok := strings.Cut(s[at+2:], "}")
		if !ok {
			return "", fmt.Errorf("%q has no closing brace", s[at:])
		}
		val, err := v.value(strings.TrimSpace(expr))
		if err != nil {
			return "", err
		}
		b.WriteString(val)
		s = rest
	}
}

// value is what an expression stands for. A group that there is not is "".
func (v *values) value(expr string) (string, error) {
	switch expr {
	case "name.full":
		return v.full, nil
	case "name.prefix":
		return v.prefix, nil
	case "name.suffix":
		return v.suffix, nil
	case "agent.segment":
		return v.segment, nil
	}
	arg, ok := strings.CutPrefix(expr, "match(")
	if ok {
		arg, ok = strings.CutSuffix(arg, ")")
	}
	if !ok {
		return "", fmt.Errorf("unknown variable %q; there are name.full, name.prefix, name.suffix, match(N) and agent.segment", expr)
	}
	n, err := strconv.Atoi(strings.TrimSpace(arg))
	if err != nil {
		return "", fmt.Errorf("match wants the number of a group, not %q", arg)
	}
	if n < 0 || n >= len(v.matches) {
		return "", nil
	}
	return v.matches[n], nil
}
