package wire

import "math/rand/v2"

// MaxRecords is how many records an Answer puts in order: no larger name is worth
// the place, and a message of 16 KiB holds no more of them.
const MaxRecords = 1024

// Order puts records into a random order. The zero value works; it is used by one
// goroutine at a time.
type Order struct {
	// Shuffle takes the place of a random order, for tests.
	Shuffle func(n int, swap func(i, j int))
	index   [MaxRecords]uint16
	place   [MaxRecords]uint16
}

// places returns room for one number for each of n groups, all 0.
func (o *Order) places(n int) []uint16 {
	p := o.place[:n]
	clear(p)
	return p
}

// pick returns the first k of n things, put in order; n is at most MaxRecords.
func (o *Order) pick(n, k int) []uint16 {
	index := o.index[:n]
	for i := range index {
		index[i] = uint16(i)
	}
	if o.Shuffle != nil {
		o.Shuffle(n, func(i, j int) { index[i], index[j] = index[j], index[i] })
		return index[:k]
	}
	for i := range min(k, n-1) {
		j := i + int(rand.Uint32N(uint32(n-i)))
		index[i], index[j] = index[j], index[i]
	}
	return index[:k]
}
