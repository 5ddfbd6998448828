package hclconf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const (
	// maxInput is the largest text in bytes: tens of thousands of services, yet
	// small enough that a wrong file (a disk image) cannot exhaust memory.
	maxInput = 8 << 20
	// maxDepth is how deep objects and lists may nest. Real configuration needs
	// fewer than ten levels; the parsers recurse, so there must be an end.
	maxDepth = 64
)

// Parse reads HCL. Text that begins with "{" is JSON, as HCL always allowed.
// The result is an Object; an error is of type Errors.
func Parse(name string, src []byte) (*Node, error) {
	errs := &collector{}
	src, ok := checkText(name, src, errs)
	if !ok {
		return nil, errs.err()
	}
	if trimmed := bytes.TrimLeft(src, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		return ParseJSON(name, src)
	}
	// "${" and "%{" have no meaning here, but the lexer nests on them and would
	// run past the end of a string that holds a lone one. So it sees them blotted
	// out. Only quotes inside "${...}" need the nesting; a text that does not
	// parse is tried that way too.
	node, err := parseTokens(name, src, blot(src, '$', '%'))
	if err != nil && bytes.Contains(src, []byte("${")) {
		if nested, err2 := parseTokens(name, src, blot(src, '%')); err2 == nil {
			return nested, nil
		}
	}
	return node, err
}

// checkText refuses what no parser should see and drops a byte order mark.
func checkText(name string, src []byte, errs *collector) ([]byte, bool) {
	if len(src) > maxInput {
		errs.add(hcl.Range{Filename: name}, "is larger than %d MiB", maxInput>>20)
		return nil, false
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(src) {
		at := 0
		for at < len(src) {
			r, size := utf8.DecodeRune(src[at:])
			if r == utf8.RuneError && size <= 1 {
				break
			}
			at += size
		}
		errs.add(newLines(name, src).span(at, at+1), "is not UTF-8 text")
		return nil, false
	}
	return src, true
}

// blot returns a copy of src in which a "{" after one of the given bytes is
// replaced, so that the lexer sees plain text of the same length.
func blot(src []byte, before ...byte) []byte {
	out := slices.Clone(src)
	for i := 1; i < len(out); i++ {
		if out[i] == '{' && slices.Contains(before, out[i-1]) {
			out[i] = '_'
		}
	}
	return out
}

// parser walks the tokens of one text. Token bytes may be blotted; text is
// always taken from src.
type parser struct {
	src   []byte
	toks  hclsyntax.Tokens
	pos   int
	open  int  // brackets opened and not yet closed by what was consumed
	ended bool // the text ended too early and that was reported
	depth int
	errs  *collector
}

func parseTokens(name string, src, masked []byte) (*Node, error) {
	p := &parser{src: src, errs: &collector{}}
	toks, diags := hclsyntax.LexConfig(masked, name, hcl.InitialPos)
	p.toks = toks
	bad := map[int]bool{} // lines the lexer complained about: one message is enough
	for _, d := range diags {
		if d.Subject != nil && !bad[d.Subject.Start.Line] {
			bad[d.Subject.Start.Line] = true
			p.errs.add(*d.Subject, "%s: %s", strings.ToLower(d.Summary), d.Detail)
		}
	}
	root := newObject(hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}, p.errs)
	for {
		p.body(root)
		t := p.peek()
		if t.Type == hclsyntax.TokenEOF {
			break
		}
		p.errs.add(t.Range, "unexpected %q: no block is open", "}")
		p.next()
	}
	if len(bad) > 0 {
		p.errs.errs = slices.DeleteFunc(p.errs.errs, func(e *Error) bool {
			if bad[e.Range.Start.Line] {
				// keep the lexer's own (added first, once a line)
				bad[e.Range.Start.Line] = false
				return false
			}
			_, known := bad[e.Range.Start.Line]
			return known
		})
	}
	if err := p.errs.err(); err != nil {
		return nil, err
	}
	return root.node, nil
}

// raw is the token at pos, newlines and comments included.
func (p *parser) raw() hclsyntax.Token {
	if p.pos >= len(p.toks) {
		return hclsyntax.Token{Type: hclsyntax.TokenEOF}
	}
	return p.toks[p.pos]
}

// peek skips newlines and comments and returns the next token unconsumed.
func (p *parser) peek() hclsyntax.Token {
	for {
		t := p.raw()
		if t.Type != hclsyntax.TokenNewline && t.Type != hclsyntax.TokenComment {
			return t
		}
		p.pos++
	}
}

// next consumes and returns the next token, newlines and comments skipped. The
// end of the text is never passed.
func (p *parser) next() hclsyntax.Token {
	t := p.peek()
	switch t.Type {
	case hclsyntax.TokenEOF:
		return t
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack:
		p.open++
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack:
		p.open--
	}
	p.pos++
	return t
}

// lineEnds reports whether the text goes on only on another line.
func (p *parser) lineEnds() bool {
	t := p.raw()
	return t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenEOF ||
		t.Type == hclsyntax.TokenComment && bytes.HasSuffix(t.Bytes, []byte("\n"))
}

// body reads fields up to "}" or the end, consuming neither.
func (p *parser) body(into *object) {
	for {
		t := p.peek()
		if t.Type == hclsyntax.TokenEOF || t.Type == hclsyntax.TokenCBrace {
			return
		}
		open := p.open
		if !p.field(into) {
			p.recover(open)
			continue
		}
		if p.peek().Type == hclsyntax.TokenComma {
			p.next()
		}
	}
}

// recover skips to where the next field may begin: after a line end outside of
// brackets opened since the faulty field began, or before the "}" of its block.
func (p *parser) recover(open int) {
	for {
		t := p.raw()
		switch {
		case t.Type == hclsyntax.TokenEOF,
			t.Type == hclsyntax.TokenCBrace && p.open <= open,
			p.open <= open && p.lineEnds():
			return
		case t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenComment:
			p.pos++
		default:
			p.next()
		}
	}
}

// field reads "key = value", "key { ... }" or "key "label" { ... }".
func (p *parser) field(into *object) bool {
	var keys []Field
	for {
		t := p.peek()
		switch t.Type {
		case hclsyntax.TokenIdent, hclsyntax.TokenOQuote:
			key, ok := p.key()
			if !ok {
				return false
			}
			keys = append(keys, key)
			if ended := p.lineEnds(); ended {
				if n := p.peek().Type; n != hclsyntax.TokenOBrace && n != hclsyntax.TokenEqual {
					p.noValue(keys)
					return false
				}
			}
			continue
		case hclsyntax.TokenEqual, hclsyntax.TokenColon:
			if len(keys) != 1 {
				p.unexpectedKey(t, keys)
				return false
			}
			p.next()
			v, ok := p.value()
			if ok {
				keys[0].Value = v
				into.add(keys[0])
			}
			return ok
		case hclsyntax.TokenOBrace:
			if len(keys) == 0 {
				p.errs.add(t.Range, "a block needs a name before %q", "{")
				return false
			}
			v, ok := p.object()
			if ok {
				into.add(label(keys, v))
			}
			return ok
		}
		p.unexpectedKey(t, keys)
		return false
	}
}

// label turns a "b" "c" { } into a = { b = { c = { } } }.
func label(keys []Field, v *Node) Field {
	for i := len(keys) - 1; i > 0; i-- {
		keys[i].Value = v
		v = &Node{Kind: Object, Fields: []Field{keys[i]}, Range: keys[i].KeyRange}
	}
	keys[0].Value = v
	return keys[0]
}

func (p *parser) noValue(keys []Field) {
	k := keys[0]
	p.errs.add(k.KeyRange, "%q has no value: write %s = ... or %s { ... }", k.Key, k.Key, k.Key)
}

func (p *parser) unexpectedKey(t hclsyntax.Token, keys []Field) {
	switch {
	case len(keys) > 0 && t.Type != hclsyntax.TokenEqual && t.Type != hclsyntax.TokenColon:
		p.errs.add(t.Range, "unexpected %s after %q: expected \"=\" or \"{\"", p.show(t), keys[len(keys)-1].Key)
	case len(keys) > 1:
		p.noValue(keys)
	default:
		p.errs.add(t.Range, "unexpected %s where a key should stand", p.show(t))
	}
}

// show is a token as messages write it.
func (p *parser) show(t hclsyntax.Token) string {
	switch t.Type {
	case hclsyntax.TokenEOF:
		return "end of file"
	case hclsyntax.TokenNewline:
		return "end of line"
	}
	text := p.text(t.Range.Start.Byte, t.Range.End.Byte)
	if len(text) > 20 {
		text = text[:20]
	}
	return fmt.Sprintf("%q", text)
}

func (p *parser) text(from, to int) string {
	if from < 0 || to > len(p.src) || from > to {
		return ""
	}
	return string(p.src[from:to])
}

// key reads a bare or quoted key. Bare keys may hold dots, as in the first HCL.
func (p *parser) key() (Field, bool) {
	t := p.peek()
	if t.Type == hclsyntax.TokenOQuote {
		s, rng, ok := p.quoted()
		return Field{Key: s, KeyRange: rng}, ok
	}
	p.next()
	rng := t.Range
	for p.raw().Type == hclsyntax.TokenDot && p.pos+1 < len(p.toks) {
		dot, after := p.raw(), p.toks[p.pos+1]
		if dot.Range.Start.Byte != rng.End.Byte || after.Range.Start.Byte != dot.Range.End.Byte ||
			after.Type != hclsyntax.TokenIdent && after.Type != hclsyntax.TokenNumberLit {
			break
		}
		p.pos += 2
		rng.End = after.Range.End
	}
	return Field{Key: p.text(rng.Start.Byte, rng.End.Byte), KeyRange: rng}, true
}

// value reads one value.
func (p *parser) value() (*Node, bool) {
	t := p.peek()
	switch t.Type {
	case hclsyntax.TokenOQuote:
		s, rng, ok := p.quoted()
		return &Node{Kind: String, Text: s, Range: rng}, ok
	case hclsyntax.TokenOHeredoc:
		return p.heredoc()
	case hclsyntax.TokenOBrace:
		return p.object()
	case hclsyntax.TokenOBrack:
		return p.list()
	case hclsyntax.TokenMinus, hclsyntax.TokenNumberLit:
		return p.number()
	case hclsyntax.TokenIdent:
		switch word := string(t.Bytes); word {
		case "true", "false":
			p.next()
			return &Node{Kind: Bool, Bool: word == "true", Range: t.Range}, true
		case "null":
			p.next()
			return &Node{Kind: Null, Range: t.Range}, true
		default:
			p.errs.add(t.Range, "%s is not a value: text needs double quotes", word)
			return nil, false
		}
	}
	p.errs.add(t.Range, "unexpected %s where a value should stand", p.show(t))
	return nil, false
}

// enter counts nesting; too deep ends the parse, since nothing sensible follows.
func (p *parser) enter(rng hcl.Range) bool {
	p.depth++
	if p.depth > maxDepth {
		p.errs.add(rng, "nested more than %d levels deep", maxDepth)
		p.pos, p.ended = len(p.toks), true
		return false
	}
	return true
}

// unclosed reports a bracket without its partner; of several the innermost.
func (p *parser) unclosed(start hclsyntax.Token) {
	if !p.ended {
		p.errs.add(start.Range, "this %q is never closed", start.Bytes)
	}
	p.ended = true
}

func (p *parser) object() (*Node, bool) {
	start := p.next()
	if !p.enter(start.Range) {
		return nil, false
	}
	defer func() { p.depth-- }()
	o := newObject(start.Range, p.errs)
	p.body(o)
	end := p.next()
	if end.Type != hclsyntax.TokenCBrace {
		p.unclosed(start)
		return nil, false
	}
	o.node.Range.End = end.Range.End
	return o.node, true
}

func (p *parser) list() (*Node, bool) {
	start := p.next()
	if !p.enter(start.Range) {
		return nil, false
	}
	defer func() { p.depth-- }()
	n := &Node{Kind: List, Range: start.Range}
	for {
		t := p.peek()
		if t.Type == hclsyntax.TokenCBrack {
			break
		}
		if t.Type == hclsyntax.TokenEOF {
			p.unclosed(start)
			return nil, false
		}
		item, ok := p.value()
		if !ok {
			return nil, false
		}
		n.Items = append(n.Items, item)
		switch t = p.peek(); t.Type {
		case hclsyntax.TokenComma:
			p.next()
		case hclsyntax.TokenCBrack, hclsyntax.TokenEOF:
		default:
			p.errs.add(t.Range, "unexpected %s in a list: expected \",\" or \"]\"", p.show(t))
			return nil, false
		}
	}
	n.Range.End = p.next().Range.End
	return n, true
}
