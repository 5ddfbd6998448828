package agentlog

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"consul.internal/configs"
)

// fakeSyslog notes what it is told.
type fakeSyslog []string

func (f *fakeSyslog) note(s string) error    { *f = append(*f, s); return nil }
func (f *fakeSyslog) Debug(s string) error   { return f.note("debug|" + s) }
func (f *fakeSyslog) Info(s string) error    { return f.note("info|" + s) }
func (f *fakeSyslog) Warning(s string) error { return f.note("warning|" + s) }
func (f *fakeSyslog) Err(s string) error     { return f.note("err|" + s) }

func TestSyslogSeverities(t *testing.T) {
	var got fakeSyslog
	w := syslogLines{&got}
	for _, line := range []string{
		"2026-01-02T03:04:05.678Z [INFO]  agent: hello: k=v\n", "2026-01-02T03:04:05.678Z [WARN]  agent: careful\n",
		"2026-01-02T03:04:05.678Z [ERROR] agent: bad [TRACE]\n", "2026-01-02T03:04:05.678Z [TRACE] agent: fine\n",
		`{"@level":"error","@message":"x"}` + "\n", "no level\n", "\n",
	} {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
	want := fakeSyslog{"info|agent: hello: k=v", "warning|agent: careful", "err|agent: bad [TRACE]", "debug|agent: fine", `err|{"@level":"error","@message":"x"}`, "info|no level", "info|"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSyslogFacilities: each that the configuration takes is known here.
func TestSyslogFacilities(t *testing.T) {
	dir := t.TempDir()
	for name := range facilities {
		file := filepath.Join(dir, name+".hcl")
		text := "data_dir = \"/nonexistent\"\nenable_syslog = true\nsyslog_facility = \"" + strings.ToLower(name) + "\"\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, warnings, err := configs.Load([]string{"-config-file=" + file, "-bind=127.0.0.1"}, configs.SystemHost())
		if err != nil || !s.Log.Syslog || s.Log.SyslogFacility != name || strings.Contains(strings.Join(warnings, " "), "syslog") {
			t.Errorf("%s: %v, %q", name, err, warnings)
		}
	}
}

func TestEveryWriterGoesOn(t *testing.T) {
	var b bytes.Buffer
	closed, err := os.CreateTemp(t.TempDir(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := (everyWriter{closed, &b}).Write([]byte("line")); err == nil || b.String() != "line" {
		t.Errorf("%v, %q", err, b.String())
	}
}
