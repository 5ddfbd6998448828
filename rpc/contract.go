package rpc

// Operation is a method with its types forgotten: what a receiver needs to take a
// call from the wire, and a router to know what it may do with one.
type Operation struct {
	Name string
	// Idempotent operations may be sent again after an unknown outcome.
	Idempotent bool
	// NewIn and NewOut make an empty request and an empty reply.
	NewIn, NewOut func() any
}

// Operation forgets the method's types.
func (m Method[Req, Resp]) Operation() Operation {
	return Operation{
		Name: m.Name, Idempotent: m.Idempotent,
		NewIn:  func() any { return new(Req) },
		NewOut: func() any { return new(Resp) },
	}
}

// Contract holds operations by name.
type Contract map[string]Operation

// Add enters an operation.
func (c Contract) Add(op Operation) { c[op.Name] = op }

// All is every operation there is. One that is not listed here cannot be called
// over the wire.
func All() Contract {
	c := Contract{}
	for _, op := range []Operation{
		CatalogRegister.Operation(),
		CatalogDeregister.Operation(),
		CatalogDatacenters.Operation(),
		CatalogNodes.Operation(),
		CatalogServices.Operation(),
		CatalogService.Operation(),
		CatalogNode.Operation(),
		CatalogInventory.Operation(),
		CoordinateUpdate.Operation(),
		CoordinateNodes.Operation(),
		CoordinateNode.Operation(),
		CoordinateDatacenters.Operation(),
		HealthService.Operation(),
		HealthNode.Operation(),
		HealthChecks.Operation(),
		HealthState.Operation(),
		StatusLeader.Operation(),
		StatusPeers.Operation(),
		PoolKeyring.Operation(),
		PoolForceLeave.Operation(),
		ForgetDatacenter.Operation(),
		OperatorUsage.Operation(),
		RaftPledge.Operation(),
		RaftStats.Operation(),
		RaftDemote.Operation(),
		RaftLeave.Operation(),
		RaftSum.Operation(),
		RaftCompare.Operation(),
		RaftConfiguration.Operation(),
		RaftRemovePeer.Operation(),
		RaftTransferLeader.Operation(),
		AutopilotGet.Operation(),
		AutopilotSet.Operation(),
		AutopilotHealth.Operation(),
		AutopilotState.Operation(),
		QueryApply.Operation(),
		QueryGet.Operation(),
		QueryList.Operation(),
		QueryExplain.Operation(),
		QueryExecute.Operation(),
		QueryExecuteRemote.Operation(),
		KeyApply.Operation(),
		KeyGet.Operation(),
		KeyList.Operation(),
		KeyNames.Operation(),
		TxnApply.Operation(),
		TxnRead.Operation(),
		SessionCreate.Operation(),
		SessionDestroy.Operation(),
		SessionRenew.Operation(),
		SessionGet.Operation(),
		SessionList.Operation(),
		EventFire.Operation(),
		ConfigApply.Operation(),
		ConfigGet.Operation(),
		ConfigList.Operation(),
		ACLBootstrap.Operation(),
		ACLResolve.Operation(),
		ACLReplication.Operation(),
		ACLPermitted.Operation(),
		ACLTokenSet.Operation(),
		ACLTokenClone.Operation(),
		ACLTokenDelete.Operation(),
		ACLTokenGet.Operation(),
		ACLTokenList.Operation(),
		ACLPolicySet.Operation(),
		ACLPolicyDelete.Operation(),
		ACLPolicyGet.Operation(),
		ACLPolicyList.Operation(),
		ACLRoleSet.Operation(),
		ACLRoleDelete.Operation(),
		ACLRoleGet.Operation(),
		ACLRoleList.Operation(),
		ACLMethodSet.Operation(),
		ACLMethodDelete.Operation(),
		ACLMethodGet.Operation(),
		ACLMethodList.Operation(),
		ACLBindingSet.Operation(),
		ACLBindingDelete.Operation(),
		ACLBindingGet.Operation(),
		ACLBindingList.Operation(),
		ACLLogin.Operation(),
		ACLLogout.Operation(),
	} {
		c.Add(op)
	}
	return c
}

// For is the datacenter that a request is for, "" = the receiver's own.
func (t *Target) For() string { return t.Datacenter }

// Read gives what a read carries.
func (o *ReadOptions) Read() *ReadOptions { return o }

// DatacenterOf is the datacenter that a request names, "" = none.
func DatacenterOf(in any) string {
	if t, ok := in.(interface{ For() string }); ok {
		return t.For()
	}
	return ""
}

// ReadOf is what a read carries, nil when the request is not a read.
func ReadOf(in any) *ReadOptions {
	if r, ok := in.(interface{ Read() *ReadOptions }); ok {
		return r.Read()
	}
	return nil
}
