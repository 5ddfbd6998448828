// Package pools holds the gossip pools that an agent is in: that of its datacenter,
// and on servers that of all servers. It opens them, follows their news, and gives
// what they know in the forms that the parts of an agent want: the store, the
// leader's duties, the operations, the HTTP API. It decides nothing by itself:
// whoever lives or dies by the pools is judged elsewhere.
package pools
