package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"

	"consul.internal/internal/durable"
)

// clusterFile remembers the cluster's ID from the moment it is minted, before
// there is a log that could hold it. Once the state knows the ID, that one holds.
type clusterFile struct{ ID string }

const clusterMagic = "consul-cluster 1 "

// readClusterFile returns the ID in the file, "" when there is no file.
func readClusterFile(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	head, body, _ := bytes.Cut(raw, []byte("\n"))
	var c clusterFile
	if string(head) != clusterHead(body) || json.Unmarshal(body, &c) != nil || c.ID == "" {
		return "", &Damage{Path: path, What: "its checksum is wrong"}
	}
	return c.ID, nil
}

func writeClusterFile(path, id string) error {
	body, err := json.Marshal(clusterFile{ID: id})
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append([]byte(clusterHead(body)+"\n"), body...))
}

func clusterHead(body []byte) string {
	return fmt.Sprintf("%s%08x", clusterMagic, crc32.Checksum(body, castagnoli))
}
