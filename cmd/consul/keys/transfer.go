package keys

import (
	"encoding/json"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// entry is a key in an export. encoding/json writes bytes in base64.
type entry struct {
	Key   string `json:"key"`
	Flags uint64 `json:"flags"`
	Value []byte `json:"value"`
}

func kvExportCommand(a *command.App) *command.Command {
	c := a.New("consul kv export [options] [PREFIX]", "Prints keys as JSON",
		`Prints all keys below a prefix, with values and flags, as JSON that "consul kv
import" takes.

    $ consul kv export vault/ > vault.json`).WithClient(true)
	c.Do = func(args []string) int {
		prefix, ok := oneKey(c, args, true)
		if !ok {
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		pairs, _, err := client.KV().List(prefix, c.Query())
		if err != nil {
			c.Fail("Error querying Consul agent: %s", err)
			return 1
		}
		list := make([]entry, len(pairs))
		for i, p := range pairs {
			list[i] = entry{p.Key, p.Flags, p.Value}
			if p.Value == nil {
				list[i].Value = []byte{} // "" and not null, which other tools choke on
			}
		}
		return c.JSON(list, "\t")
	}
	return c
}

func kvImportCommand(a *command.App) *command.Command {
	c := a.New("consul kv import [options] [DATA]", "Writes keys from JSON",
		`Writes the keys of an export. DATA is the JSON itself, @FILE for the content of a
file, or - for standard input. Keys that are there are replaced, and the others are
left alone. The import is no transaction: what was written before an error stays.

    $ consul kv import @vault.json
    $ consul kv export vault/ | consul kv import -http-addr=other:8500 -`).WithClient(true)
	prefix := c.Flags.String("prefix", "", "Put before the name of each key.")
	c.Do = func(args []string) int {
		switch {
		case len(args) == 0:
			c.Fail("Error! Missing DATA argument")
			return 1
		case len(args) > 1:
			c.Fail("Error! Too many arguments (expected 1, got %d)", len(args))
			return 1
		}
		text, err := data(c, args[0])
		if err != nil {
			c.Fail("Error! %s", err)
			return 1
		}
		var list []entry
		if err := json.Unmarshal(text, &list); err != nil {
			c.Fail("Cannot unmarshal data: %s", err)
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		for _, e := range list {
			key := strings.TrimPrefix(*prefix+e.Key, "/")
			if _, err := client.KV().Put(&api.KVPair{Key: key, Flags: e.Flags, Value: e.Value}, c.Write()); err != nil {
				c.Fail("Error! Failed writing data for key %s: %s", key, err)
				return 1
			}
			c.Say("Imported: %s", key)
		}
		return 0
	}
	return c
}
