package disklog

import (
	"errors"
	"fmt"
)

// Damage is an error about data on disk that is not what was written. Nothing
// has been deleted or changed when it is returned.
type Damage struct {
	Path string // the file, or the directory when no single file can be named
	What string // what is wrong with it
	Err  error  // nil, or what a lower layer said
}

// Error tells what is damaged and what a person can do about it.
func (d *Damage) Error() string {
	s := fmt.Sprintf("%s is damaged: %s", d.Path, d.What)
	if d.Err != nil {
		s += ": " + d.Err.Error()
	}
	return s + ". Nothing was deleted or changed. " +
		"If this is one of several servers: stop it, move its raft directory away, and start it again; it fetches everything from the others. " +
		"If it is the only server: put the raft directory back from a backup, or move it away, start anew and restore a saved snapshot"
}

func (d *Damage) Unwrap() error { return d.Err }

// IsDamage reports whether err says that data on disk is damaged.
func IsDamage(err error) bool {
	_, ok := errors.AsType[*Damage](err)
	return ok
}
