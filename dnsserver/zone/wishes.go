package zone

import (
	"strconv"
	"time"

	"consul.internal/catalog"
)

// What the metadata of a service says about its answers. Metadata reaches every
// agent and passes through every client, old ones too.
const (
	metaTTL   = "dns-ttl"          // a duration, as 30s
	metaLimit = "dns-answer-limit" // a number above 0
)

// ttlOf is the TTL that instances ask for, the shortest of theirs: what one of
// them must not outlive, the answer must not. Otherwise it is that of the
// configuration.
func ttlOf(insts []*catalog.Instance, otherwise uint32) uint32 {
	least, found := otherwise, false
	for _, i := range insts {
		text := i.Service.Meta[metaTTL]
		if text == "" { // as almost everywhere: an error costs more than the rest
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			continue
		}
		if ttl := seconds(d); !found || ttl < least {
			least, found = ttl, true
		}
	}
	return least
}

// limitOf is how many answers the instances allow, the least of their numbers; 0
// is all.
func limitOf(insts []*catalog.Instance) int {
	least := 0
	for _, i := range insts {
		text := i.Service.Meta[metaLimit]
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err == nil && n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}
