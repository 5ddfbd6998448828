package limit

import (
	"runtime"
	"time"
)

// seatTime is after how long something counts as waiting for somebody, and needs no
// processor: some times what a DNS answer takes that waits for nobody. At one seat 5,000
// a second can begin to wait, for a server or another datacenter.
const seatTime = 200 * time.Microsecond

type seats chan struct{}

// newSeats makes one for each processor but the last: that is for who brings the work.
// The scheduler looks for what has arrived at sockets only where nothing else wants the
// processor, or each ten milliseconds; meanwhile the socket would run over.
func newSeats() seats { return make(seats, max(1, runtime.GOMAXPROCS(0)-1)) }

// take waits for one of the places that there are for what needs a processor, and
// returns how to give it back, which may be done more than once and by anybody.
func (s seats) take() (leave func()) {
	s <- struct{}{}
	free := func() { <-s }
	t := time.AfterFunc(seatTime, free)
	return func() {
		if t.Stop() {
			free()
		}
	}
}
