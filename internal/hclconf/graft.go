package hclconf

// Graft puts the field's value at a path below n. It reports false when another
// value stands there.
func (n *Node) Graft(path []string, f Field) bool {
	name := path[0]
	at := n.Get(name)
	if len(path) == 1 {
		switch {
		case at == nil:
			f.Key = name
			n.Fields = append(n.Fields, f)
			return true
		case at.Kind == List && f.Value.Kind == List:
			at.Items = append(at.Items, f.Value.Items...)
			return true
		}
		return false
	}
	switch {
	case at == nil:
		at = &Node{Kind: Object, Range: f.KeyRange}
		n.Fields = append(n.Fields, Field{Key: name, KeyRange: f.KeyRange, Value: at})
	case at.Kind == List: // the same block several times: any that says it, else the first
		for _, item := range at.Items {
			if item.Kind == Object && item.Get(path[1]) != nil {
				return item.Graft(path[1:], f)
			}
		}
		if len(at.Items) == 0 {
			return false
		}
		at = at.Items[0]
	}
	if at.Kind != Object {
		return false // the decoder will refuse it
	}
	return at.Graft(path[1:], f)
}
