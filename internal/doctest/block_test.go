package doctest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// block is a fenced block of a page.
type block struct {
	page string // path from the top of the tree
	line int    // of the fence
	lang string
	word map[string]string // further words of the info string; "" where one has no value
	text string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

func (b block) has(word string) bool {
	_, ok := b.word[word]
	return ok
}

// top is the top of the tree.
var top = filepath.Join("..", "..")

// pages are the documents, without those that are made out of the code.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil || len(found) < 10 {
		t.Fatalf("%d pages, %v", len(found), err)
	}
	out := []string{"README.md"}
	for _, path := range found {
		out = append(out, filepath.Join("docs", filepath.Base(path)))
	}
	return out
}

// blocks are the fenced blocks of a page. Code that is only indented would run
// in no test, so it is refused.
func blocks(t *testing.T, page string) (out []block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, page))
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	list := false
	for i, line := range strings.Split(string(text), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			words := strings.Fields(info)
			if len(words) == 0 {
				t.Fatalf("%s:%d: a block without a language", page, i+1)
			}
			open = &block{page: page, line: i + 1, lang: words[0], word: map[string]string{}}
			for _, w := range words[1:] {
				name, value, _ := strings.Cut(w, "=")
				open.word[name] = value
			}
		case fence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "    ") && !list:
			t.Errorf("%s:%d: code that is indented instead of fenced", page, i+1)
		default:
			list = strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "1.") || list && (line == "" || strings.HasPrefix(line, "  "))
		}
	}
	if open != nil {
		t.Errorf("%v: not closed", open)
	}
	return out
}

// TestLanguages: no block is of a kind that nobody looks at.
func TestLanguages(t *testing.T) {
	words := map[string][]string{
		"hcl":     {"rules", "entry", "server", "file", "on"},
		"json":    {"data", "file", "on"},
		"sh":      {"install", "on", "together", "background", "needs"},
		"console": {"on", "needs"},
		"conf":    {"file", "on"},
		"yaml":    {},
		"text":    {},
	}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			known, ok := words[b.lang]
			if !ok {
				t.Errorf("%v: unknown language %q", b, b.lang)
			}
			for w := range b.word {
				if !slices.Contains(known, w) {
					t.Errorf("%v: %s has no word %q", b, b.lang, w)
				}
			}
		}
	}
}
