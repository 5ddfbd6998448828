package operate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
	"consul.internal/internal/durable"
	"consul.internal/internal/snapfile"
)

func snapshotCommand(a *command.App) *command.Command {
	return a.Parent("consul snapshot <subcommand> [options] [args]", "Saves, restores and inspects the servers' state",
		`Saves the state of the servers as it is at one moment, puts it back after a
disaster, and shows what an archive holds. There are secrets in an archive.

    $ consul snapshot save backup.snap`)
}

func snapshotSaveCommand(a *command.App) *command.Command {
	c := a.New("consul snapshot save [options] FILE", "Saves the servers' state in a file",
		"Saves the servers' state in a file, which is there only when all of it has been\nread back and checked.").WithClient(true)
	appended := c.Flags.String("append-filename", "", "Put into the file's name, before its extension, any of version,dc,node,status (leader or follower).")
	c.Do = func(args []string) int {
		file, ok := c.OneFile(args)
		if !ok {
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		if *appended != "" {
			parts, err := nameParts(client, strings.Split(*appended, ","))
			if err != nil {
				c.Fail("Error naming snapshot file: %s", err)
				return 1
			}
			ext := filepath.Ext(file)
			file = strings.TrimSuffix(file, ext) + "-" + strings.Join(parts, "-") + ext
		}
		archive, meta, err := client.Snapshot().Save(c.Query())
		if err != nil {
			c.Fail("Error saving snapshot: %s", err)
			return 1
		}
		err = keepSnapshot(archive, file)
		if err = errors.Join(err, archive.Close()); err != nil {
			c.Fail("%s", err)
			return 1
		}
		c.Say("Saved and verified snapshot to index %d", meta.LastIndex)
		return 0
	}
	return c
}

// nameParts are what the agent says of itself, in one order whatever the order asked for.
func nameParts(client *api.Client, wanted []string) ([]string, error) {
	known := []string{"version", "dc", "node", "status"}
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("-append-filename knows %s, not %q", strings.Join(known, ", "), w)
		}
	}
	self, err := client.Agent().Self()
	if err != nil {
		return nil, err
	}
	status := "follower"
	if stats, ok := self["Stats"]["consul"].(map[string]any); ok && stats["leader"] == "true" {
		status = "leader"
	}
	value := map[string]any{
		"version": self["Config"]["Version"], "dc": self["Config"]["Datacenter"], "node": self["Config"]["NodeName"], "status": status,
	}
	var parts []string
	for _, k := range known {
		if !slices.Contains(wanted, k) {
			continue
		}
		text, ok := value[k].(string)
		if !ok || text == "" || strings.ContainsAny(text, `/\`) {
			return nil, fmt.Errorf("the agent says nothing useful of its %s", k)
		}
		parts = append(parts, text)
	}
	return parts, nil
}

// keepSnapshot writes an archive to a file, which appears whole and checked or not at all.
func keepSnapshot(archive io.Reader, file string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".unverified.tmp*") // mode 0600
	if err != nil {
		return fmt.Errorf("Error writing unverified snapshot file: %w", err)
	}
	if _, err = io.Copy(tmp, archive); err == nil {
		err = tmp.Sync()
	}
	if err != nil {
		err = fmt.Errorf("Error writing unverified snapshot file: %w", err)
	} else if _, err = tmp.Seek(0, io.SeekStart); err == nil {
		if _, err = snapfile.Verify(tmp); err != nil {
			err = fmt.Errorf("Error verifying snapshot file: %w", err)
		}
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		if err = durable.Rename(tmp.Name(), file); err != nil {
			err = fmt.Errorf("Error renaming snapshot file to its final name: %w", err)
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

func snapshotRestoreCommand(a *command.App) *command.Command {
	c := a.New("consul snapshot restore [options] FILE", "Puts a saved state back",
		"Replaces the state of the servers by that of an archive. All that was written\nsince the archive was saved is lost.").WithClient(true)
	c.Do = func(args []string) int {
		file, ok := c.OneFile(args)
		if !ok {
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		f, err := os.Open(file)
		if err != nil {
			c.Fail("Error opening snapshot file: %s", err)
			return 1
		}
		defer func() { _ = f.Close() }() // it was only read
		if err := client.Snapshot().Restore(c.Write(), f); err != nil {
			c.Fail("Error restoring snapshot: %s", err)
			return 1
		}
		c.Say("Restored snapshot")
		return 0
	}
	return c
}
