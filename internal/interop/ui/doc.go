// Package ui opens the web pages in a real browser, against a federation of two
// datacenters made of the real binary.
//
// It is a module of its own since it needs Chromium and its driver, which are
// installed by `make interop-ui`; without them each test is skipped and says so.
// Screenshots are left in build/ui at the top of the tree.
package ui
