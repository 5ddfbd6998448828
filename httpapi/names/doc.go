// Package names has the handlers about DNS: questions over HTTPS (RFC 8484), and
// why a question is answered as it is.
//
// It knows nothing of names itself; the DNS server answers.
package names
