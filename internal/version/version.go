package version

import "strings"

// Stamped with -ldflags -X; variables, because the linker cannot set constants.
// Nothing else may write them.
var (
	// Version is read by clients as a semantic version whose major and minor
	// number name the API they talk to, so it follows those of the reference
	// that we are compatible with.
	Version = "1.21.0"
	// Prerelease is "dev" or "rc1"; "" for a release.
	Prerelease = "dev"
	// Revision is the commit that the binary was built from, or "".
	Revision = ""
	// BuildDate is the time of that commit in RFC 3339, so that two builds of
	// one commit are the same; the zero time where it is not known.
	BuildDate = "1970-01-01T00:00:01Z"
)

// Human is the version as people read it, 1.21.0-dev.
func Human() string {
	if Prerelease == "" {
		return Version
	}
	return Version + "-" + Prerelease
}

// Build is the version with its revision, 1.21.0:0a1b2c3d, as gossip tags and
// /v1/agent/self carry it.
func Build() string { return Human() + ":" + shortRevision() }

func shortRevision() string {
	r := strings.TrimSpace(Revision)
	return r[:min(len(r), 8)] // 8 digits tell commits of one repository apart
}
