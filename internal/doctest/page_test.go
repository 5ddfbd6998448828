package doctest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// patience bounds one page. The slowest takes some seconds on an idle machine.
const patience = 3 * time.Minute

// TestPages runs the commands of every page.
func TestPages(t *testing.T) {
	if err := exec.Command("unshare", "-n", "-m", "-p", "-u", "--fork", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("the pages are NOT run: no namespaces (%v); be root", err)
	}
	for _, program := range []string{"bash", "ip", "nsenter", "setsid", "curl", "dig"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the pages are NOT run: no %s", program)
		}
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "consul"), "consul.internal/cmd/consul").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stubs, err := filepath.Glob("testdata/bin/*")
	if err != nil || len(stubs) == 0 {
		t.Fatalf("%d stubs, %v", len(stubs), err)
	}
	for _, stub := range stubs {
		path, err := filepath.Abs(stub)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, filepath.Base(stub)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a command that fails", func(t *testing.T) {
		wrong := block{page: "none.md", line: 7, lang: "sh", text: "true\nfalse\ntrue\n"}
		if out, err := runPage(t, wrong.page, bin, []block{wrong}); err == nil || !strings.Contains(out, "FAILED at none.md:7: false\n") {
			t.Errorf("%v, %s", err, out)
		}
	})
	for _, page := range pages(t) {
		var shown []block
		runs := 0
		for _, b := range blocks(t, page) {
			if b.has("file") || (b.lang == "sh" || b.lang == "console") && !b.has("install") {
				shown = append(shown, b)
			}
			if (b.lang == "sh" || b.lang == "console") && !b.has("install") {
				runs++
			}
		}
		if runs > 0 {
			t.Run(page, func(t *testing.T) {
				t.Parallel()
				out, err := runPage(t, page, bin, shown)
				for _, line := range regexp.MustCompile(`(?m)^SKIPPED .*$`).FindAllString(out, -1) {
					t.Log(line)
				}
				if err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// runPage writes the page as one script and runs it.
func runPage(t *testing.T, page, bin string, shown []block) (string, error) {
	t.Helper()
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(filepath.Join(work, "build"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{filepath.Join(dir, "bin"): bin, filepath.Join(work, "build", "consul"): filepath.Join(bin, "consul")} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	fmt.Fprintf(&s, ". \"$TOP/internal/doctest/testdata/lib.sh\"\n")
	setup := filepath.Join("internal/doctest/testdata", strings.TrimSuffix(filepath.Base(page), ".md")+".sh")
	if _, err := os.Stat(filepath.Join(root, setup)); err == nil {
		fmt.Fprintf(&s, "AT=%s\n. \"$TOP/%s\"\n", setup, setup)
	} else {
		fmt.Fprintf(&s, "first server-1 10.0.0.1\n")
	}
	fmt.Fprintf(&s, "cd \"$W/work\"\n")
	for n, b := range shown {
		writeBlock(t, &s, dir, n, b)
	}
	script := filepath.Join(dir, "page.sh")
	if err := os.WriteFile(script, []byte(s.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "-n", "-m", "-p", "-u", "--fork", "--kill-child", "--mount-proc", "bash", script)
	cmd.Env = []string{"W=" + dir, "TOP=" + root, "PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// writeBlock adds a block to the page's script.
func writeBlock(t *testing.T, s *strings.Builder, dir string, n int, b block) {
	t.Helper()
	fmt.Fprintf(s, "AT=%s\n", b)
	file := func(suffix, text string) string {
		path := filepath.Join(dir, fmt.Sprintf("%d%s", n, suffix))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	where := "\"$here\""
	if b.has("on") {
		where = b.word["on"]
	}
	if b.has("needs") {
		fmt.Fprintf(s, "if needs %s; then\n", b.word["needs"])
		defer fmt.Fprintf(s, "fi\n")
	}
	switch {
	case b.has("file"):
		fmt.Fprintf(s, "put %s %s %s\n", where, file("", b.text), b.word["file"])
	case b.lang == "console":
		for i, c := range commands(t, b) {
			path := file(fmt.Sprintf("-%d.sh", i), c.line)
			run := ". " + path
			if b.has("on") {
				run = "on " + where + " " + path
			}
			fmt.Fprintf(s, "AT=%s:%d\nexpect %s %s\n", b.page, c.at, pattern(c.output), run)
		}
	case b.has("background"):
		fmt.Fprintf(s, "bash -Eeuo pipefail %s >\"$W/background.%d\" 2>&1 &\n", file(".sh", b.text), n)
	case b.has("together"):
		fmt.Fprintf(s, "together %s %s\n", where, file(".sh", b.text))
	case b.has("on"):
		fmt.Fprintf(s, "on %s %s\n", where, file(".sh", b.text))
	default:
		fmt.Fprintf(s, ". %s\n", file(".sh", b.text))
	}
}

// shownCommand is a command of a console block, and what it prints.
type shownCommand struct {
	at           int
	line, output string
}

func commands(t *testing.T, b block) (out []shownCommand) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		text, ok := strings.CutPrefix(line, "$ ")
		last := len(out) - 1
		switch {
		case ok:
			out = append(out, shownCommand{at: b.line + 1 + i, line: text + "\n"})
		case last < 0:
			t.Fatalf("%v: a console block begins with a command", b)
		case out[last].output == "" && strings.HasSuffix(out[last].line, "\\\n"):
			out[last].line += line + "\n"
		default:
			out[last].output += line + "\n"
		}
	}
	return out
}

// pattern is shown output as a pattern of bash, "..." being anything. Blanks are
// as good as one, since columns are as wide as what stands in them.
func pattern(shown string) string {
	text := regexp.MustCompile(" +").ReplaceAllString(strings.TrimSuffix(shown, "\n"), " ")
	text = regexp.MustCompile("(?m) $").ReplaceAllString(text, "")
	parts := strings.Split(text, "...")
	for i, p := range parts {
		parts[i] = regexp.MustCompile(`[^a-zA-Z0-9\n\x{80}-\x{10ffff}]`).ReplaceAllString(p, `\$0`)
	}
	return "'" + strings.ReplaceAll(strings.Join(parts, "*"), "'", `'\''`) + "'"
}

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		shown, printed string
		same           bool
	}{
		{"a  b\n", "a b", true},
		{"it's ... (here) [x]*", "it's so, and so (here) [x]*", true},
		{"it's ... (here) [x]*", "it's so (here) x*", false},
		{"a\n...\nz", "a\nb\nc\nz", true},
		{"", "x", false},
	} {
		script := "p=" + pattern(tt.shown) + "; [[ $1 == $p ]]"
		err := exec.Command("bash", "-c", script, "-", tt.printed).Run()
		if (err == nil) != tt.same {
			t.Errorf("%q for %q: %v", tt.printed, tt.shown, err)
		}
	}
}
