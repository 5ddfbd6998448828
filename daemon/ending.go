package daemon

import (
	"context"
	"sync"
)

// ending is how an agent comes to its end.
type ending struct {
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	closers []closer
	done    chan struct{} // closed when the process is to end
	end     sync.Once
	err     error // why, if not by a leave
	leaving sync.Once
	left    chan struct{} // closed when the first leave has told the others
	closing sync.Once
}

// closer is one step of closing, in the reverse order of opening.
type closer struct {
	name  string
	close func() error
}

func (e *ending) onClose(name string, fn func() error) {
	e.closers = append(e.closers, closer{name, fn})
}

// finish tells the process to end.
func (e *ending) finish(err error) {
	e.end.Do(func() {
		e.err = err
		close(e.done)
	})
}
