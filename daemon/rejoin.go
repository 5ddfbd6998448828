package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"consul.internal/configs"
	"consul.internal/internal/durable"
	"go.uber.org/zap"
)

// presence is the file in which a server notes that it ran, so that one which was
// away for too long does not bring back what others have long forgotten.
type presence struct {
	LastSeenUnix int64 `json:"last_seen_unix"`
}

// presenceEvery is how often that is noted; the least age that may be set is
// several times as long.
const presenceEvery = time.Hour

func presencePath(s *configs.Settings) string {
	if !s.Server.Enabled || s.Dev || s.Paths.DataDir == "" {
		return ""
	}
	return filepath.Join(s.Paths.DataDir, "server_metadata.json")
}

// checkPresence refuses a server that was away for longer than is allowed. A file
// that is missing or cannot be understood says nothing.
func checkPresence(s *configs.Settings, now time.Time) error {
	path := presencePath(s)
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var p presence
	if json.Unmarshal(text, &p) != nil || p.LastSeenUnix <= 0 {
		return nil
	}
	if away := now.Sub(time.Unix(p.LastSeenUnix, 0)); away > s.Server.RejoinAgeMax {
		return fmt.Errorf("refusing to rejoin cluster because server has been offline for more than the configured server_rejoin_age_max (%s) - "+
			"move the data directory %s away so that it begins anew, or raise server_rejoin_age_max", s.Server.RejoinAgeMax, s.Paths.DataDir)
	}
	return nil
}

// notePresence notes now and then that this server runs; "" is nowhere.
func notePresence(ctx context.Context, path string, log *zap.Logger) {
	if path == "" {
		return
	}
	tick := time.NewTicker(presenceEvery)
	defer tick.Stop()
	for {
		text, err := json.Marshal(presence{time.Now().Unix()})
		if err == nil {
			err = durable.WriteFile(path, text)
		}
		if err != nil {
			log.Warn("this server cannot note that it runs", zap.String("file", path), zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
