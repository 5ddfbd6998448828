package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"consul.internal/configs"
	"consul.internal/internal/durable"
	"github.com/hashicorp/go-uuid"
)

// nodeID takes the node's ID from the settings, else from the data directory,
// else mints one. It is kept in the data directory: the cluster knows a server
// by it, whatever its address.
func nodeID(s *configs.Settings) (string, error) {
	dir := s.Paths.DataDir
	if dir == "" {
		if s.Node.ID != "" {
			return s.Node.ID, nil
		}
		return uuid.GenerateUUID()
	}
	if err := durable.MkdirAll(dir); err != nil {
		return "", fmt.Errorf("cannot make the data directory %s (data_dir) as user %d: %w", dir, os.Getuid(), err)
	}
	path := filepath.Join(dir, "node-id")
	kept, err := readNodeID(path)
	if err != nil && s.Node.ID == "" {
		return "", err
	}
	id := s.Node.ID
	if id == "" {
		id = kept
	}
	if id == "" {
		if id, err = uuid.GenerateUUID(); err != nil {
			return "", err
		}
	}
	if id == kept {
		return id, nil
	}
	if err := durable.WriteFile(path, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("cannot write to the data directory %s (data_dir); it must belong to user %d, whom this agent runs as: %w", dir, os.Getuid(), err)
	}
	return id, nil
}

// readNodeID returns "" if there is no file yet.
func readNodeID(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	id := strings.ToLower(strings.TrimSpace(string(text)))
	if _, err := uuid.ParseUUID(id); err != nil {
		return "", fmt.Errorf("the file %s does not hold a UUID (%w): write this node's ID into it, set node_id, or, on a client, remove the file to give the node a new ID", path, err)
	}
	return id, nil
}
