// Package table keeps packed answers by their questions, for readers that never
// wait.
//
// A Table is a hash table of pointers that are replaced whole: who looks takes no
// lock, who puts takes one. Each Entry is one block of memory without pointers, so
// that the garbage collector has nothing to look for in it. An entry is as good as
// what it was made of: Stamps say of each thing in the catalog whether it has
// changed since, and a session says whether somebody still tells. The table does
// not know what its keys and answers mean.
package table
