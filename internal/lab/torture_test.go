//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"consul.internal/internal/rig"
)

const (
	// keyCallers work on pairs of keys at once, electors on one lock.
	keyCallers, electors = 6, 3
	// pairsAtOnce are worked on together, for keyLife.
	pairsAtOnce = 8
	// electionTTL is the shortest there is.
	electionTTL = 10 * time.Second
)

// locks is the work on keys, sessions and locks.
type locks struct {
	lab  *lab
	hist keyHistory

	mu       sync.Mutex
	sessions map[string]int // numbers by ID, each within its pair
	created  map[string]int // sessions of a pair so far
	held     []tenure
	ends     int // tenures that ended because nobody renewed
}

func newLocks(l *lab, clock *rig.History) *locks {
	return &locks{lab: l, hist: keyHistory{clock: clock}, sessions: map[string]int{}, created: map[string]int{}}
}

// run begins all callers.
func (k *locks) run(ctx context.Context, work *sync.WaitGroup) {
	for i := range keyCallers {
		c := &keyCaller{locks: k, id: i + 1, rand: rand.New(rand.NewPCG(k.lab.rand.Uint64(), uint64(i))), mine: map[string]ownSession{}, seen: map[string]pairSeen{}}
		work.Go(func() { c.run(ctx) })
	}
	for i := range electors {
		at := k.lab.clients[i%len(k.lab.clients)]
		r := rand.New(rand.NewPCG(k.lab.rand.Uint64(), uint64(i)))
		work.Go(func() { k.elect(ctx, fmt.Sprintf("elector %d", i+1), at, r) })
	}
}

// judge ends the work: what is there in the end belongs to it.
func (k *locks) judge() {
	t := k.lab.t
	t.Helper()
	pairs := map[string]bool{}
	counts := map[keyVerb]int{}
	unknown, refused := 0, 0
	for _, c := range k.hist.calls {
		pairs[c.pair] = true
		switch {
		case c.outcome == rig.OK:
			counts[c.verb]++
			if c.verb > doBoth && !c.did {
				refused++
			}
		case c.outcome == rig.Unknown:
			unknown++
		}
	}
	last := &keyCaller{locks: k, id: keyCallers + 1, seen: map[string]pairSeen{}}
	for pair := range pairs {
		if err := last.read(k.lab.ctx, k.lab.clients[0], pair, doBoth, 0, "consistent", false); err != nil {
			wrong(t, "the last read of %s: %v", pair, err)
		}
	}
	begin := time.Now()
	for _, e := range checkPairs(k.hist.calls, checkLimit) {
		wrong(t, "%s", e)
	}
	for _, e := range overlaps(k.held) {
		wrong(t, "%s", e)
	}
	figures(t, t.Name()+" keys", nil, "operations=%d done=%v refused=%d unknown=%d pairs=%d sessions=%d tenures=%d abandoned=%d checked-in=%v",
		len(k.hist.calls), counts, refused, unknown, len(pairs), len(k.sessions), len(k.held), k.ends, time.Since(begin).Round(time.Millisecond))
	if tortureSpan() < time.Minute { // too short to expect anything on a busy machine but some reads and writes
		if counts[doGet] == 0 || counts[doSet] == 0 {
			wrong(t, "nothing ended well: %v", counts)
		}
		return
	}
	for v := doGet; v <= doEnd; v++ {
		if counts[v] == 0 {
			wrong(t, "no %s ended well", v)
		}
	}
	if len(k.held) == 0 {
		wrong(t, "nobody was ever elected")
	}
}

// status is the code of an answer that came, 0 if none did.
func status(err error) (code int) {
	if errors.Is(err, errStatus) {
		_, text, _ := strings.Cut(err.Error(), errStatus.Error()+" ")
		_, _ = fmt.Sscan(text, &code)
	}
	return code
}

// newSession creates a session that hangs on nothing but its TTL, if it has one.
func (k *locks) newSession(ctx context.Context, at *agent, ttl, delay string) (string, error) {
	var out struct{ ID string }
	body, _, err := at.do(ctx, http.MethodPut, "/v1/session/create", map[string]any{
		"Node": k.lab.clients[0].name, "NodeChecks": []string{}, "TTL": ttl, "LockDelay": delay,
	})
	if err != nil {
		return "", err
	}
	err = json.Unmarshal(body, &out)
	return out.ID, err
}

// ownSession of a caller: its number within its pair.
type ownSession struct {
	number int
	id     string
}

// pairSeen is what a caller read last of a pair.
type pairSeen [pairKeys]struct {
	there bool
	version
	index uint64
}

// keyCaller works on pairs of keys.
type keyCaller struct {
	*locks
	id   int
	rand *rand.Rand
	n    int
	mine map[string]ownSession
	seen map[string]pairSeen
}

func (c *keyCaller) run(ctx context.Context) {
	for ctx.Err() == nil {
		at := c.lab.clients[c.id%len(c.lab.clients)]
		if c.id%2 == 0 {
			at = c.lab.servers[c.rand.IntN(len(c.lab.servers))]
		}
		pair := fmt.Sprintf("p%d-%d", c.hist.clock.Now()/keyLife, c.rand.IntN(pairsAtOnce))
		c.once(ctx, at, pair)
		pause(ctx, time.Duration(c.rand.Int64N(int64(20*time.Millisecond))))
	}
}

// shares are the parts of the verbs among a hundred operations.
var shares = [...]int{doGet: 22, doBoth: 12, doSet: 14, doCAS: 12, doDelete: 4, doDeleteCAS: 4, doLock: 14, doUnlock: 8, doTxn: 7, doEnd: 3}

func (c *keyCaller) once(ctx context.Context, at *agent, pair string) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	verb, key := doGet, c.rand.IntN(pairKeys)
	for n := c.rand.IntN(100); n >= shares[verb]; verb++ {
		n -= shares[verb]
	}
	switch verb {
	case doCAS, doDeleteCAS, doTxn:
		if !c.seen[pair][key].there {
			verb = doBoth
		}
	case doLock, doUnlock, doEnd:
		if !c.session(ctx, at, pair) {
			verb = doGet
		}
	}
	if verb <= doBoth {
		mode := "default"
		if c.rand.IntN(2) == 0 {
			mode = "consistent"
		}
		_ = c.read(ctx, at, pair, verb, key, mode, c.rand.IntN(2) == 0) // is in the history
		return
	}
	c.change(ctx, at, pair, verb, key)
}

// session makes sure that the caller has one for a pair.
func (c *keyCaller) session(ctx context.Context, at *agent, pair string) bool {
	if c.mine[pair].number > 0 {
		return true
	}
	id, err := c.newSession(ctx, at, "", "50ms")
	if err != nil {
		return false // if it was made, nobody knows of it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.created[pair] == mostSessions {
		return false
	}
	c.created[pair]++
	c.mine[pair] = ownSession{c.created[pair], id}
	c.sessions[id] = c.created[pair]
	return true
}

func keyOf(pair string, i int) string { return fmt.Sprintf("torture/%s/%d", pair, i) }

// wireKey is a key as the API gives it.
type wireKey struct {
	Key         string
	Value       []byte
	Session     string
	ModifyIndex uint64
}

// read reads a key, or both at one moment: as a list or as a transaction.
func (c *keyCaller) read(ctx context.Context, at *agent, pair string, verb keyVerb, key int, mode string, inTxn bool) error {
	call := &keyCall{client: c.id, pair: pair, verb: verb, at: key}
	c.hist.begin(call)
	var list []wireKey
	var err error
	switch tree := fmt.Sprintf("torture/%s/", pair); {
	case verb == doGet:
		err = at.get(ctx, "/v1/kv/"+keyOf(pair, key)+"?"+mode, &list)
	case inTxn:
		var out struct{ Results []struct{ KV wireKey } }
		var body []byte
		if body, _, err = at.do(ctx, http.MethodPut, "/v1/txn?"+mode, []any{map[string]any{"KV": map[string]any{"Verb": "get-tree", "Key": tree}}}); err == nil {
			err = json.Unmarshal(body, &out)
		}
		for _, r := range out.Results {
			list = append(list, r.KV)
		}
	default:
		err = at.get(ctx, "/v1/kv/"+tree+"?recurse&"+mode, &list)
	}
	if err != nil && status(err) != http.StatusNotFound {
		c.hist.finish(call, rig.Unknown)
		return err
	}
	seen := c.seen[pair]
	for i := range pairKeys {
		if verb == doBoth || i == key {
			seen[i].there, seen[i].version, seen[i].index = true, version{}, 0
		}
	}
	c.mu.Lock()
	for _, e := range list {
		i := int(e.Key[len(e.Key)-1] - '0')
		holder := c.sessions[e.Session]
		if e.Session != "" && holder == 0 {
			err = fmt.Errorf("%s is held by %q, which nobody made", e.Key, e.Session)
		}
		seen[i].version, seen[i].index = version{string(e.Value), holder}, e.ModifyIndex
	}
	c.mu.Unlock()
	c.seen[pair] = seen
	for i := range pairKeys {
		call.got[i] = seen[i].version
	}
	if err != nil && status(err) == 0 {
		wrong(c.lab.t, "%v", err)
	}
	c.hist.finish(call, rig.OK)
	return nil
}

func (c *keyCaller) change(ctx context.Context, at *agent, pair string, verb keyVerb, key int) {
	c.n++
	call := &keyCall{client: c.id, pair: pair, verb: verb, at: key, session: c.mine[pair].number}
	for i := range call.value {
		call.value[i] = fmt.Sprintf("%d.%d.%d", c.id, c.n, i)
	}
	seen := c.seen[pair][key]
	method, path, body := http.MethodPut, "/v1/kv/"+keyOf(pair, key), any([]byte(call.value[key]))
	switch verb {
	case doCAS:
		call.expect = seen.version
		path += fmt.Sprintf("?cas=%d", seen.index)
	case doDelete:
		method, body = http.MethodDelete, nil
	case doDeleteCAS:
		call.expect = seen.version
		method, body = http.MethodDelete, nil
		path += fmt.Sprintf("?cas=%d", seen.index)
	case doLock:
		path += "?acquire=" + c.mine[pair].id
	case doUnlock:
		path += "?release=" + c.mine[pair].id
	case doTxn:
		seen = c.seen[pair][0]
		call.expect = seen.version
		path = "/v1/txn"
		body = []any{
			map[string]any{"KV": map[string]any{"Verb": "cas", "Key": keyOf(pair, 0), "Index": seen.index, "Value": []byte(call.value[0])}},
			map[string]any{"KV": map[string]any{"Verb": "set", "Key": keyOf(pair, 1), "Value": []byte(call.value[1])}},
		}
		if !seen.there {
			return
		}
	case doEnd:
		path, body = "/v1/session/destroy/"+c.mine[pair].id, nil
		delete(c.mine, pair)
	}
	c.hist.begin(call)
	out, _, err := at.do(ctx, method, path, body)
	switch code := status(err); {
	case err == nil && verb == doTxn:
		call.did = true
		c.hist.finish(call, rig.OK)
	case err == nil:
		call.did = strings.TrimSpace(string(out)) == "true"
		c.hist.finish(call, rig.OK)
	case code == http.StatusConflict && verb == doTxn:
		c.hist.finish(call, rig.OK)
	case code == http.StatusInternalServerError && verb == doLock && strings.Contains(string(out), "invalid session"):
		call.invalid = true
		delete(c.mine, pair)
		c.hist.finish(call, rig.OK)
	default:
		c.hist.finish(call, outcome(err))
	}
}

// elect campaigns for one lock with sessions that live by their TTL, holds it for a
// while, and gives it back, or ends its session, or forgets to renew it.
func (k *locks) elect(ctx context.Context, who string, at *agent, r *rand.Rand) {
	const path = "/v1/kv/torture/leader"
	ask := func(method, path string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		out, _, err := at.do(ctx, method, path, []byte(who))
		return strings.TrimSpace(string(out)), err
	}
	now := k.hist.clock.Now
	for ctx.Err() == nil {
		until := now() + electionTTL
		id, err := k.newSession(ctx, at, electionTTL.String(), "50ms")
		if err != nil {
			pause(ctx, 200*time.Millisecond)
			continue
		}
		elected := false
		for now() < until && ctx.Err() == nil {
			// An answer that did not come may have been that it is elected: it asks again.
			out, err := ask(http.MethodPut, path+"?acquire="+id)
			if elected = err == nil && out == "true"; elected {
				break
			}
			pause(ctx, 100*time.Millisecond)
			begin := now()
			if _, err := ask(http.MethodPut, "/v1/session/renew/"+id); err == nil {
				until = begin + electionTTL
			} else if status(err) == http.StatusNotFound {
				break
			}
		}
		if from := now(); elected && from < until {
			k.serve(ctx, tenure{who: who, from: from, to: until}, r, func() bool {
				_, err := ask(http.MethodPut, "/v1/session/renew/"+id)
				return err == nil
			}, func() { _, _ = ask(http.MethodPut, path+"?release="+id) }) // whether it came to pass is nobody's belief
		}
		if !elected || r.IntN(2) > 0 {
			_, _ = ask(http.MethodPut, "/v1/session/destroy/"+id) // where that fails its TTL ends it
		}
	}
}

// serve holds the lock: the belief ends when it is given back, or a TTL after the
// last renewal began that was answered.
func (k *locks) serve(ctx context.Context, held tenure, r *rand.Rand, renew func() bool, release func()) {
	now := k.hist.clock.Now
	renewing := r.IntN(8) > 0
	for end := now() + time.Duration(r.Int64N(int64(2*time.Second))); renewing && now() < end && now() < held.to && ctx.Err() == nil; {
		begin := now()
		if renew() && now() < held.to {
			held.to = begin + electionTTL
		}
		pause(ctx, 300*time.Millisecond)
	}
	if renewing || ctx.Err() != nil {
		held.to = min(held.to, now())
		k.add(held, false)
		release()
		return
	}
	pause(ctx, held.to-now())
	held.to = min(held.to, now())
	k.add(held, true)
}

func (k *locks) add(held tenure, abandoned bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held = append(k.held, held); abandoned {
		k.ends++
	}
}
