package aclmatrix

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Right is one thing that somebody may do. The name "*" is all names.
type Right struct{ Resource, Access, Name string }

func (r Right) String() string {
	return strings.TrimSpace(r.Resource + ":" + r.Access + " " + r.Name)
}

// covers reports whether who has r has want too.
func (r Right) covers(want Right) bool {
	return r.Resource == want.Resource && (r.Name == "*" || r.Name == want.Name) &&
		(r.Access == "write" || r.Access == want.Access || r.Access == "list" && want.Access == "read")
}

// Ways are the rights that an operation takes: all of one of them. None at all is an
// operation that is free.
type Ways [][]Right

// ParseWays reads "RESOURCE:ACCESS NAME + ... or ...", or "none".
func ParseWays(text string) (Ways, error) {
	if text == "none" {
		return nil, nil
	}
	var ways Ways
	for way := range strings.SplitSeq(text, " or ") {
		var all []Right
		for one := range strings.SplitSeq(way, "+") {
			what, name, _ := strings.Cut(strings.TrimSpace(one), " ")
			resource, access, ok := strings.Cut(what, ":")
			if !ok || !slices.Contains([]string{"read", "list", "write"}, access) {
				return nil, fmt.Errorf("%q is not RESOURCE:ACCESS NAME", strings.TrimSpace(one))
			}
			all = append(all, Right{resource, access, name})
		}
		ways = append(ways, all)
	}
	return ways, nil
}

// Grant is the rules of a token, and the rights that they give.
type Grant struct {
	Rules  string
	Rights []Right
}

// Suffices reports whether it has what an operation takes.
func (g *Grant) Suffices(w Ways) bool {
	return len(w) == 0 || slices.ContainsFunc(w, func(way []Right) bool {
		return !slices.ContainsFunc(way, func(want Right) bool {
			return !slices.ContainsFunc(g.Rights, func(have Right) bool { return have.covers(want) })
		})
	})
}

// One is the rules that give one right, and what they give.
func One(r Right) Grant {
	switch r.Resource {
	case "acl", "keyring", "operator", "mesh", "peering":
		g := Grant{fmt.Sprintf("%s = %q\n", r.Resource, r.Access), []Right{r}}
		if r.Resource == "operator" { // speaks of these two where no rule does
			g.Rights = append(g.Rights, Right{"mesh", r.Access, ""}, Right{"peering", r.Access, ""})
		}
		return g
	case "intention":
		// It is part of a service's rule, which must say something of the service too.
		g := One(Right{"service", "read", r.Name})
		g.Rules = strings.Replace(g.Rules, "}", fmt.Sprintf(" intentions = %q }", r.Access), 1)
		g.Rights = append(g.Rights, r)
		return g
	}
	head := fmt.Sprintf("%s %q", r.Resource, r.Name)
	if r.Name == "*" {
		head = r.Resource + `_prefix ""`
	}
	g := Grant{fmt.Sprintf("%s { policy = %q }\n", head, r.Access), []Right{r}}
	if r.Resource == "service" {
		g.Rights = append(g.Rights, Right{"intention", "read", r.Name})
	}
	return g
}

// Both is the rules that give several rights.
func Both(rights []Right) (sum Grant) {
	for _, r := range rights {
		g := One(r)
		sum.Rules, sum.Rights = sum.Rules+g.Rules, append(sum.Rights, g.Rights...)
	}
	return sum
}

// Every is every right that there is, one at a time: to things of these names, by
// resource, to others, and to all.
func Every(names map[string][]string) (all []Right) {
	for _, access := range []string{"read", "write"} {
		for _, whole := range []string{"acl", "keyring", "operator", "mesh", "peering"} {
			all = append(all, Right{whole, access, ""})
		}
		for _, resource := range []string{"agent", "event", "intention", "key", "node", "query", "service", "session"} {
			for _, name := range slices.Concat(names[resource], []string{"elsewhere", "*"}) {
				all = append(all, Right{resource, access, name})
			}
		}
	}
	for _, name := range slices.Concat(names["key"], []string{"*"}) {
		all = append(all, Right{"key", "list", name})
	}
	return all
}

// Grants are those of every single right, and those of the ways that take several
// rights at once, by what they give.
func Grants(names map[string][]string, ways []Ways) (order []string, grants map[string]Grant) {
	grants = map[string]Grant{}
	for _, r := range Every(names) {
		grants[r.String()] = One(r)
	}
	for _, w := range ways {
		for _, way := range w {
			if len(way) > 1 {
				grants[fmt.Sprint(way)] = Both(way)
			}
		}
	}
	return slices.Sorted(maps.Keys(grants)), grants
}
