// Package idtoken judges JWTs (RFC 7519) that prove who somebody is: signature,
// issuer, audience, time; and maps their claims to values and lists.
//
// Keys are given, or fetched and remembered. It does not know what anybody is granted.
package idtoken
