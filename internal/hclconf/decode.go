package hclconf

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Options say how Decode reads keys.
type Options struct {
	// Loose matches a key also without regard to case and underscores, so that
	// "EnableTagOverride" is enable_tag_override.
	Loose bool
}

// Found tells what a text set: each key by its full name ("ports.http") and
// where. Keys inside list items are not in it, the list is.
type Found map[string]hcl.Range

// Decode fills the struct that into points to from an Object. Keys are the
// names of its `hcl` tags; further names in a tag, parted by commas, are other
// spellings of the same key. A key without a field is an error that names the
// nearest one. Fields the tree does not name stay as they are; null sets nothing.
//
// Fields may be of the basic kinds, time.Duration (written as text: "10s"),
// pointers, slices, maps with string keys, structs, and any. An object serves
// for a slice of one; several blocks of a key serve for a slice, or together
// for one struct or map. Two spellings of one key are an error, unless it is a
// slice of structs or maps: then they join. A field of type hcl.Range tagged ",range" gets the
// place of its object. A field tagged `removed:"..."` refuses its key with that
// advice.
//
// The error is of type Errors. The range of a tree that was not parsed (flags)
// may have no line; messages then name the file only.
func Decode(n *Node, into any, opts Options) (Found, error) {
	root := reflect.ValueOf(into).Elem()
	d := &decoder{opts: opts, errs: &collector{}, found: Found{}, root: root.Type(), types: map[reflect.Type][]field{}}
	d.structure("", n, root)
	if err := d.errs.err(); err != nil {
		return nil, err
	}
	return d.found, nil
}

type decoder struct {
	opts   Options
	errs   *collector
	found  Found
	root   reflect.Type
	types  map[reflect.Type][]field
	inList int
}

// field is a struct field that a key fills.
type field struct {
	names   []string // the first is the key's name
	index   int
	removed string
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	rangeType    = reflect.TypeFor[hcl.Range]()
)

func (d *decoder) fields(t reflect.Type) []field {
	if fs, ok := d.types[t]; ok {
		return fs
	}
	var fs []field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, ok := sf.Tag.Lookup("hcl")
		if !ok || sf.Type == rangeType {
			continue
		}
		fs = append(fs, field{names: strings.Split(tag, ","), index: i, removed: sf.Tag.Get("removed")})
	}
	d.types[t] = fs
	return fs
}

// match finds the field of a key.
func (d *decoder) match(fs []field, key string) *field {
	for i := range fs {
		if slices.Contains(fs[i].names, key) {
			return &fs[i]
		}
	}
	if d.opts.Loose {
		for i := range fs {
			if slices.ContainsFunc(fs[i].names, func(n string) bool { return plain(n) == plain(key) }) {
				return &fs[i]
			}
		}
	}
	return nil
}

func plain(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "") }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (d *decoder) structure(path string, n *Node, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		if t.Field(i).Type == rangeType && t.Field(i).Tag.Get("hcl") == ",range" {
			v.Field(i).Set(reflect.ValueOf(n.Range))
		}
	}
	fs := d.fields(t)
	given := map[int]Field{}
	for _, f := range n.Fields {
		m := d.match(fs, f.Key)
		if m == nil {
			d.unknown(path, f, fs)
			continue
		}
		full := join(path, m.names[0])
		if m.removed != "" {
			d.errs.add(f.KeyRange, "%s is no longer supported: %s", full, m.removed)
			continue
		}
		target := v.Field(m.index)
		old, twice := given[m.index]
		joins := twice && isBlocks(target.Type()) // "service { }" beside "services = [ ]": one list
		if joins {
			target = reflect.New(target.Type()).Elem()
		} else if twice {
			d.errs.add(f.KeyRange, "%s is set twice; the first time, as %s, at %s", full, old.Key, place(old.KeyRange))
			continue
		}
		given[m.index] = f
		if f.Value.Kind == Null {
			continue
		}
		if d.inList == 0 {
			d.found[full] = f.KeyRange
		}
		d.value(full, f.Value, target)
		if joins {
			v.Field(m.index).Set(reflect.AppendSlice(v.Field(m.index), target))
		}
	}
}

// isBlocks reports a list whose items are written as blocks.
func isBlocks(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && (t.Elem().Kind() == reflect.Struct || t.Elem().Kind() == reflect.Map)
}

// unknown reports a key that no field takes, with the nearest one: a sibling
// that is spelt nearly so, or the same name in another place.
func (d *decoder) unknown(path string, f Field, fs []field) {
	full := join(path, f.Key)
	var names []string
	for _, one := range fs {
		if one.removed == "" {
			names = append(names, one.names...)
		}
	}
	if near := nearest(f.Key, names); near != "" {
		d.errs.add(f.KeyRange, "invalid config key %s; nearest valid key is %q", full, near)
		return
	}
	var elsewhere []string
	d.walk("", d.root, 0, func(p string) {
		if strings.HasSuffix(p, "."+f.Key) {
			elsewhere = append(elsewhere, p)
		}
	})
	if len(elsewhere) > 0 && len(elsewhere) <= 3 {
		d.errs.add(f.KeyRange, "invalid config key %s; did you mean %s?", full, strings.Join(elsewhere, " or "))
		return
	}
	d.errs.add(f.KeyRange, "invalid config key %s", full)
}

// walk calls f for every key of nested structs.
func (d *decoder) walk(path string, t reflect.Type, depth int, f func(string)) {
	if depth > 8 { // types that hold themselves
		return
	}
	for _, one := range d.fields(t) {
		full := join(path, one.names[0])
		f(full)
		ft := t.Field(one.index).Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct {
			d.walk(full, ft, depth+1, f)
		}
	}
}

func (d *decoder) mismatch(path string, n *Node, want string) {
	got := n.Kind.String()
	switch n.Kind {
	case Bool, Number, String:
		text := n.Text
		if n.Kind == Bool {
			text = strconv.FormatBool(n.Bool)
		}
		hint := ""
		switch {
		case n.Kind == String && (want == "bool" && (text == "true" || text == "false") || want == "int" && validNumber(text)):
			hint = "; write it without quotes"
		case want == "string" && n.Kind != String, want == "duration":
			hint = "; write it in quotes"
		case strings.HasPrefix(want, "list"):
			hint = "; write it in brackets"
		}
		d.errs.add(n.Range, "'%s' expected type '%s', got unconvertible type '%s', value: '%s'%s", path, want, got, text, hint)
	default:
		d.errs.add(n.Range, "'%s' expected type '%s', got '%s'", path, want, got)
	}
}

func (d *decoder) value(path string, n *Node, v reflect.Value) {
	t := v.Type()
	if t == durationType {
		d.duration(path, n, v)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.value(path, n, v.Elem())
	case reflect.String:
		if n.Kind != String {
			d.mismatch(path, n, "string")
			return
		}
		v.SetString(n.Text)
	case reflect.Bool:
		if n.Kind != Bool {
			d.mismatch(path, n, "bool")
			return
		}
		v.SetBool(n.Bool)
	case reflect.Int, reflect.Int64:
		d.integer(path, n, v)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Text, 64)
		if i, ierr := strconv.ParseInt(n.Text, 0, 64); ierr == nil {
			f, err = float64(i), nil
		}
		if n.Kind != Number || err != nil {
			d.mismatch(path, n, "number")
			return
		}
		v.SetFloat(f)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.Any()))
	case reflect.Slice:
		d.slice(path, n, v)
	case reflect.Map, reflect.Struct:
		obj, ok := d.single(n)
		switch {
		case !ok:
			d.mismatch(path, n, "object")
		case obj == nil:
		case t.Kind() == reflect.Struct:
			d.structure(path, obj, v)
		default:
			d.mapping(path, obj, v)
		}
	default:
		panic(fmt.Sprintf("hclconf: %s has type %s, which no key can fill", path, t))
	}
}

// single makes one object of what stands for a struct or map: an object,
// several blocks, or a list of objects as JSON files write blocks.
func (d *decoder) single(n *Node) (obj *Node, ok bool) {
	if n.Kind == Object {
		return n, true
	}
	if n.Kind != List || slices.ContainsFunc(n.Items, func(i *Node) bool { return i.Kind != Object }) {
		return nil, false
	}
	if len(n.Items) == 0 {
		return nil, true
	}
	return merge(n.Items, d.errs), true
}

func (d *decoder) integer(path string, n *Node, v reflect.Value) {
	if n.Kind != Number {
		d.mismatch(path, n, "int")
		return
	}
	i, err := strconv.ParseInt(n.Text, 0, 64)
	if err != nil {
		const exact = 1 << 53 // beyond it a float names no single integer
		f, ferr := strconv.ParseFloat(n.Text, 64)
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) > exact {
			d.mismatch(path, n, "int")
			return
		}
		i = int64(f)
	}
	if v.OverflowInt(i) {
		d.mismatch(path, n, "int")
		return
	}
	v.SetInt(i)
}

func (d *decoder) duration(path string, n *Node, v reflect.Value) {
	if n.Kind != String {
		d.mismatch(path, n, "duration")
		return
	}
	if n.Text == "" { // as if absent: templates leave such behind
		v.SetInt(0)
		return
	}
	dur, err := time.ParseDuration(n.Text)
	if err != nil {
		d.errs.add(n.Range, "%s: invalid duration: %q: %v; examples: \"500ms\", \"10s\", \"1h30m\"", path, n.Text, err)
		return
	}
	v.SetInt(int64(dur))
}

func (d *decoder) slice(path string, n *Node, v reflect.Value) {
	elem := v.Type().Elem()
	items := []*Node{n}
	switch {
	case n.Kind == List:
		items = n.Items
	case n.Kind == Object && slices.Contains([]reflect.Kind{reflect.Struct, reflect.Map, reflect.Interface}, elem.Kind()):
	default:
		d.mismatch(path, n, "list of "+typeName(elem))
		return
	}
	d.inList++
	defer func() { d.inList-- }()
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		at := path
		if n.Kind == List {
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		if item.Kind == Null {
			d.mismatch(at, item, typeName(elem))
			continue
		}
		d.value(at, item, out.Index(i))
	}
	v.Set(out)
}

func (d *decoder) mapping(path string, n *Node, v reflect.Value) {
	t := v.Type()
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(t, len(n.Fields)))
	}
	for _, f := range n.Fields {
		full := join(path, f.Key)
		if f.Value.Kind == Null {
			continue
		}
		if d.inList == 0 {
			d.found[full] = f.KeyRange
		}
		elem := reflect.New(t.Elem()).Elem()
		d.value(full, f.Value, elem)
		v.SetMapIndex(reflect.ValueOf(f.Key).Convert(t.Key()), elem)
	}
}

// typeName is a Go type as messages write it.
func typeName(t reflect.Type) string {
	if t == durationType {
		return "duration"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Struct:
		return "object"
	case reflect.Map:
		return "map of " + typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Interface:
		return "any"
	case reflect.Int, reflect.Int64:
		return "int"
	case reflect.Float64:
		return "number"
	}
	return t.Kind().String()
}

// TypeName names a field's type as error messages and documentation do.
func TypeName(t reflect.Type) string { return typeName(t) }

// Sorted returns the keys in the order of their places.
func (f Found) Sorted() []string {
	return slices.SortedFunc(maps.Keys(f), func(a, b string) int {
		x, y := f[a], f[b]
		return cmp.Or(cmp.Compare(x.Filename, y.Filename), cmp.Compare(x.Start.Byte, y.Start.Byte), cmp.Compare(a, b))
	})
}
