// Package doctest holds the documents to their word: every fenced block of
// README.md and docs/*.md is taken for what its info string says.
//
//	hcl, json       a configuration: the loader must take it without a warning
//	hcl server      the same, for a server
//	hcl rules       ACL rules
//	hcl entry       a config entry
//	json data       some JSON
//	sh              commands: each must succeed
//	console         lines behind "$ " are commands, the others what they print;
//	                "..." stands for anything. Asked again for some seconds
//	sh install=WHY  what cannot be run here, such as apt: parsed, the options of
//	                consul and the targets of make looked up
//	conf, yaml, text  other programs' files, and what is nobody's language
//
// Further words:
//
//	file=PATH       the block is put there, on the page's machine
//	on=NAME,NAME    on these machines instead of the page's first one
//	together        on all of them at once; else one after the other
//	background      not waited for; ended with the page
//	needs=PROGRAM   run where the machine has the program, else skipped aloud
//
// The commands of a page are run one after the other, as a reader would: in
// network, mount and process namespaces of the page's own, where agents listen on
// the ports that everybody knows. testdata/PAGE.sh says which machines there are
// and what was done before. It takes root; without it the run is skipped aloud.
//
// There is nothing to import here.
package doctest
