package hclconf

import "github.com/agext/levenshtein"

// nearest returns the name closest to key, or "" when none is near enough to be
// what a person meant: one edit in four letters, at least one, at most three.
func nearest(key string, names []string) string {
	best, found := min(3, max(1, len(key)/4+1)), ""
	for _, n := range names {
		if d := levenshtein.Distance(key, n, nil); d <= best && d < max(len(n), 1) && (found == "" || d < best) {
			best, found = d, n
		}
	}
	return found
}

// Nearest returns the name closest to key, or "" when none is near enough.
func Nearest(key string, names []string) string { return nearest(key, names) }
