package conformance

import (
	"encoding/json"
	"maps"
	"regexp"
	"strconv"
	"sync"
)

// placeholder is the only spelling of a variable; ${match(1)} of a prepared
// query template is none and stays.
var placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9_.-]+)\}`)

// Vars holds the values that stand for placeholders. It is safe for concurrent
// use, because background steps expand while the script goes on.
type Vars struct {
	mu     sync.Mutex
	values map[string]string
	ports  map[string]bool // variables that are numbers in configurations
}

// NewVars returns an empty set.
func NewVars() *Vars { return &Vars{values: map[string]string{}, ports: map[string]bool{}} }

// Set defines a variable.
func (v *Vars) Set(name, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values[name] = value
}

// SetPort defines a variable that becomes a number in a configuration.
func (v *Vars) SetPort(name string, port int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values[name] = strconv.Itoa(port)
	v.ports[name] = true
}

// Get returns the value of a variable.
func (v *Vars) Get(name string) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.values[name]
	return s, ok
}

// Expand replaces the known placeholders of s.
func (v *Vars) Expand(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		if val, ok := v.Get(m[2 : len(m)-1]); ok {
			return val
		}
		return m
	})
}

// ExpandAll expands every string of a list.
func (v *Vars) ExpandAll(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = v.Expand(s)
	}
	return out
}

// ExpandValue expands all strings of a decoded JSON value. A string that is
// nothing but a port variable becomes a number.
func (v *Vars) ExpandValue(in any) any {
	switch x := in.(type) {
	case string:
		if m := placeholder.FindStringSubmatch(x); m != nil && m[0] == x {
			v.mu.Lock()
			isPort, val := v.ports[m[1]], v.values[m[1]]
			v.mu.Unlock()
			if isPort {
				return json.Number(val)
			}
		}
		return v.Expand(x)
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = v.ExpandValue(x[i])
		}
		return out
	case map[string]any:
		return v.ExpandMap(x)
	}
	return in
}

// ExpandMap is ExpandValue for a JSON object; keys are expanded too.
func (v *Vars) ExpandMap(in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for k, val := range in {
		out[v.Expand(k)] = v.ExpandValue(val)
	}
	return out
}

// mergeConfig lays change over base: objects recursively, null removes.
func mergeConfig(base, change map[string]any) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for k, val := range change {
		if val == nil {
			delete(out, k)
			continue
		}
		sub, isObj := val.(map[string]any)
		old, wasObj := out[k].(map[string]any)
		if isObj && wasObj {
			out[k] = mergeConfig(old, sub)
		} else {
			out[k] = val
		}
	}
	return out
}
