package keys

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// npmPackage is the version that is tried; a newer one is tried by changing it.
const npmPackage = "consul@2.0.1"

// TestNPMConsul runs keys, sessions, locks, transactions and watches through the
// npm package.
func TestNPMConsul(t *testing.T) {
	need(t, "node", "npm")
	dir := t.TempDir()
	install := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--prefix", dir, npmPackage)
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: npm cannot install %s: %v\n%s", npmPackage, err, out)
	}
	script, err := os.ReadFile("testdata/npm.js")
	if err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(dir, "main.js") // beside node_modules
	if err := os.WriteFile(main, script, 0o600); err != nil {
		t.Fatal(err)
	}
	addr, _ := agent(t)
	out, err := exec.CommandContext(t.Context(), "node", main, addr).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if string(out) != "done\n" {
		t.Errorf("it said %q", out)
	}
}
