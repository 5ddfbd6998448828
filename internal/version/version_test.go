package version

import (
	"regexp"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(Version) {
		t.Errorf("version %q is not three numbers", Version)
	}
	if want := Version; !strings.HasPrefix(Human(), want) || !strings.HasPrefix(Build(), want) {
		t.Errorf("%q and %q do not start with %q", Human(), Build(), want)
	}
	if !strings.Contains(Build(), ":") {
		t.Errorf("build %q lacks the colon that clients split at", Build())
	}
}
