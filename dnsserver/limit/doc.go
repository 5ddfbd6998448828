// Package limit keeps a DNS server from being used against others, and one asker
// from taking what belongs to all: DNS cookies (RFC 7873, RFC 9018), which prove
// that an asker has the address that it claims, and rates of replies.
//
// It knows no messages and sends nothing, and its memory does not grow. What each
// question passes through neither allocates nor waits; only the queue of those that
// cost more (Queue) does.
package limit
