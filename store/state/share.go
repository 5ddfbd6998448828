package state

import (
	"maps"
	"slices"
	"unique"

	"consul.internal/catalog"
)

// Records come out of the log and of snapshots with strings, lists and maps of
// their own, most of which say the same in many records. They are kept once.

// intern returns an equal string that others have, too.
func intern(s string) string {
	if s == "" {
		return ""
	}
	return unique.Make(s).Value()
}

// share has a new check use what other checks have. Its node, service and tags
// are shared by whoever fills them in.
func share(c *catalog.Check) {
	c.Name, c.Type, c.Notes = intern(c.Name), intern(c.Type), intern(c.Notes)
	c.Interval, c.Timeout = intern(c.Interval), intern(c.Timeout)
	c.Status = catalog.Status(intern(string(c.Status)))
}

// share has a new instance use what another of its service has.
func (r *serviceRow) share(like *serviceRow) {
	s, o := r.Service, like.Service
	if s == o {
		return
	}
	if s.Name == o.Name {
		s.Name = o.Name
	}
	if s.Kind == o.Kind {
		s.Kind = o.Kind
	}
	if s.Address == o.Address {
		s.Address = o.Address
	}
	if len(s.Tags) > 0 && slices.Equal(s.Tags, o.Tags) {
		s.Tags = o.Tags
	}
	if len(s.Meta) > 0 && maps.Equal(s.Meta, o.Meta) {
		s.Meta = o.Meta
	}
}
