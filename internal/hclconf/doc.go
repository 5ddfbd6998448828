// Package hclconf reads configuration text into a tree and decodes the tree
// into Go structs, strictly.
//
// Two syntaxes give the same tree of (key, value, range): HCL, read by a small
// parser over the tokens of hcl/v2's lexer, and JSON. The HCL parser takes what
// files written for the first HCL rely on and what hcl/v2's own parser refuses:
// quoted keys in blocks, commas or nothing between attributes, "k { }" for
// "k = { }", and "${" and "%{" in strings kept as they are. There are no
// variables, functions or expressions.
//
// Every error carries file, line and column; all errors of one text are
// returned together as Errors. The package opens no files, keeps no state and
// knows no configuration key: callers bring the struct.
package hclconf
