package gossip

import (
	"context"
	"fmt"
	"slices"
	"time"

	"consul.internal/internal/fault"
	"github.com/hashicorp/serf/serf"
)

// KeyResult is what the members of a pool said to an operation on the keyring.
type KeyResult struct {
	Messages    map[string]string // by node: why it did not, or a remark
	NumNodes    int
	NumResp     int
	NumErr      int
	Silent      []string       // nodes that did not answer in time
	Keys        map[string]int // by key: how many nodes have it
	PrimaryKeys map[string]int // by key: how many nodes encrypt with it
}

// keyTimeout: at 30 % loss the question reaches everybody within a second; a
// member that has just died is waited for this long.
const keyTimeout = 5 * time.Second

// KeyOp is what to do with a key on every member.
type KeyOp string

// The operations.
const (
	InstallKey KeyOp = "install-key" // have it, so that all can decrypt
	UseKey     KeyOp = "use-key"     // encrypt with it
	RemoveKey  KeyOp = "remove-key"  // forget it; not possible while it is in use
	ListKeys   KeyOp = "list-keys"
)

// Keyring asks all members, this one included. The error tells whether all did it;
// the result holds what is known in any case. Each answer is also sent through as
// many others as relay says.
func (p *Pool) Keyring(ctx context.Context, op KeyOp, key string, relay uint8) (KeyResult, error) {
	res := KeyResult{Messages: map[string]string{}, Keys: map[string]int{}, PrimaryKeys: map[string]int{}}
	var raw []byte
	if op != ListKeys {
		var err error
		if raw, err = ParseKey(key); err != nil {
			return res, err
		}
	}
	if err := p.usable(); err != nil {
		return res, err
	}
	ask, err := encode(msgKeyAsk, struct{ Key []byte }{raw})
	if err != nil {
		return res, err
	}
	missing := map[string]bool{}
	for _, m := range p.Members() {
		if m.Status == StatusAlive || m.Status == StatusLeaving {
			missing[m.Name] = true
		}
	}
	res.NumNodes = len(missing)
	params := &serf.QueryParam{RelayFactor: relay, Timeout: max(p.serf.DefaultQueryTimeout(), keyTimeout)}
	answers, err := p.serf.Query(serf.InternalQueryPrefix+string(op), ask, params)
	if err != nil {
		return res, fault.With(fault.Unavailable, err)
	}
	defer answers.Close()
	for len(missing) > 0 {
		select {
		case a, ok := <-answers.ResponseCh():
			if !ok {
				return res.finish(missing)
			}
			if missing[a.From] {
				delete(missing, a.From)
				res.add(a)
			}
		case <-ctx.Done():
			_, _ = res.finish(missing) // for the names of the silent
			return res, ctx.Err()
		case <-p.ctx.Done():
			return res, errClosed
		}
	}
	return res.finish(missing)
}

func (r *KeyResult) add(a serf.NodeResponse) {
	r.NumResp++
	var said struct {
		Result     bool
		Message    string
		Keys       []string
		PrimaryKey string
	}
	if len(a.Payload) == 0 || a.Payload[0] != msgKeyAnswer || !decode(a.Payload[1:], &said) {
		r.NumErr++
		r.Messages[a.From] = "its answer cannot be read"
		return
	}
	if !said.Result {
		r.NumErr++
	}
	if said.Message != "" || !said.Result {
		r.Messages[a.From] = said.Message
	}
	for _, k := range said.Keys {
		r.Keys[k]++
	}
	if said.PrimaryKey != "" {
		r.PrimaryKeys[said.PrimaryKey]++
	}
}

func (r *KeyResult) finish(missing map[string]bool) (KeyResult, error) {
	for name := range missing {
		r.Silent = append(r.Silent, name)
		r.Messages[name] = "did not answer"
	}
	slices.Sort(r.Silent)
	switch {
	case r.NumErr > 0:
		return *r, fault.With(fault.Conflict, fmt.Errorf("%d/%d nodes reported failure", r.NumErr, r.NumNodes))
	case len(missing) > 0:
		return *r, fault.With(fault.Unavailable, fmt.Errorf("%d/%d nodes reported success", r.NumResp, r.NumNodes))
	}
	return *r, nil
}
