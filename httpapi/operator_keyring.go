package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// maxRelay is the most members that answers may be relayed through, as documented.
const maxRelay = 5

// keyringOps are the operations on gossip keys by their methods.
var keyringOps = map[string]rpc.KeyringOp{
	http.MethodGet:    rpc.KeyringList,
	http.MethodPost:   rpc.KeyringInstall,
	http.MethodPut:    rpc.KeyringUse,
	http.MethodDelete: rpc.KeyringRemove,
}

// keyringPool is one pool in the answer of GET /v1/operator/keyring.
type keyringPool struct {
	WAN         bool
	Datacenter  string
	Segment     string            // there are none
	Messages    map[string]string `json:",omitempty"`
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int
}

func (s operatorAPI) keyring(_ http.ResponseWriter, r *http.Request) (any, error) {
	in, err := keyringRequest(r)
	if err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.PoolKeyring, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	if !in.LocalOnly {
		more, err := s.keyringElsewhere(r.Context(), in)
		if err != nil {
			return nil, edge.Remote(err)
		}
		out.Pools = append(out.Pools, more...)
	}
	if err := keyringErrors(out.Pools); err != nil {
		return nil, edge.Remote(err)
	}
	if in.Op != rpc.KeyringList {
		return nil, nil
	}
	pools := make([]keyringPool, len(out.Pools))
	for i, p := range out.Pools {
		pools[i] = keyringPool{
			WAN: p.WAN, Datacenter: p.Datacenter, Messages: p.Messages, NumNodes: p.NumNodes,
			Keys: counts(p.Keys), PrimaryKeys: counts(p.PrimaryKeys),
		}
	}
	return pools, nil
}

func keyringRequest(r *http.Request) (*rpc.KeyringRequest, error) {
	in := &rpc.KeyringRequest{Target: edge.Target(r), Op: keyringOps[r.Method]}
	q := r.URL.Query()
	if v := q.Get("relay-factor"); v != "" {
		n, err := strconv.ParseUint(v, 10, 8)
		if err != nil || n > maxRelay {
			return nil, edge.BadRequest(fmt.Sprintf("Error parsing relay factor: %q is not in the range 0 to %d", v, maxRelay))
		}
		in.RelayFactor = uint8(n)
	}
	local, err := edge.Bool(r, "local-only")
	if err != nil {
		return nil, err
	}
	in.LocalOnly = local
	if in.Op == rpc.KeyringList {
		return in, nil
	}
	if local {
		return nil, edge.BadRequest("local-only can only be used for list requests")
	}
	var body struct{ Key string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, edge.BadRequest(fmt.Sprintf("Request decode failed: %v", err))
	}
	if body.Key == "" {
		return nil, edge.BadRequest("Missing Key: the gossip key, in base64, as consul keygen prints it")
	}
	in.Key = body.Key
	return in, nil
}

// keyringErrors tells which pools failed, each with what its members said.
func keyringErrors(pools []rpc.KeyringPool) error {
	var lines []string
	for _, p := range pools {
		if p.Error == "" {
			continue
		}
		name := p.Datacenter + " (LAN)"
		if p.WAN {
			name = "WAN"
		}
		lines = append(lines, name+" error: "+p.Error)
		for _, node := range slices.Sorted(maps.Keys(p.Messages)) {
			lines = append(lines, node+": "+p.Messages[node])
		}
	}
	switch len(lines) {
	case 0:
		return nil
	case 1:
		return fault.Newf(fault.Unavailable, "1 error occurred:\n\t* %s\n\n", lines[0])
	}
	return fault.Newf(fault.Unavailable, "%d errors occurred:\n\t* %s\n\n", len(lines), strings.Join(lines, "\n\t* "))
}

// counts makes an absent map an empty one.
func counts(m map[string]int) map[string]int {
	if m == nil {
		return map[string]int{}
	}
	return m
}
