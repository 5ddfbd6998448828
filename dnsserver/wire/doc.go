// Package wire reads questions and writes packed answers, as bytes and without
// allocating.
//
// Parse takes a question of the usual form and leaves every other to a whole DNS
// library. An Answer is what a reply says after its question, packed once by such
// a library and written many times, in another order of its records each time and
// cut to what the asker takes. A Negative writes the reply for names that do not
// exist. The package knows neither sockets nor where answers come from, and makes
// no decision that the packer has not made.
package wire
