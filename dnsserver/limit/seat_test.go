package limit

import (
	"testing"
	"testing/synctest"
	"time"
)

// There are so many seats as there are; who waits for somebody loses his after a
// moment, and nobody gives back what he has lost.
func TestSeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeats()
		var held []func()
		for range cap(s) {
			held = append(held, s.take())
		}
		began := time.Now()
		held[0]()
		held[0] = s.take()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v for a seat that was given back", waited)
		}
		last := s.take()
		if waited := time.Since(began); waited != seatTime {
			t.Errorf("waited %v for one of who waits himself", waited)
		}
		synctest.Wait()
		for _, leave := range held {
			leave()
		}
		if len(s) != 1 {
			t.Errorf("%d seats are taken, one is held", len(s))
		}
		last()
		next := s.take()
		last() // again: it is another's place now
		if len(s) != 1 {
			t.Errorf("%d seats are taken, one is held", len(s))
		}
		next()
		if len(s) != 0 {
			t.Errorf("%d seats are taken, none is held", len(s))
		}
	})
}
