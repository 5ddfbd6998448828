// Package gossip is a pool of agents that know of each other: who is there, at
// which address, with which tags, alive, failed or left. It wraps serf over a
// memberlist configuration of ours, and both pools of an agent, the one of its
// datacenter and the one of all servers, are made of it.
//
// It adds what serf lacks: nobody is taken into the pool whose identity was not
// checked; a name belongs to a node ID, so that a node that comes back at
// another address is taken over at once and a stranger of the same name is
// refused; events are bounded, never block the protocol and never lose the last
// state of a member; keys are kept in a file that survives power cuts; sizes and
// numbers of what strangers send are bounded.
//
// It does not know what a server or a client is (package lan does) and decides
// nothing about the catalog: that a member is reported failed is news, not proof.
package gossip
