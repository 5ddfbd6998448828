// Package lab holds the cluster tests that run the real binary: agents as
// processes in network namespaces of their own (package rig), harmed in the ways
// that machines, disks, networks and strangers do.
//
// Without the flag -cluster every test is skipped and says so. With it they need
// root, and end with status 3 and a reason where they cannot run:
//
//	go test -count=1 -v -timeout 30m ./internal/lab -args -cluster
//	go test -count=1 -v -timeout 180m ./internal/lab -args -cluster -full
//
// The short form judges medians with few rounds; the full form has the counts and
// judges the worst cases too. Each test ends with one line of figures that begins
// with "lab:".
//
// There is nothing to import here, and no test here stands in for one that can
// run in fake time.
package lab
