package hclconf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// maxErrors is how many errors of one text are reported: more helps nobody and
// a hostile text could make millions.
const maxErrors = 50

// Error is one mistake and its place.
type Error struct {
	Range hcl.Range
	Msg   string
}

// Error is "file:line:column: message".
func (e *Error) Error() string { return place(e.Range) + ": " + e.Msg }

// Errors are all mistakes of one text, in its order. It is never empty.
type Errors []*Error

// Error lists the mistakes, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Place is how messages write a position: "file:line:column", or the file alone
// where there is no position (a flag).
func Place(r hcl.Range) string { return place(r) }

func place(r hcl.Range) string {
	if r.Start.Line == 0 {
		return r.Filename
	}
	return fmt.Sprintf("%s:%d:%d", r.Filename, r.Start.Line, r.Start.Column)
}

// collector gathers errors up to maxErrors.
type collector struct {
	errs    Errors
	dropped int
}

func (c *collector) add(r hcl.Range, format string, args ...any) {
	if len(c.errs) >= maxErrors {
		c.dropped++
		return
	}
	c.errs = append(c.errs, &Error{Range: r, Msg: fmt.Sprintf(format, args...)})
}

// err returns what was collected in the order of the text, or nil.
func (c *collector) err() error {
	if len(c.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(c.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Range.Filename, b.Range.Filename), cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte))
	})
	if c.dropped > 0 {
		last := c.errs[len(c.errs)-1]
		c.errs = append(c.errs, &Error{Range: last.Range, Msg: fmt.Sprintf("and %d more errors", c.dropped)})
	}
	return c.errs
}
