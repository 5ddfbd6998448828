package configentry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// DecodeJSON reads an entry from one JSON object. What follows it is ignored.
func DecodeJSON(data []byte) (*Entry, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree map[string]any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	return Decode(tree)
}

// Decode reads an entry from a tree as JSON and HCL have it: keys in CamelCase or
// snake_case. A key that the kind does not have is an error.
func Decode(tree map[string]any) (*Entry, error) {
	raw, ok := tree["Kind"]
	if !ok {
		raw, ok = tree["kind"]
	}
	if !ok {
		return nil, fault.Newf(fault.Invalid, "Payload does not contain a kind/Kind key at the top level")
	}
	name, ok := raw.(string)
	if !ok {
		return nil, fault.Newf(fault.Invalid, "Kind value in payload is not a string")
	}
	k, ok := kinds()[name]
	if !ok {
		if elsewhere(name) {
			return nil, fault.Newf(fault.Invalid, "%s is an enterprise-only feature", name)
		}
		return nil, CheckKind(name)
	}
	e := &Entry{Kind: name}
	var d decoder
	own := map[string]any{}
	var h struct {
		Kind, Name, Namespace, Partition string
		Meta                             map[string]string
		Hash, CreateIndex, ModifyIndex   uint64
	}
	common := fieldsOf(reflect.TypeOf(h))
	rest := map[string]any{}
	for key, v := range tree {
		if _, ok := common[folded(key)]; ok {
			rest[key] = v
		} else {
			own[key] = v
		}
	}
	d.into(reflect.ValueOf(&h).Elem(), rest, "")
	d.into(reflect.ValueOf(k.make(&e.Body)).Elem(), own, "")
	for what, v := range map[string]string{"namespace": h.Namespace, "partition": h.Partition} {
		if v != "" && v != "default" {
			d.fail("Invalid %s %q: there is one, \"default\"", what, v)
		}
	}
	e.Name, e.Meta, e.Hash, e.CreateIndex, e.ModifyIndex = h.Name, h.Meta, h.Hash, h.CreateIndex, h.ModifyIndex
	return e, d.err()
}

// decoder fills structs from trees and gathers what is wrong.
type decoder struct{ wrong []string }

func (d *decoder) fail(format string, args ...any) {
	d.wrong = append(d.wrong, fmt.Sprintf(format, args...))
}

// err lists all mistakes in the form that clients know.
func (d *decoder) err() error {
	n := len(d.wrong)
	if n == 0 {
		return nil
	}
	slices.Sort(d.wrong)
	noun := "errors"
	if n == 1 {
		noun = "error"
	}
	return fault.Newf(fault.Invalid, "%d %s occurred:\n\t* %s\n\n", n, noun, strings.Join(d.wrong, "\n\t* "))
}

// folded makes CamelCase and snake_case one.
func folded(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }

// fieldsOf lists a struct's fields by folded name, and by the other one that the
// tag alias gives.
func fieldsOf(t reflect.Type) map[string]int {
	out := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		out[folded(t.Field(i).Name)] = i
		if other := t.Field(i).Tag.Get("alias"); other != "" {
			out[other] = i
		}
	}
	return out
}

// into puts a value of a tree where it belongs. Where users may write a thing in
// several ways (a number as text, one item for a list), each of them will do.
func (d *decoder) into(to reflect.Value, v any, path string) {
	if v == nil {
		return
	}
	if l, ok := v.([]any); ok && len(l) == 1 && to.Kind() != reflect.Slice && to.Kind() != reflect.Interface {
		v = l[0] // a block of HCL
	}
	switch to.Type() {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[Duration]():
		d.duration(to, v, path)
		return
	case reflect.TypeFor[time.Time]():
		d.time(to, v, path)
		return
	case reflect.TypeFor[[]byte]():
		if s, ok := v.(string); ok {
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				b = []byte(s)
			}
			to.SetBytes(b)
			return
		}
	}
	switch to.Kind() {
	case reflect.Pointer:
		p := reflect.New(to.Type().Elem())
		d.into(p.Elem(), v, path)
		to.Set(p)
	case reflect.Struct:
		d.structure(to, v, path)
	case reflect.Map:
		d.mapping(to, v, path)
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		out := reflect.MakeSlice(to.Type(), len(list), len(list))
		for i, item := range list {
			d.into(out.Index(i), item, fmt.Sprintf("%s[%d]", path, i))
		}
		to.Set(out)
	case reflect.Interface:
		if p := d.plain(v, path); p != nil {
			to.Set(reflect.ValueOf(p))
		}
	default:
		d.scalar(to, v, path)
	}
}

func (d *decoder) structure(to reflect.Value, v any, path string) {
	tree, ok := v.(map[string]any)
	if !ok {
		d.fail("'%s' expected a map, got '%s'", path, typeName(v))
		return
	}
	fields := fieldsOf(to.Type())
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		i, ok := fields[folded(key)]
		if !ok {
			d.fail("invalid config key %q", joinPath(path, key))
			continue
		}
		d.into(to.Field(i), tree[key], joinPath(path, to.Type().Field(i).Name))
	}
}

func (d *decoder) mapping(to reflect.Value, v any, path string) {
	tree, ok := v.(map[string]any)
	if !ok {
		d.fail("'%s' expected a map, got '%s'", path, typeName(v))
		return
	}
	out := reflect.MakeMapWithSize(to.Type(), len(tree))
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		item := reflect.New(to.Type().Elem()).Elem()
		d.into(item, tree[key], joinPath(path, key))
		out.SetMapIndex(reflect.ValueOf(key), item)
	}
	to.Set(out)
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (d *decoder) duration(to reflect.Value, v any, path string) {
	s, ok := v.(string)
	if !ok {
		d.scalar(to, v, path)
		return
	}
	t, err := time.ParseDuration(s)
	if err != nil {
		d.fail("error decoding '%s': %v", path, err)
		return
	}
	to.SetInt(int64(t))
}

func (d *decoder) time(to reflect.Value, v any, path string) {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		d.fail("error decoding '%s': %v", path, err)
		return
	}
	to.Set(reflect.ValueOf(t))
}

func (d *decoder) scalar(to reflect.Value, v any, path string) {
	text, ok := textOf(v)
	var err error
	switch {
	case !ok:
		d.fail("'%s' expected type '%s', got '%s'", path, to.Type(), typeName(v))
		return
	case to.Kind() == reflect.String:
		to.SetString(text)
	case to.Kind() == reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		to.SetBool(b)
	case to.CanInt():
		var n int64
		n, err = strconv.ParseInt(whole(text), 10, to.Type().Bits())
		to.SetInt(n)
	case to.CanUint():
		var n uint64
		n, err = strconv.ParseUint(whole(text), 10, to.Type().Bits())
		to.SetUint(n)
	case to.CanFloat():
		var f float64
		f, err = strconv.ParseFloat(text, to.Type().Bits())
		to.SetFloat(f)
	}
	if err != nil {
		d.fail("cannot parse '%s' as %s: %v", path, to.Kind(), err)
	}
}

// whole makes a whole number that is written with a fraction (5.0, 1e3) one
// without.
func whole(text string) string {
	if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, ".eE") && f == float64(int64(f)) {
		return strconv.FormatInt(int64(f), 10)
	}
	return text
}

func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}

// plain makes of a free-form value what every encoding can carry.
func (d *decoder) plain(v any, path string) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			d.fail("cannot parse '%s' as a number: %v", path, err)
			return nil
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = d.plain(v[i], path)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = d.plain(v[k], joinPath(path, k))
		}
		return out
	}
	return v
}

func typeName(v any) string {
	switch v.(type) {
	case map[string]any:
		return "map"
	case []any:
		return "list"
	case string:
		return "string"
	case bool:
		return "bool"
	}
	return "number"
}
