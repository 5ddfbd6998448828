package definition

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Bounds of metadata, on nodes and services: it travels with every answer.
const (
	maxMetaPairs = 64
	maxMetaKey   = 128 // bytes
	maxMetaValue = 512 // bytes
)

// metaKey is what a metadata key may look like, so that filters can name it.
var metaKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// CheckMeta says what is wrong with metadata; what begins a message about all of it,
// at one about a key. Keys that begin with reserved are not for users; "" is none.
func CheckMeta(meta map[string]string, reserved, what string, at func(key string) string) (wrong []string) {
	if len(meta) > maxMetaPairs {
		wrong = append(wrong, fmt.Sprintf("%s cannot contain more than %d key/value pairs", what, maxMetaPairs))
	}
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		switch {
		case !metaKey.MatchString(k):
			wrong = append(wrong, fmt.Sprintf("%s: key %q contains invalid characters; use letters, digits, - and _", at(k), k))
		case len(k) > maxMetaKey:
			wrong = append(wrong, fmt.Sprintf("%s: key %q is longer than %d bytes", at(k), k, maxMetaKey))
		case reserved != "" && strings.HasPrefix(k, reserved):
			wrong = append(wrong, fmt.Sprintf("%s: key %q is reserved: keys of your own must not begin with %q", at(k), k, reserved))
		case len(meta[k]) > maxMetaValue:
			wrong = append(wrong, fmt.Sprintf("%s: the value of %q is longer than %d bytes", at(k), k, maxMetaValue))
		}
	}
	return wrong
}
