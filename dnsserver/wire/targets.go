package wire

import "encoding/binary"

func (a Answer) record(i int) (record []byte, group int) {
	e := a[atBody+recordEntry*i:]
	at, n := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint16(e[4:])
	return a[at : at+uint32(n)], int(binary.LittleEndian.Uint16(e[6:]))
}

// group returns the records of a group, and how many of them are addresses and texts.
func (a Answer) group(i int) (records []byte, addresses, texts int) {
	e := a[atBody+recordEntry*a.field(atCount)+groupEntry*i:]
	at := binary.LittleEndian.Uint32(e)
	return a[at:], int(binary.LittleEndian.Uint16(e[4:])), int(binary.LittleEndian.Uint16(e[6:]))
}

// next cuts the first record off a group's.
func next(records []byte) (record, rest []byte) {
	n := 2 + int(binary.LittleEndian.Uint16(records))
	return records[2:n], records[n:]
}

// plan is what of an Answer has room.
type plan struct {
	answers int
	texts   int // of the groups, in their order
	cut     bool
	bytes   int // of the reply at most, without OPT
	pointed int // where the last record that is pointed to begins
}

// fit decides what has room, in the way of the full path: text goes first, from
// the end, then answers with the addresses of their targets. With more there are
// answers beyond the order, and then there is no text. It is not ok where not
// even one answer has room.
func (a Answer) fit(order []uint16, more bool, q *Query, r *Reply) (p plan, ok bool) {
	whole := q.End + a.field(atSize)
	size := whole
	if r.Room.Plain {
		size = q.End + a.field(atPlain) + len(order)*len(q.Name())
	}
	if !more && max(whole, size) <= min(r.Room.Size, maxPointer) {
		return plan{answers: len(order), texts: maxField, bytes: whole}, true // all of it, as most are
	}
	p = plan{cut: more, bytes: q.End}
	places := r.Order.places(a.field(atExtra))
	size = q.End
	for _, i := range order {
		record, g := a.record(int(i))
		bytes := len(record)
		plain := bytes - len(owner) + len(q.Name())
		if places[g] == 0 {
			places[g] = 1
			rest, n, _ := a.group(g)
			for range n {
				var rr []byte
				rr, rest = next(rest)
				bytes += len(owner) + len(rr)
				plain += len(record) - targetAt + len(rr)
			}
		}
		if r.Room.Plain {
			size += plain
		} else {
			size += bytes
		}
		if size > r.Room.Size {
			p.cut = true
			return p, p.answers > 0
		}
		p.answers++
		p.pointed = p.bytes // no earlier than it will be
		p.bytes += bytes
	}
	if !more {
		a.fitTexts(&p, order, size, r)
	}
	return p, true
}

// fitTexts adds the texts that have room beside all answers.
func (a Answer) fitTexts(p *plan, order []uint16, size int, r *Reply) {
	places := r.Order.places(a.field(atExtra))
	for _, i := range order {
		record, g := a.record(int(i))
		if places[g] != 0 {
			continue
		}
		places[g] = 1
		target := len(owner)
		if r.Room.Plain {
			target = len(record) - targetAt
		}
		rest, addresses, texts := a.group(g)
		for n := range addresses + texts {
			var rr []byte
			rr, rest = next(rest)
			if n < addresses {
				continue
			}
			if size += target + len(rr); size > r.Room.Size {
				return
			}
			p.texts++
			p.bytes += len(owner) + len(rr)
		}
	}
}

func (a Answer) writeTargets(msg []byte, q *Query, r *Reply) (n int, cut, ok bool) {
	count := a.field(atCount)
	k := min(count, r.Room.Answers)
	// More than these do not fit, so the others need no order.
	k = min(k, r.Room.Size/targetAt)
	order := r.Order.pick(count, k)
	p, ok := a.fit(order, k < count, q, r)
	if !ok || p.pointed > maxPointer-targetAt || p.bytes+q.Tail() > len(msg) {
		return 0, false, false
	}
	order = order[:p.answers]
	places := r.Order.places(a.field(atExtra))
	n = q.End
	for _, i := range order {
		record, g := a.record(int(i))
		if places[g] == 0 {
			places[g] = uint16(n + targetAt)
		}
		n += copy(msg[n:], record)
	}
	extra, texts := 0, p.texts
	for _, i := range order {
		_, g := a.record(int(i))
		at := places[g]
		if at == 0 {
			continue // it has been written
		}
		places[g] = 0
		rest, na, nt := a.group(g)
		nt = min(nt, texts)
		texts -= nt
		for range na + nt {
			var rr []byte
			rr, rest = next(rest)
			binary.BigEndian.PutUint16(msg[n:], 0xC000|at)
			n += len(owner) + copy(msg[n+len(owner):], rr)
			extra++
		}
	}
	flags := uint16(a.field(atFlags))
	if p.cut && r.TC {
		flags |= FlagTC
	}
	q.begin(msg, r, flags, p.answers, 0, extra)
	return q.finish(msg, n, r), p.cut, true
}
