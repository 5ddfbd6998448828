// Package acl answers /v1/acl: tokens, policies, roles, templated policies.
//
// Who may do what is decided by the servers; here are only requests and answers.
package acl
