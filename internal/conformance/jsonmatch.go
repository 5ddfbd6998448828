package conformance

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ignoredMembers belong to enterprise features or peering: they may be there or
// not, at every level, on both sides.
var ignoredMembers = map[string]bool{
	"Namespace": true, "Namespaces": true, "Partition": true, "Partitions": true, "PeerName": true, "Peer": true,
	"PeeredServices": true, "Locality": true, "SamenessGroup": true, "SourcePeer": true, "SourceNS": true,
	"DestinationNS": true, "SourcePartition": true, "DestinationPartition": true, "SourceSamenessGroup": true,
	"NamespaceRules": true, "EnterpriseMeta": true, "ReadReplica": true, "read_replica": true,
	"RedundancyZone": true, "UpgradeVersion": true, "consul-network-segment": true,
	"ACLAuthMethodEnterpriseFields": true, "ACLAuthMethodEnterpriseMeta": true,
}

var (
	uuidPattern  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	indexPattern = regexp.MustCompile(`^[0-9]+$`)
)

// JSONMatcher compares a body with a recorded document.
type JSONMatcher struct {
	Expand    func(string) string
	Subset    bool
	Unordered bool
}

// decodeJSON reads exactly one document, numbers kept as written.
func decodeJSON(raw []byte) (any, error) {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if dec.More() {
		return nil, fmt.Errorf("more than one JSON document")
	}
	return v, nil
}

// Match returns "" or the first difference with its path.
func (m JSONMatcher) Match(want, got any) string { return m.match("$", want, got) }

func (m JSONMatcher) match(path string, want, got any) string {
	switch w := want.(type) {
	case nil:
		if got != nil {
			return fmt.Sprintf("%s: want null, got %s", path, brief(got))
		}
	case bool:
		if g, ok := got.(bool); !ok || g != w {
			return fmt.Sprintf("%s: want %v, got %s", path, w, brief(got))
		}
	case json.Number:
		g, ok := got.(json.Number)
		if !ok || !sameNumber(w, g) {
			return fmt.Sprintf("%s: want %s, got %s", path, w, brief(got))
		}
	case string:
		return m.matchString(path, w, got)
	case []any:
		return m.matchArray(path, w, got)
	case map[string]any:
		return m.matchObject(path, w, got)
	}
	return ""
}

func (m JSONMatcher) matchString(path, want string, got any) string {
	if ok, known := matchType(want, got); known {
		if ok {
			return ""
		}
		return fmt.Sprintf("%s: want %s, got %s", path, want, brief(got))
	}
	text := m.Expand(want)
	switch g := got.(type) {
	case string:
		if wildcard(text, g) {
			return ""
		}
	case json.Number: // a variable may stand for a number, a port for example
		if text != want && text == g.String() {
			return ""
		}
	}
	return fmt.Sprintf("%s: want %q, got %s", path, text, brief(got))
}

// matchType judges the type placeholders; known is false for other strings.
func matchType(want string, got any) (ok, known bool) {
	switch want {
	case "<any>", "<maybe>":
		return true, true
	case "<string>":
		_, ok = got.(string)
	case "<number>":
		_, ok = got.(json.Number)
	case "<bool>":
		_, ok = got.(bool)
	case "<object>":
		_, ok = got.(map[string]any)
	case "<array>":
		_, ok = got.([]any)
	case "<uuid>":
		s, is := got.(string)
		ok = is && uuidPattern.MatchString(s)
	case "<time>":
		s, is := got.(string)
		_, err := time.Parse(time.RFC3339, s)
		ok = is && err == nil
	case "<index>":
		switch g := got.(type) {
		case json.Number:
			ok = indexPattern.MatchString(g.String())
		case string:
			ok = indexPattern.MatchString(g)
		}
	default:
		return false, false
	}
	return ok, true
}

func (m JSONMatcher) matchArray(path string, want []any, got any) string {
	g, ok := got.([]any)
	if !ok {
		return fmt.Sprintf("%s: want an array of %d, got %s", path, len(want), brief(got))
	}
	if len(g) < len(want) || len(g) > len(want) && !m.Subset {
		return fmt.Sprintf("%s: want %d elements, got %d: %s", path, len(want), len(g), brief(got))
	}
	if m.Unordered || m.Subset {
		return m.matchBag(path, want, g)
	}
	for i := range want {
		if d := m.match(fmt.Sprintf("%s[%d]", path, i), want[i], g[i]); d != "" {
			return d
		}
	}
	return ""
}

// matchBag finds for every wanted element one of its own among the observed
// ones. With Subset alone their order must hold (an ordered search is enough
// then, as further elements may lie anywhere between).
func (m JSONMatcher) matchBag(path string, want, got []any) string {
	if !m.Unordered {
		next := 0
		for i, w := range want {
			for next < len(got) && m.match(path, w, got[next]) != "" {
				next++
			}
			if next == len(got) {
				return fmt.Sprintf("%s: element %d (%s) is missing in %s", path, i, brief(w), brief(got))
			}
			next++
		}
		return ""
	}
	owner := make([]int, len(got)) // which wanted element holds an observed one, -1 none
	for i := range owner {
		owner[i] = -1
	}
	for i, w := range want {
		if !m.assign(i, want, got, owner, make([]bool, len(got))) {
			return fmt.Sprintf("%s: element %s is missing in %s%s", path, brief(w), brief(got), m.nearest(path, w, got, owner))
		}
	}
	return ""
}

// nearest tells how the most similar element that nobody holds differs: the one
// whose first difference lies deepest.
func (m JSONMatcher) nearest(path string, want any, got []any, owner []int) string {
	best, at := "", -1
	for j := range got {
		if owner[j] >= 0 {
			continue
		}
		diff := m.match(fmt.Sprintf("%s[%d]", path, j), want, got[j])
		where, _, _ := strings.Cut(diff, ":")
		if depth := strings.Count(where, ".") + strings.Count(where, "["); depth > at {
			best, at = diff, depth
		}
	}
	if best == "" {
		return ""
	}
	return "; nearest: " + best
}

// assign gives want[i] an observed element, moving earlier ones if needed
// (bipartite matching): "<any>" must not take what only it could leave free.
func (m JSONMatcher) assign(i int, want, got []any, owner []int, seen []bool) bool {
	for j := range got {
		if seen[j] || m.match("", want[i], got[j]) != "" {
			continue
		}
		seen[j] = true
		if owner[j] < 0 || m.assign(owner[j], want, got, owner, seen) {
			owner[j] = i
			return true
		}
	}
	return false
}

func (m JSONMatcher) matchObject(path string, want map[string]any, got any) string {
	g, ok := got.(map[string]any)
	if !ok {
		return fmt.Sprintf("%s: want an object, got %s", path, brief(got))
	}
	expected := map[string]bool{}
	for _, k := range sortedKeys(want) {
		name := m.Expand(k)
		expected[name] = true
		if ignoredMembers[name] {
			continue
		}
		val, there := g[name]
		if !there {
			if want[k] == "<maybe>" {
				continue
			}
			return fmt.Sprintf("%s.%s: is missing, want %s", path, name, brief(want[k]))
		}
		if d := m.match(path+"."+name, want[k], val); d != "" {
			return d
		}
	}
	if m.Subset {
		return ""
	}
	for _, k := range sortedKeys(g) {
		if !expected[k] && !ignoredMembers[k] {
			return fmt.Sprintf("%s.%s: is not expected, got %s", path, k, brief(g[k]))
		}
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, okX := new(big.Rat).SetString(a.String())
	y, okY := new(big.Rat).SetString(b.String())
	return okX && okY && x.Cmp(y) == 0
}

// wildcard compares text with a pattern in which <*> stands for any text.
func wildcard(pattern, text string) bool {
	parts := strings.Split(pattern, "<*>")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) || len(text) < len(first)+len(last) || !strings.HasSuffix(text, last) {
		return false
	}
	rest := text[len(first) : len(text)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return true
}

// brief prints a value for a person; 300 characters show what is wrong without
// filling the screen.
func brief(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // placeholders such as <any> stay readable
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	text := strings.TrimSpace(b.String())
	if len(text) > 300 {
		return text[:300] + "..."
	}
	return text
}
