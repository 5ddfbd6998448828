package gossip

import (
	"fmt"
	"testing"
)

func TestQueue(t *testing.T) {
	q := newQueue()
	q.max = 3
	put := func(k Kind, name string) { q.put(Event{Kind: k, Member: Member{Name: name}}) }
	drain := func() (out string) {
		for {
			e, ok := q.take()
			if !ok {
				return out
			}
			out += fmt.Sprintf("%s:%s%s ", e.Kind, e.Member.Name, e.User.Name)
		}
	}
	put(Joined, "a")
	put(Updated, "a")
	put(Joined, "b")
	put(Failed, "b")
	put(Joined, "c")
	put(Left, "c")
	q.put(Event{Kind: User, User: UserEvent{Name: "u"}})
	if got := drain(); got != "joined:a failed:b left:c user:u " {
		t.Error(got)
	}
	for i := range 5 {
		put(Failed, fmt.Sprint(i))
	}
	if got := drain(); got != "resync: " {
		t.Error(got)
	}
	put(Joined, "z")
	if got := drain(); got != "joined:z " {
		t.Error(got)
	}
	for i := range maxUserEvents + 10 {
		q.put(Event{Kind: User, User: UserEvent{Name: fmt.Sprint(i)}})
	}
	if e, _ := q.take(); e.User.Name != "10" || q.dropped != 10 {
		t.Errorf("%+v %d", e, q.dropped)
	}
}
