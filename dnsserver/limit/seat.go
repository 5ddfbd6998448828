package limit

import (
	"runtime"
	"time"
)

const (
	// seatsEach processor has, for what is worked on: with hundreds of goroutines that
	// want it, who brings them work would get it too rarely.
	seatsEach = 4
	// seatTime is after how long something counts as waiting for somebody, and needs no
	// processor; ten times what a DNS answer takes that waits for nobody.
	seatTime = time.Millisecond
)

type seats chan struct{}

func newSeats() seats { return make(seats, seatsEach*runtime.GOMAXPROCS(0)) }

// take waits for one of the places that there are for what needs a processor, and
// returns how to give it back.
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
