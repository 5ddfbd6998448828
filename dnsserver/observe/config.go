package observe

import (
	"path/filepath"

	"consul.internal/internal/fault"
)

// Config says what is shown. The zero value shows nothing.
type Config struct {
	Tap Tap
	Log Log
}

// Tap is the stream of messages (https://dnstap.info).
type Tap struct {
	Socket string // path of the Unix socket that somebody listens on; empty is off
	Sample int    // one exchange of so many; 0 and 1 are all
}

// Log is the log of questions.
type Log struct {
	Sample   int    // one question of so many; 0 is off
	Path     string // of the file; empty is the agent's own log
	MaxBytes int64  // of the file, before another one is begun; 0 is no limit
	Keep     int    // files before the present one that are kept; 0 is all
}

const (
	// logSample is which part of the questions stands in a log that says no more than
	// where it is: at 10,000 questions a second 100 lines.
	logSample = 100
	// logBytes and logFiles keep it from filling a disk.
	logBytes = 100e6
	logFiles = 5
)

// DefaultLog is a log of which no more is said than its path and sample.
func DefaultLog(path string, sample int) Log {
	if path != "" && sample == 0 {
		sample = logSample
	}
	if sample == 0 {
		return Log{}
	}
	return Log{Path: path, Sample: sample, MaxBytes: logBytes, Keep: logFiles}
}

// On reports whether anything is shown.
func (c *Config) On() bool { return c.Tap.Socket != "" || c.Log.Sample > 0 }

// Validate reports what is wrong with the configuration.
func (c *Config) Validate() error {
	switch {
	case c.Tap.Socket != "" && !filepath.IsAbs(c.Tap.Socket):
		return fault.Newf(fault.Invalid, "dns_config.dnstap.socket: %q is not an absolute path", c.Tap.Socket)
	case len(c.Tap.Socket) > maxSocket:
		return fault.Newf(fault.Invalid, "dns_config.dnstap.socket: a path of a Unix socket has at most %d bytes", maxSocket)
	case c.Tap.Sample < 0:
		return fault.Newf(fault.Invalid, "dns_config.dnstap.sample: %d is negative", c.Tap.Sample)
	case c.Log.Path != "" && !filepath.IsAbs(c.Log.Path):
		return fault.Newf(fault.Invalid, "dns_config.query_log.path: %q is not an absolute path", c.Log.Path)
	case c.Log.Sample < 0:
		return fault.Newf(fault.Invalid, "dns_config.query_log.sample: %d is negative", c.Log.Sample)
	case c.Log.MaxBytes < 0 || c.Log.Keep < 0:
		return fault.Newf(fault.Invalid, "dns_config.query_log: rotate_bytes and rotate_max_files must not be negative")
	}
	return nil
}

// maxSocket is what the system has room for (sockaddr_un).
const maxSocket = 107
