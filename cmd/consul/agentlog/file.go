package agentlog

import (
	"os"
	"path/filepath"
	"strings"

	"consul.internal/configs"
	"consul.internal/internal/rotate"
)

// logFileName is used where log_file names a directory.
const logFileName = "consul.log"

// openLogFile opens the configured file, or returns nil if there is none.
func openLogFile(c configs.Log) (*rotate.File, error) {
	if c.File == "" {
		return nil, nil
	}
	path := c.File
	if strings.HasSuffix(path, "/") {
		path = filepath.Join(path, logFileName)
	} else if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, logFileName)
	} else if filepath.Ext(path) == "" {
		path += ".log" // as it is known
	}
	return rotate.Open(rotate.Config{Path: path, MaxAge: c.RotateDuration, MaxBytes: int64(c.RotateBytes), Keep: c.RotateMaxFiles})
}
