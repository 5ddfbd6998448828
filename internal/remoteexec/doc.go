// Package remoteexec is what "consul exec" and agents agree upon: a job is kept
// in the key-value store below a session, an event tells agents of it, and each
// of them writes below the same session that it has taken the job, what the
// program prints and how it ended. With the session all of it is gone.
//
// Agent is the side that runs programs. It decides nothing about who may ask:
// the servers do, by who may write the keys, and an operator, by switching remote
// execution on at all.
package remoteexec
