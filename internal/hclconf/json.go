package hclconf

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// ParseJSON reads one JSON object into the same tree as Parse: an object under
// a key is a block, a key that comes again is folded or refused as there.
func ParseJSON(name string, src []byte) (*Node, error) {
	errs := &collector{}
	src, ok := checkText(name, src, errs)
	if !ok {
		return nil, errs.err()
	}
	p := &jsonParser{lines: newLines(name, src), src: src, errs: errs}
	p.dec = json.NewDecoder(bytes.NewReader(src))
	p.dec.UseNumber()
	root, err := p.value(0)
	if err == nil && root.Kind != Object {
		p.errs.add(root.Range, "expected an object at the top, got a %s", root.Kind)
	}
	if err == nil {
		at := p.start()
		if _, more := p.dec.Token(); !errors.Is(more, io.EOF) {
			p.errs.add(p.lines.from(at, at.Byte+1), "unexpected text after the end of the object")
		}
	}
	if err != nil {
		p.syntax(err)
	}
	if err := errs.err(); err != nil {
		return nil, err
	}
	return root, nil
}

type jsonParser struct {
	src   []byte
	dec   *json.Decoder
	lines *lines
	errs  *collector
}

var errDepth = errors.New("too deep")

// syntax reports what ended the parse. JSON is not resumed after an error.
func (p *jsonParser) syntax(err error) {
	at := min(int(p.dec.InputOffset()), len(p.src))
	if errors.Is(err, errDepth) {
		p.errs.add(p.lines.span(at-1, at), "nested more than %d levels deep", maxDepth)
		return
	}
	// the decoder of tokens does not say exactly where it stumbled; the one of whole texts does
	var whole json.RawMessage
	if syn, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(p.src, &whole)); ok {
		err = syn
		at = max(0, min(int(syn.Offset)-1, len(p.src)))
		if strings.HasPrefix(syn.Error(), "unexpected end") {
			at = len(p.src)
		}
	}
	p.errs.add(p.lines.span(at, at), "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// start is where the next token begins: the decoder's offset is where the last one ended.
func (p *jsonParser) start() hcl.Pos {
	at := int(p.dec.InputOffset())
	for at < len(p.src) && strings.IndexByte(" \t\r\n,:", p.src[at]) >= 0 {
		at++
	}
	return p.lines.at(at)
}

func (p *jsonParser) value(depth int) (*Node, error) {
	start := p.start()
	tok, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &Node{}
	switch v := tok.(type) {
	case nil:
		n.Kind = Null
	case bool:
		n.Kind, n.Bool = Bool, v
	case string:
		n.Kind, n.Text = String, v
	case json.Number:
		n.Kind, n.Text = Number, v.String()
	case json.Delim:
		if depth >= maxDepth {
			return nil, errDepth
		}
		if v == '{' {
			n, err = p.object(depth)
		} else {
			n.Kind = List
			err = p.list(n, depth)
		}
		if err != nil {
			return nil, err
		}
	}
	n.Range = p.lines.from(start, int(p.dec.InputOffset()))
	return n, nil
}

func (p *jsonParser) object(depth int) (*Node, error) {
	o := newObject(hcl.Range{}, p.errs)
	for p.dec.More() {
		start := p.start()
		tok, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := tok.(string) // the decoder lets nothing else stand here
		f := Field{Key: key, KeyRange: p.lines.from(start, int(p.dec.InputOffset()))}
		if f.Value, err = p.value(depth + 1); err != nil {
			return nil, err
		}
		o.add(f)
	}
	_, err := p.dec.Token()
	return o.node, err
}

func (p *jsonParser) list(n *Node, depth int) error {
	for p.dec.More() {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	_, err := p.dec.Token()
	return err
}

// lines turns byte offsets into positions. Asked in ascending order it passes
// over the text once, however long its lines are.
type lines struct {
	name string
	src  []byte
	last hcl.Pos
}

func newLines(name string, src []byte) *lines {
	return &lines{name: name, src: src, last: hcl.InitialPos}
}

func (l *lines) at(offset int) hcl.Pos {
	offset = min(offset, len(l.src))
	if offset < l.last.Byte {
		l.last = hcl.InitialPos
	}
	part := l.src[l.last.Byte:offset]
	if n := bytes.Count(part, []byte("\n")); n > 0 {
		l.last.Line += n
		l.last.Column = 1
		part = part[bytes.LastIndexByte(part, '\n')+1:]
	}
	l.last.Column += utf8.RuneCount(part)
	l.last.Byte = offset
	return l.last
}

func (l *lines) from(start hcl.Pos, to int) hcl.Range {
	return hcl.Range{Filename: l.name, Start: start, End: l.at(to)}
}

func (l *lines) span(from, to int) hcl.Range { return l.from(l.at(from), to) }
