package prepared

import "time"

// Config bounds what is kept.
type Config struct {
	Names     int           // results kept
	Instances int           // instances in all of them
	Followed  int           // names followed at a time
	Idle      time.Duration // a name is followed no longer that nobody asked for so long
	Patience  time.Duration // how long a fresh result is waited for where an old one is at hand
	Pause     time.Duration // no result is fetched so soon after one that failed, if an old one is at hand
	Gather    time.Duration // changes that come closer than this are taken together
}

// DefaultConfig is what applies to every agent.
func DefaultConfig() Config {
	return Config{
		Names:     1024,                   // more than one agent's programs use
		Instances: 64 << 10,               // some 64 MiB at 1 KiB each
		Followed:  256,                    // each holds a goroutine here and one at a server
		Idle:      5 * time.Minute,        // longer than any TTL that a busy name has
		Patience:  100 * time.Millisecond, // the promise for local names
		Pause:     time.Second,            // servers that are gone are not asked by every question
		Gather:    50 * time.Millisecond,  // nobody sees the difference; a busy service changes more often
	}
}
