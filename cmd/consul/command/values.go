package command

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// List is a flag that may be repeated.
type List []string

func (l *List) String() string     { return strings.Join(*l, ",") }
func (l *List) Set(s string) error { *l = append(*l, s); return nil }

// Map is a repeated flag of the form key=value.
type Map map[string]string

func (m *Map) String() string { return "" }

// Set takes one pair.
func (m *Map) Set(s string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return fmt.Errorf("want key=value, got %q", s)
	}
	if *m == nil {
		*m = Map{}
	}
	(*m)[k] = v
	return nil
}

// JSON prints a value as JSON, indented as given, and returns the exit code.
func (c *Command) JSON(v any, indent string) int {
	out, err := json.MarshalIndent(v, "", indent)
	if err != nil {
		c.Fail("Error formatting the result: %s", err)
		return 1
	}
	c.Say("%s", out)
	return 0
}

// ByteSize is a size for people, in powers of 1024.
func ByteSize(n int) string {
	if n < 1<<10 {
		return strconv.Itoa(n) + "B"
	}
	v, units := float64(n)/(1<<10), "KMGTPE"
	for v >= 1<<10 {
		v, units = v/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f%cB", v, units[0])
}
