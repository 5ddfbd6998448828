package acl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Translate turns rules of the time before tokens had policies into today's: what
// named one thing then spoke of all that begin so.
func Translate(text string) (string, error) {
	r, err := Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for res := range resources {
		switch {
		case res == Intention: // part of the service's rule
			continue
		case !res.named():
			if r.whole[res] != None {
				fmt.Fprintf(&out, "%s = %q\n", res, r.whole[res])
			}
			continue
		}
		n := r.names[res]
		for name, a := range n.exact {
			n.set(true, name, a)
		}
		for _, name := range slices.Sorted(maps.Keys(n.prefix)) {
			fmt.Fprintf(&out, "%s_prefix %q {\n\tpolicy = %q\n", res, name, n.prefix[name])
			if res == Service {
				fmt.Fprintf(&out, "\tintentions = %q\n", stronger(r.names[Intention].exact[name], r.names[Intention].prefix[name]))
			}
			out.WriteString("}\n")
		}
	}
	return out.String(), nil
}
