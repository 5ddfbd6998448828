package configs

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"consul.internal/internal/hclconf"
)

// Key describes one configuration key, for documentation and messages.
type Key struct {
	Name    string   // full name, such as "ports.http"; keys of list items are "services[].name"
	Other   []string // other spellings of its last part
	Type    string   // "string", "duration", "list of object", ...
	Default string   // as it would be written, "" if there is none
	Doc     string   // one line
	Reload  bool     // a running agent takes a change
	Built   bool     // the part that uses it exists
	Part    string   // if not Built: the part that will use it; "never" if none will
}

// Keys lists all keys in the order of their names.
func Keys() []Key {
	var out []Key
	defaults := reflect.ValueOf(defaultFile())
	walkKeys("", defaults.Type(), defaults, Key{Built: true}, &out)
	slices.SortFunc(out, func(a, b Key) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// walkKeys adds the keys of a struct type. v holds defaults and may be invalid.
func walkKeys(path string, t reflect.Type, v reflect.Value, outer Key, out *[]Key) {
	for i := range t.NumField() {
		sf := t.Field(i)
		names := strings.Split(sf.Tag.Get("hcl"), ",")
		if names[0] == "" {
			continue
		}
		k := Key{
			Name: path + names[0], Other: names[1:], Type: hclconf.TypeName(sf.Type), Doc: sf.Tag.Get("doc"),
			Reload: outer.Reload || sf.Tag.Get("reload") == "yes", Built: outer.Built, Part: outer.Part,
		}
		if later := sf.Tag.Get("later"); later != "" {
			k.Built, k.Part = false, later
		}
		if r := sf.Tag.Get("removed"); r != "" {
			continue
		}
		var fv reflect.Value
		if v.IsValid() {
			fv = v.Field(i)
			if fv.Kind() == reflect.Pointer {
				fv = fv.Elem()
			}
		}
		inner, suffix := sf.Type, "."
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map {
			if inner.Elem().Kind() == reflect.Struct {
				inner, fv = inner.Elem(), reflect.Value{}
				suffix = "[]."
				if sf.Type.Kind() == reflect.Map {
					suffix = ".*."
				}
			}
		}
		isBlock := inner.Kind() == reflect.Struct && inner != reflect.TypeFor[hclconf.Range]()
		if !isBlock && fv.IsValid() {
			k.Default = written(fv)
		}
		*out = append(*out, k)
		if isBlock {
			walkKeys(k.Name+suffix, inner, fv, k, out)
		}
	}
}

// written is a default as a file would say it.
func written(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.String:
		return fmt.Sprintf("%q", v.String())
	case hclconf.TypeName(v.Type()) == "duration":
		return fmt.Sprintf("%q", fmt.Sprint(v.Interface()))
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Map:
		return ""
	}
	return fmt.Sprint(v.Interface())
}

// unbuilt returns those of the named keys that no part uses yet. A block that
// is named for its keys only is left out.
func unbuilt(used hclconf.Found) []string {
	parts := map[string]Key{}
	for _, k := range Keys() {
		parts[k.Name] = k
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		k, ok := parts[name]
		if ok && !k.Built && k.Type != "object" {
			out = append(out, name)
		}
	}
	return out
}
