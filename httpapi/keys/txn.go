package keys

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/kv"
	"consul.internal/rpc"
)

// txnAPI answers /v1/txn.
type txnAPI struct{ *edge.Base }

// serviceOp is an operation on a service with weights that may be absent.
type serviceOp struct {
	Verb    kv.Verb
	Node    string
	Service struct {
		catalog.Service
		Weights *catalog.Weights
	}
}

// txnOp is an operation as clients write it.
type txnOp struct {
	KV      *kv.KeyOp
	Node    *kv.NodeOp
	Service *serviceOp
	Check   *kv.CheckOp
}

// txnErrors and txnAnswer are the answers; one that only read has the headers' figures too.
type txnAnswer struct {
	Results []kv.Result
	Errors  []kv.OpError
}

type txnRead struct {
	txnAnswer
	Index                 uint64
	LastContact           int64
	KnownLeader           bool
	NotModified           bool
	ResultsFilteredByACLs bool
}

func (s txnAPI) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	ops, err := s.ops(r)
	if err != nil {
		return nil, err
	}
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	for i := range ops {
		if ops[i].Changes() {
			return s.change(r, ops)
		}
	}
	out, err := rpc.Call(r.Context(), s.Caller, rpc.TxnRead, &rpc.TxnReadRequest{ReadOptions: opts, Ops: ops})
	if err != nil {
		return nil, edge.Remote(err)
	}
	if len(out.Errors) == 0 {
		h := w.Header()
		h.Set("X-Consul-Knownleader", strconv.FormatBool(out.KnownLeader))
		h.Set("X-Consul-Lastcontact", strconv.FormatInt(out.LastContact.Milliseconds(), 10))
	}
	return judged(out, txnRead{
		txnAnswer: answerOf(out), Index: out.Index, LastContact: int64(out.LastContact), KnownLeader: out.KnownLeader,
	}), nil
}

func (s txnAPI) change(r *http.Request, ops []kv.Op) (any, error) {
	out, err := rpc.Call(r.Context(), s.Caller, rpc.TxnApply, &rpc.TxnRequest{Target: edge.Target(r), Ops: ops})
	if err != nil {
		return nil, edge.Remote(err)
	}
	return judged(out, answerOf(out)), nil
}

func answerOf(out *rpc.TxnReply) txnAnswer {
	if len(out.Errors) > 0 {
		return txnAnswer{Errors: out.Errors}
	}
	return txnAnswer{Results: edge.List(out.Results)}
}

// judged gives the answer of a transaction that failed its status.
func judged(out *rpc.TxnReply, answer any) any {
	if len(out.Errors) > 0 {
		return edge.Under(http.StatusConflict, answer)
	}
	return answer
}

// ops reads the operations of a request.
func (s txnAPI) ops(r *http.Request) ([]kv.Op, error) {
	var body []txnOp
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, edge.BadRequest(fmt.Sprintf("Failed to parse body: %v", err))
	}
	if len(body) > kv.MaxOps {
		return nil, edge.Failed(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("Transaction contains too many operations (%d > %d)", len(body), kv.MaxOps))
	}
	ops := make([]kv.Op, len(body))
	for i, op := range body {
		if most := s.Settings().KVMaxValueSize; op.KV != nil && int64(len(op.KV.Value)) > most {
			return nil, edge.Failed(http.StatusRequestEntityTooLarge,
				fmt.Sprintf("Value for key %q is too large (%d > %d bytes)", op.KV.Key, len(op.KV.Value), most))
		}
		ops[i] = kv.Op{KV: op.KV, Node: op.Node, Check: op.Check}
		if in := op.Service; in != nil {
			out := &kv.ServiceOp{Verb: in.Verb, Node: in.Node, Service: in.Service.Service}
			out.Service.Weights = catalog.DefaultWeights
			if in.Service.Weights != nil {
				out.Service.Weights = *in.Service.Weights
			}
			ops[i].Service = out
		}
	}
	return ops, nil
}
