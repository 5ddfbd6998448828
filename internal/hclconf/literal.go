package hclconf

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// quoted reads "..." and undoes its escapes.
func (p *parser) quoted() (string, hcl.Range, bool) {
	start := p.next()
	rng := start.Range
	level := 1 // quotes nest inside "${...}" where the lexer was shown it
	for {
		t := p.raw()
		switch t.Type {
		case hclsyntax.TokenEOF, hclsyntax.TokenQuotedNewline:
			p.errs.add(start.Range, "this string is not closed on its line")
			return "", rng, false
		case hclsyntax.TokenOQuote:
			level++
		case hclsyntax.TokenCQuote:
			level--
		}
		p.pos++
		if level > 0 {
			continue
		}
		rng.End = t.Range.End
		s, err := unescape(p.text(start.Range.End.Byte, t.Range.Start.Byte))
		if err != nil {
			p.errs.add(rng, "%v", err)
			return "", rng, false
		}
		return s, rng, true
	}
}

var errEscape = errors.New("unknown escape in a string: known are \\n \\r \\t \\\" \\\\ \\xNN \\uNNNN \\UNNNNNNNN; write \\\\ for a backslash")

// unescape undoes backslash escapes. What stands in balanced "${...}" is kept
// byte for byte, as the first HCL did.
func unescape(s string) (string, error) {
	if !strings.ContainsRune(s, '\\') {
		return s, nil
	}
	var b strings.Builder
	for len(s) > 0 {
		if strings.HasPrefix(s, "${") {
			if n := balanced(s); n > 0 {
				b.WriteString(s[:n])
				s = s[n:]
				continue
			}
		}
		if s[0] != '\\' {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(s, '"')
		if err != nil {
			return "", errEscape
		}
		if r < utf8.RuneSelf || !multibyte {
			b.WriteByte(byte(r))
		} else {
			b.WriteRune(r)
		}
		s = tail
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD"), nil
}

// balanced returns the length of the "${...}" that s begins with, or 0.
func balanced(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// heredoc reads <<MARK or <<-MARK. With "-" the indentation of the closing
// mark is taken off every line, if every line has it.
func (p *parser) heredoc() (*Node, bool) {
	start := p.next()
	for {
		t := p.raw()
		if t.Type == hclsyntax.TokenEOF {
			p.errs.add(start.Range, "no line holds only %s, which would close this text",
				strings.TrimLeft(strings.TrimSpace(string(start.Bytes)), "<-"))
			return nil, false
		}
		p.pos++
		if t.Type != hclsyntax.TokenCHeredoc {
			continue
		}
		rng := start.Range
		rng.End = t.Range.End
		body := p.text(start.Range.End.Byte, t.Range.Start.Byte)
		if strings.HasPrefix(string(start.Bytes), "<<-") {
			mark := string(t.Bytes)
			body = unindent(body, mark[:len(mark)-len(strings.TrimLeft(mark, " \t"))])
		}
		return &Node{Kind: String, Text: body, Range: rng}, true
	}
}

func unindent(body, indent string) string {
	if indent == "" || body == "" {
		return body
	}
	lines := strings.SplitAfter(strings.TrimSuffix(body, "\n"), "\n")
	for i, line := range lines {
		cut, ok := strings.CutPrefix(line, indent)
		if !ok && strings.TrimSpace(line) != "" {
			return body
		}
		if ok {
			lines[i] = cut
		}
	}
	out := strings.Join(lines, "")
	if strings.HasSuffix(body, "\n") {
		out += "\n"
	}
	return out
}

// number reads an integer (also 0x1F and 0755, as the first HCL) or a decimal.
func (p *parser) number() (*Node, bool) {
	first := p.next()
	rng := first.Range
	// the lexer splits "-5" and "0x1F"; what touches belongs together
	for t := p.raw(); t.Range.Start.Byte == rng.End.Byte &&
		(t.Type == hclsyntax.TokenNumberLit || t.Type == hclsyntax.TokenIdent); t = p.raw() {
		rng.End = t.Range.End
		p.pos++
	}
	text := p.text(rng.Start.Byte, rng.End.Byte)
	if !validNumber(text) {
		p.errs.add(rng, "%s is not a number; text (also durations such as \"10s\") needs double quotes", text)
		return nil, false
	}
	return &Node{Kind: Number, Text: text, Range: rng}, true
}

func validNumber(s string) bool {
	if strings.ContainsAny(s, "_pPnN") { // Go's own spellings, and not-a-number
		return false
	}
	if _, err := strconv.ParseInt(s, 0, 64); err == nil {
		return true
	}
	if digits := strings.TrimPrefix(s, "-"); len(digits) > 1 && digits[0] == '0' && digits[1] != '.' && digits[1] != 'e' && digits[1] != 'E' {
		return false // 08, 0x
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
