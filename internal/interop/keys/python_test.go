package keys

import (
	"os/exec"
	"testing"
)

// python is Debian's, which finds Debian's packages.
const python = "/usr/bin/python3"

// TestPythonConsul runs keys, sessions, locks and events through python-consul.
func TestPythonConsul(t *testing.T) {
	need(t, python)
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import consul").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: python3-consul is not there: %v\n%s", err, out)
	}
	addr, _ := agent(t)
	out, err := exec.CommandContext(t.Context(), python, "testdata/python.py", addr).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if string(out) != "done\n" {
		t.Errorf("it said %q", out)
	}
}
