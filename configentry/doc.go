// Package configentry has the nouns and pure rules of config entries: settings
// that apply to all instances of a service, or to all of a datacenter, and that
// the servers keep.
//
// It decodes what users write (JSON and HCL trees, in CamelCase or snake_case),
// refuses what it does not know, and says whether an entry is right by itself
// (Validate) and beside the others (Change.Check). It stores nothing. What is
// only for the service mesh is kept and shown, not acted upon.
package configentry
