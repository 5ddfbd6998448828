// Package configs turns configuration files and command line flags into one
// resolved Settings.
//
// The struct file is the whole key set: each field's tags give a key's name,
// description, whether a running agent takes a change of it, and whether the
// part it belongs to is built. Files, fragments and flags become trees
// (internal/hclconf), are decoded into it strictly, merged, checked, and turned
// into Settings with addresses resolved. Defaults stand in defaults.hcl and
// dev.hcl, read by the same parser. Services, checks and watches are judged by
// configs/definition, names of earlier releases are put right by configs/older.
//
// The package starts nothing and writes nothing. It looks at the machine only
// through Host. Other packages' own Config types are filled from Settings by
// package daemon.
package configs
