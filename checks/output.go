package checks

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Clean makes output fit for storing: valid UTF-8, at most size bytes, no
// character cut in two. The beginning is kept.
func Clean(s string, size int) string {
	// A whole megabyte of output need not be copied to keep 4 KiB of it.
	if len(s) > size+utf8.UTFMax {
		s = s[:size+utf8.UTFMax]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= size {
		return s
	}
	end := size
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// tail keeps the last bytes written to it: what a script says last is what
// tells why it failed.
type tail struct {
	buf   []byte
	size  int
	next  int // where the next byte goes once buf is full
	total int64
}

func newTail(size int) *tail { return &tail{size: size} }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	t.total += int64(n)
	if len(p) > t.size {
		p = p[len(p)-t.size:]
	}
	for len(p) > 0 {
		if len(t.buf) < t.size {
			k := min(t.size-len(t.buf), len(p))
			t.buf = append(t.buf, p[:k]...)
			p = p[k:]
			continue
		}
		k := copy(t.buf[t.next:], p)
		p = p[k:]
		t.next = (t.next + k) % t.size
	}
	return n, nil
}

// String is what was kept, with a line that says so if it is not all.
func (t *tail) String() string {
	s := string(t.buf[t.next:]) + string(t.buf[:t.next])
	if t.total <= int64(t.size) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	head := fmt.Sprintf("Captured %d of %d bytes\n...\n", t.size, t.total)
	if len(head) >= t.size {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return head + strings.ToValidUTF8(s[len(head):], "")
}
