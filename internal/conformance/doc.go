// Package conformance runs the recorded behaviour of the reference (the
// vectors in testdata: DNS, HTTP and command line cases) against real agents
// started from a freshly built binary, and says for every case whether it
// passed, failed, belongs to a part that is not built yet, or differs on
// purpose.
//
// It is not a place for behaviour of our own: whatever the recordings do not
// show is tested beside the package that does it. The formats are described in
// testdata/dns/README.md and testdata/http/README.md, the ownership of cases in
// testdata/OWNERS.md (as code: owners.go), and differences on purpose in
// testdata/deviations.json.
package conformance
