package hclconf

import (
	"strconv"

	"github.com/hashicorp/hcl/v2"
)

// Range is a stretch of a text, as hcl/v2 has it.
type Range = hcl.Range

// Kind is what a Node is.
type Kind uint8

// The kinds of a Node.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

// String is the kind's name in messages.
func (k Kind) String() string {
	switch k {
	case Bool:
		return "bool"
	case Number:
		return "number"
	case String:
		return "string"
	case List:
		return "list"
	case Object:
		return "object"
	}
	return "null"
}

// Node is one value of the tree and where it stands in its text.
type Node struct {
	Kind     Kind
	Text     string  // String: its value; Number: as it was written
	Bool     bool    // Bool
	Items    []*Node // List
	Fields   []Field // Object, in the order of the text, keys distinct
	Repeated bool    // List: made of blocks of the same key, not written as a list
	Range    hcl.Range
}

// Field is one key of an object.
type Field struct {
	Key      string
	KeyRange hcl.Range
	Value    *Node
}

// Get returns the value of a key, or nil.
func (n *Node) Get(key string) *Node {
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return n.Fields[i].Value
		}
	}
	return nil
}

// Any returns the plain Go value: nil, bool, int64, float64, string, []any or
// map[string]any.
func (n *Node) Any() any {
	switch n.Kind {
	case Bool:
		return n.Bool
	case Number:
		if i, err := strconv.ParseInt(n.Text, 0, 64); err == nil {
			return i
		}
		f, _ := strconv.ParseFloat(n.Text, 64) // the parsers let only numbers through
		return f
	case String:
		return n.Text
	case List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = item.Any()
		}
		return out
	case Object:
		out := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			out[f.Key] = f.Value.Any()
		}
		return out
	}
	return nil
}

// object collects the fields of one object, folding blocks of the same key.
type object struct {
	node  *Node
	index map[string]int
	errs  *collector
}

func newObject(rng hcl.Range, errs *collector) *object {
	return &object{node: &Node{Kind: Object, Range: rng}, index: map[string]int{}, errs: errs}
}

// add takes a field. A key may come again only as a block (an object each
// time); everything else that is said twice is an error, since one of the two
// would silently be lost.
func (o *object) add(f Field) {
	at, seen := o.index[f.Key]
	if !seen {
		o.index[f.Key] = len(o.node.Fields)
		o.node.Fields = append(o.node.Fields, f)
		return
	}
	old := &o.node.Fields[at]
	switch {
	case old.Value.Kind == List && old.Value.Repeated && f.Value.Kind == Object:
		old.Value.Items = append(old.Value.Items, f.Value)
	case old.Value.Kind == Object && f.Value.Kind == Object:
		old.Value = &Node{Kind: List, Repeated: true, Range: old.Value.Range, Items: []*Node{old.Value, f.Value}}
	case old.Value.Kind == List && old.Value.Repeated && f.Value.Kind == List && f.Value.Repeated:
		old.Value.Items = append(old.Value.Items, f.Value.Items...)
	case old.Value.Kind == Object && f.Value.Kind == List && f.Value.Repeated:
		old.Value = &Node{Kind: List, Repeated: true, Range: old.Value.Range, Items: append([]*Node{old.Value}, f.Value.Items...)}
	default:
		o.errs.add(f.KeyRange, "%q is set twice; the first time at %s", f.Key, place(old.KeyRange))
	}
}

// merge makes one object of several: the blocks of a key that is one thing.
func merge(items []*Node, errs *collector) *Node {
	if len(items) == 1 {
		return items[0]
	}
	o := newObject(items[0].Range, errs)
	for _, item := range items {
		for _, f := range item.Fields {
			o.add(f)
		}
	}
	return o.node
}
