// Package prepared keeps the results of prepared queries for DNS: whatever was
// asked for by name is followed, so that it is answered from memory, and its last
// result stays for the time when no server can be asked.
//
// It executes nothing itself and knows nothing of calls: a Fetch is given to it.
package prepared
