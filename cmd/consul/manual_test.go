package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestManual(t *testing.T) {
	dir := t.TempDir()
	if code, out, errs := execute(t, "manual", dir); code != 0 || out != "" || errs != "" {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	for name := range commands() {
		text, err := os.ReadFile(filepath.Join(dir, "man1", "consul-"+strings.ReplaceAll(name, " ", "-")+".1"))
		if err != nil {
			t.Error(err)
		}
		if page := string(text); !strings.HasPrefix(page, ".TH ") || !strings.Contains(page, "\n.SH SYNOPSIS\n.nf\nconsul "+strings.ReplaceAll(name, "-", `\-`)) {
			t.Errorf("%s: %.200s", name, page)
		}
	}
	for file, want := range map[string]string{
		"man1/consul-kv-get.1": "\n.B \\-base64\n", "man1/consul.1": "\n.BR consul\\-kv\\-get (1)\n", "bash-completion/completions/consul": "complete -C consul consul\n",
		"zsh/site-functions/_consul": "#compdef consul\n", "fish/vendor_completions.d/consul.fish": "complete -f -c consul ",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, %s", file, err, text)
		}
	}
	if _, out, _ := execute(t, "--help"); strings.Contains(out, "manual") {
		t.Errorf("the list of commands has what is for packagers: %s", out)
	}
	if code, _, errs := execute(t, "manual"); code != 1 || !strings.HasPrefix(errs, "One directory must be specified.") {
		t.Errorf("exit %d, %q", code, errs)
	}
}
