package access

import (
	"fmt"
	"io"
	"os"
	"strings"

	"consul.internal/cmd/consul/command"
)

// form is the flag of how an answer is printed.
type form struct {
	c    *command.Command
	name *string
}

func withForm(c *command.Command) form {
	return form{c, c.Flags.String("format", "pretty", "How to print: pretty or json.")}
}

// print prints a value as JSON, or by text.
func (f form) print(v any, text func()) int {
	switch *f.name {
	case "json":
		return f.c.JSON(v, "    ")
	case "pretty":
		text()
		return 0
	}
	f.c.Fail("Invalid format %q: use pretty or json", *f.name)
	return 1
}

// failed says what went wrong.
func failed(c *command.Command, what string, err error) int {
	c.Fail("%s: %v", what, err)
	return 1
}

// content is a flag's value, or that of the file after "@", or for "-" of standard input.
func content(c *command.Command, v string) (string, error) {
	switch name, file := strings.CutPrefix(v, "@"); {
	case file:
		text, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("Failed to read file: %w", err)
		}
		return string(text), nil
	case v == "-":
		text, err := io.ReadAll(c.In)
		if err != nil {
			return "", fmt.Errorf("Failed to read stdin: %w", err)
		}
		return string(text), nil
	}
	return v, nil
}

// byPrefix is the one of several IDs that begins so.
func byPrefix[T any](what, prefix string, all []T, id func(T) string) (string, error) {
	var found []string
	for _, v := range all {
		if id(v) == prefix {
			return prefix, nil
		}
		if strings.HasPrefix(id(v), prefix) {
			found = append(found, id(v))
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("No such %s ID with prefix: %s", what, prefix)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d %s IDs begin with %s", len(found), what, prefix)
}
