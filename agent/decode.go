package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

const (
	// maxBody bounds a registration: the largest that make sense are a few dozen KiB, proxies with their configuration included.
	maxBody = 1 << 20
	// maxDepth bounds nesting: a proxy's configuration rarely has ten levels.
	maxDepth = 64
)

// object is a JSON object with its members in order, so that a member given
// twice is seen.
type object []member

type member struct {
	name  string
	value any // nil, bool, string, json.Number, []any, object
}

// parse reads one JSON object.
func parse(r io.Reader) (object, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return nil, err // the reader's own, such as *http.MaxBytesError
	}
	if len(body) > maxBody {
		return nil, fault.Newf(fault.Invalid, "the body is larger than %d bytes", maxBody)
	}
	o, err := parseBytes(body)
	if err != nil {
		return nil, fault.With(fault.Invalid, err)
	}
	return o, nil
}

func parseBytes(body []byte) (object, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, io.EOF
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			if strings.HasPrefix(s.Error(), "unexpected end") {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("%w at byte %d", err, s.Offset)
		}
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("expected a JSON object, found %s", describe(v))
	}
	return o, nil
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('{'):
		o := object{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			o = append(o, member{name.(string), v}) // the decoder gives nothing else for a key
		}
		_, err = dec.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	default:
		return tok, nil
	}
}

// describe names a value to a person.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		if len(v) > 40 {
			v = v[:40] + "..."
		}
		return "the text " + strconv.Quote(v)
	case json.Number:
		return "the number " + v.String()
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

// setter puts a JSON value where it belongs; path names it in errors.
type setter func(path string, v any) error

// fold is how member names are compared: without case, as JSON in Go does, and
// without underscores, since configuration files spell them so.
func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// fill puts the members of an object where the table says. null is as good as absent.
func fill(path string, v any, table map[string]setter) error {
	o, ok := v.(object)
	if !ok {
		return fmt.Errorf("%s: expected an object, found %s", path, describe(v))
	}
	seen := make(map[string]bool, len(o))
	for _, m := range o {
		name := fold(m.name)
		at := m.name
		if path != "" {
			at = path + "." + m.name
		}
		set, ok := table[name]
		if !ok {
			return fmt.Errorf("unknown field %q", at)
		}
		if seen[name] {
			return fmt.Errorf("field %q is given twice", at)
		}
		seen[name] = true
		if m.value == nil || set == nil {
			continue
		}
		if err := set(at, m.value); err != nil {
			return err
		}
	}
	return nil
}

func wrong(path, expected string, v any) error {
	return fmt.Errorf("%s: expected %s, found %s", path, expected, describe(v))
}

func text[S ~string](p *S) setter {
	return func(path string, v any) error {
		s, ok := v.(string)
		if !ok {
			return wrong(path, "a text", v)
		}
		*p = S(s)
		return nil
	}
}

func boolean(p *bool) setter {
	return func(path string, v any) error {
		b, ok := v.(bool)
		if !ok {
			return wrong(path, "true or false", v)
		}
		*p = b
		return nil
	}
}

func integer(p *int) setter {
	return func(path string, v any) error {
		n, ok := v.(json.Number)
		if !ok {
			return wrong(path, "a whole number", v)
		}
		i, err := strconv.Atoi(n.String())
		if err != nil {
			return wrong(path, "a whole number", v)
		}
		*p = i
		return nil
	}
}

// duration takes "10s" and a number of nanoseconds.
func duration(p *time.Duration) setter {
	return func(path string, v any) error {
		switch v := v.(type) {
		case string:
			if v == "" {
				return nil
			}
			d, err := time.ParseDuration(v)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			*p = d
			return nil
		case json.Number:
			n, err := v.Int64()
			if err != nil {
				return wrong(path, `a duration such as "10s" or a whole number of nanoseconds`, v)
			}
			*p = time.Duration(n)
			return nil
		default:
			return wrong(path, `a duration such as "10s"`, v)
		}
	}
}

// list calls item for each element.
func list(path string, v any, item func(path string, v any) error) error {
	l, ok := v.([]any)
	if !ok {
		return wrong(path, "a list", v)
	}
	for i, v := range l {
		if err := item(fmt.Sprintf("%s[%d]", path, i), v); err != nil {
			return err
		}
	}
	return nil
}

func texts(p *[]string) setter {
	return func(path string, v any) error {
		*p = []string{}
		return list(path, v, func(path string, v any) error {
			var s string
			err := text(&s)(path, v)
			*p = append(*p, s)
			return err
		})
	}
}

// mapping fills a map whose values a setter reads. Keys are kept as they are.
func mapping[V any](p *map[string]V, value func(*V) setter) setter {
	return func(path string, v any) error {
		o, ok := v.(object)
		if !ok {
			return wrong(path, "an object", v)
		}
		*p = make(map[string]V, len(o))
		for _, m := range o {
			at := path + "." + m.name
			if _, ok := (*p)[m.name]; ok {
				return fmt.Errorf("field %q is given twice", at)
			}
			var val V
			if m.value != nil {
				if err := value(&val)(at, m.value); err != nil {
					return err
				}
			}
			(*p)[m.name] = val
		}
		return nil
	}
}

// anyValue turns a parsed value into what encoding/json would have made of it.
func anyValue(v any) any {
	switch v := v.(type) {
	case object:
		out := make(map[string]any, len(v))
		for _, m := range v {
			out[m.name] = anyValue(m.value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = anyValue(v[i])
		}
		return out
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	default:
		return v
	}
}

func anyMap[M ~map[string]any](p *M) setter {
	return func(path string, v any) error {
		m, ok := anyValue(v).(map[string]any)
		if !ok {
			return wrong(path, "an object", v)
		}
		*p = m
		return nil
	}
}
