package conformance

import (
	"fmt"
	"regexp"
	"strings"
)

// Judge compares the output of a command with the recorded one; "" means that it is as recorded.
func (o *OutputExpect) Judge(expand func(string) string, out string) string {
	if o == nil {
		return ""
	}
	switch o.Mode {
	case "", "any":
	case "nonempty":
		if strings.TrimSpace(out) == "" {
			return "want some output, got none"
		}
	case "empty":
		if strings.TrimSpace(out) != "" {
			return fmt.Sprintf("want no output, got %q", clip(out))
		}
	case "lines":
		if d := matchLines(o, expand, out); d != "" {
			return d
		}
	default:
		return "unknown output mode " + o.Mode
	}
	return matchPatterns(o.Patterns, out)
}

// matchLines looks for the wanted lines: in order with others between, or in
// any order with each output line used once.
func matchLines(o *OutputExpect, expand func(string) string, out string) string {
	got := normalLines(out)
	used := make([]bool, len(got))
	next := 0
	for _, line := range o.Lines {
		want := strings.Join(strings.Fields(expand(line)), " ")
		at := -1
		from := next
		if o.Unordered {
			from = 0
		}
		for i := from; i < len(got); i++ {
			if !used[i] && wildcard(want, got[i]) {
				at = i
				break
			}
		}
		if at < 0 {
			return fmt.Sprintf("line %q is missing in:\n%s", want, indent(clip(out)))
		}
		used[at] = true
		next = at + 1
	}
	return ""
}

// normalLines splits into lines, makes white space one blank, drops empty ones.
func normalLines(out string) []string {
	var lines []string
	for _, l := range strings.Split(out, "\n") {
		if l = strings.Join(strings.Fields(l), " "); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

func matchPatterns(patterns []string, text string) string {
	for _, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return fmt.Sprintf("bad pattern %q: %v", p, err)
		}
		if !re.MatchString(text) {
			return fmt.Sprintf("does not match %q:\n%s", p, indent(clip(text)))
		}
	}
	return ""
}

// clip bounds what a failure prints; 1,500 bytes hold a usage text's head.
func clip(s string) string {
	if len(s) > 1500 {
		return s[:1500] + "..."
	}
	return s
}

func indent(s string) string {
	return "      | " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n      | ")
}
