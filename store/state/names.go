package state

import (
	"iter"
	"slices"

	"consul.internal/catalog"
)

// list brings the service names up to date when an instance becomes another:
// old is nil for a new one, row is nil for one that goes. It lets the new one
// share with its neighbours what is the same in them.
func (t *Txn) list(old, row *serviceRow) {
	if old != nil && (row == nil || nameKey(old.Service.Name) != nameKey(row.Service.Name)) {
		t.relist(old.Service.Name, old, nil)
		old = nil
	}
	if row != nil {
		t.relist(row.Service.Name, old, row)
	}
}

// relist replaces, adds or takes away an instance of one service name.
func (t *Txn) relist(name string, old, row *serviceRow) {
	key := nameKey(name)
	was, exists := get[*nameRow](t, tableNames, key)
	if _, noted := t.names[key]; !noted {
		t.names[key] = was
	}
	next := &nameRow{Name: name}
	if exists {
		*next = *was
	}
	if row == nil {
		next.rows = next.rows.without(old)
	} else {
		if exists {
			row.share(next.rows[0][0])
		}
		next.rows = next.rows.with(row)
	}
	if len(next.rows) == 0 {
		t.remove(tableNames, key, was)
		return
	}
	if old == nil || row == nil || !slices.Equal(old.Service.Tags, row.Service.Tags) {
		next.retag(old, row)
	}
	t.put(tableNames, key, next)
}

// retag brings the tags up to date, rows being so already.
func (r *nameRow) retag(old, row *serviceRow) {
	tags := r.tags
	if row != nil {
		for _, tag := range row.Service.Tags {
			if at, found := slices.BinarySearch(tags, tag); !found {
				tags = slices.Insert(slices.Clone(tags), at, tag)
			}
		}
	}
	if old != nil {
		for _, tag := range old.Service.Tags {
			if at, found := slices.BinarySearch(tags, tag); found && !r.carries(tag) {
				tags = slices.Delete(slices.Clone(tags), at, at+1)
			}
		}
	}
	r.tags = slices.Clip(tags)
}

func (r *nameRow) carries(tag string) bool {
	for row := range r.all() {
		if slices.Contains(row.Service.Tags, tag) {
			return true
		}
	}
	return false
}

// all iterates the instances, none of a nil row, by node and service ID.
func (r *nameRow) all() iter.Seq[*serviceRow] {
	return func(yield func(*serviceRow) bool) {
		if r == nil {
			return
		}
		for _, chunk := range r.rows {
			for _, row := range chunk {
				if !yield(row) {
					return
				}
			}
		}
	}
}

// raiseNames raises the index of the list of services if, taken together, the
// entry changed what that list shows.
func (t *Txn) raiseNames() {
	for key, old := range t.names {
		now, _ := get[*nameRow](t, tableNames, key)
		if !old.shows(now) {
			t.raise(keyNames)
		}
	}
}

// shows reports whether two rows, nil for none, look the same in the list of services.
func (r *nameRow) shows(o *nameRow) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.Name == o.Name && slices.Equal(r.tags, o.tags)
}

// rowList is a list of instances by node and service ID. It is never changed: a
// change copies the part that it touches, so that one of a service with
// thousands of instances costs little. No part is empty.
type rowList [][]*serviceRow

// maxPart bounds a part: a change copies so many pointers at most, and a part's
// header for each part.
const maxPart = 128

// find tells where an instance is, or belongs.
func (l rowList) find(row *serviceRow) (part, at int, found bool) {
	part, _ = slices.BinarySearchFunc(l, row, func(p []*serviceRow, row *serviceRow) int { return p[len(p)-1].compare(row) })
	if part == len(l) {
		part = max(0, len(l)-1)
	}
	if part < len(l) {
		at, found = slices.BinarySearchFunc(l[part], row, (*serviceRow).compare)
	}
	return part, at, found
}

// with has the instance in it, in place of one of the same node and ID.
func (l rowList) with(row *serviceRow) rowList {
	if len(l) == 0 {
		return rowList{{row}}
	}
	part, at, found := l.find(row)
	end := at
	if found {
		end++
	}
	p := make([]*serviceRow, 0, len(l[part])+1-(end-at))
	p = append(append(append(p, l[part][:at]...), row), l[part][end:]...)
	if len(p) <= maxPart {
		return l.replaced(part, p)
	}
	return l.replaced(part, slices.Clone(p[:len(p)/2]), slices.Clone(p[len(p)/2:]))
}

// without leaves an instance out.
func (l rowList) without(row *serviceRow) rowList {
	part, at, found := l.find(row)
	switch {
	case !found:
		return l
	case len(l[part]) == 1:
		return l.replaced(part)
	}
	p := make([]*serviceRow, 0, len(l[part])-1)
	return l.replaced(part, append(append(p, l[part][:at]...), l[part][at+1:]...))
}

func (l rowList) replaced(part int, by ...[]*serviceRow) rowList {
	out := make(rowList, 0, len(l)-1+len(by))
	return append(append(append(out, l[:part]...), by...), l[part+1:]...)
}

func (r *serviceRow) compare(o *serviceRow) int {
	if c := catalog.CompareFold(r.Node, o.Node); c != 0 {
		return c
	}
	return catalog.CompareFold(r.Service.ID, o.Service.ID)
}
