package daemon

import (
	"errors"
	"fmt"
	"hash/crc32"
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
	if err = nil; id != kept {
		// Without a sum nothing is refused: it goes first and comes last.
		if err = durable.Remove(path + sumSuffix); err == nil {
			err = durable.WriteFile(path, []byte(id+"\n"))
		}
	}
	if sum, _ := os.ReadFile(path + sumSuffix); err == nil && strings.TrimSpace(string(sum)) != idSum(id) {
		err = durable.WriteFile(path+sumSuffix, []byte(idSum(id)+"\n"))
	}
	if err != nil {
		return "", fmt.Errorf("cannot write to the data directory %s (data_dir); it must belong to user %d, whom this agent runs as: %w", dir, os.Getuid(), err)
	}
	return id, nil
}

// sumSuffix names the file beside the node ID that tells whether that is still
// what was written: one flipped bit can make another UUID of it, and a server of
// another identity.
const sumSuffix = ".sum"

func idSum(id string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(id), crc32.MakeTable(crc32.Castagnoli)))
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
	switch sum, err := os.ReadFile(path + sumSuffix); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	case strings.TrimSpace(string(sum)) != idSum(id):
		return "", fmt.Errorf("the file %s holds another node ID than was written there: put the right one back (the other servers know it: consul operator raft list-peers), "+
			"set node_id, or, if the change was meant, remove %s", path, path+sumSuffix)
	}
	return id, nil
}
