package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func kvCommand(a *command.App) *command.Command {
	return a.Parent("consul kv <subcommand> [options] [args]", "Reads and writes the key-value store",
		`Reads and writes the keys and values that the servers of a datacenter keep.

    $ consul kv put redis/config/connections 5
    $ consul kv get redis/config/connections
    $ consul kv get -recurse redis/
    $ consul kv delete redis/config/connections`)
}

// oneKey is the command's key. Keys have no leading slash, but people type one.
// For what works on prefixes it may be left out, which is the prefix of all.
func oneKey(c *command.Command, args []string, prefix bool) (string, bool) {
	switch {
	case len(args) > 1:
		c.Fail("Error! Too many arguments (expected 1, got %d)", len(args))
		return "", false
	case len(args) == 0 && prefix:
		return "", true
	case len(args) == 0 || args[0] == "" && !prefix:
		c.Fail("Error! Missing KEY argument")
		return "", false
	}
	return strings.TrimPrefix(args[0], "/"), true
}

// data reads what an argument stands for: a file after @, standard input for a
// dash, and else itself.
func data(c *command.Command, arg string) ([]byte, error) {
	switch {
	case arg == "-":
		text, err := io.ReadAll(c.In)
		if err != nil {
			return nil, fmt.Errorf("Failed to read stdin: %w", err)
		}
		return text, nil
	case strings.HasPrefix(arg, "@"):
		text, err := os.ReadFile(arg[1:])
		if err != nil {
			return nil, fmt.Errorf("Failed to read file: %w", err)
		}
		return text, nil
	}
	return []byte(arg), nil
}

func kvGetCommand(a *command.App) *command.Command {
	c := a.New("consul kv get [options] [KEY_OR_PREFIX]", "Reads keys and values",
		`Prints the value of a key, or what is below a prefix. A key that does not exist is
an error, with exit code 1.

    $ consul kv get redis/config/connections
    $ consul kv get -keys redis/`).WithClient(true)
	g := &getter{Command: c}
	c.Flags.BoolVar(&g.base64, "base64", false, "Print values in base64.")
	c.Flags.BoolVar(&g.detailed, "detailed", false, "Print also the indexes, flags and session of each key.")
	keys := c.Flags.Bool("keys", false, "List the names of keys below a prefix, up to the separator.")
	recurse := c.Flags.Bool("recurse", false, "Print all keys below a prefix, with their values.")
	separator := c.Flags.String("separator", "/", "With -keys: where names end; what is deeper shows as one. Empty: all names in full.")
	c.Do = func(args []string) int {
		key, ok := oneKey(c, args, *keys || *recurse)
		if !ok {
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		switch {
		case *keys:
			return g.names(client, key, *separator)
		case *recurse:
			return g.below(client, key)
		}
		return g.one(client, key)
	}
	return c
}

// getter is one run of kv get.
type getter struct {
	*command.Command
	base64, detailed bool
}

func (g *getter) names(client *api.Client, prefix, separator string) int {
	names, _, err := client.KV().Keys(prefix, separator, g.Query())
	if err != nil {
		return g.failed(err)
	}
	for _, n := range names {
		g.Say("%s", n)
	}
	return 0
}

func (g *getter) below(client *api.Client, prefix string) int {
	pairs, _, err := client.KV().List(prefix, g.Query())
	if err != nil {
		return g.failed(err)
	}
	for i, p := range pairs {
		if !g.detailed {
			g.Say("%s:%s", p.Key, g.value(p))
			continue
		}
		if i > 0 {
			g.Say("")
		}
		g.details(p)
	}
	return 0
}

func (g *getter) one(client *api.Client, key string) int {
	p, _, err := client.KV().Get(key, g.Query())
	switch {
	case err != nil:
		return g.failed(err)
	case p == nil:
		g.Fail("Error! No key exists at: %s", key)
		return 1
	case g.detailed:
		g.details(p)
	default:
		g.Say("%s", g.value(p))
	}
	return 0
}

func (g *getter) failed(err error) int {
	g.Fail("Error querying Consul agent: %s", err)
	return 1
}

func (g *getter) value(p *api.KVPair) string {
	if g.base64 {
		return base64.StdEncoding.EncodeToString(p.Value)
	}
	return string(p.Value)
}

func (g *getter) details(p *api.KVPair) {
	session := p.Session
	if session == "" {
		session = "-"
	}
	for _, line := range []struct {
		name  string
		value any
	}{
		{"CreateIndex", p.CreateIndex}, {"Flags", p.Flags}, {"Key", p.Key}, {"LockIndex", p.LockIndex},
		{"ModifyIndex", p.ModifyIndex}, {"Session", session}, {"Value", g.value(p)},
	} {
		g.Say("%-16s %v", line.name, line.value)
	}
}

func kvPutCommand(a *command.App) *command.Command {
	c := a.New("consul kv put [options] KEY [DATA]", "Writes a key",
		`Writes a value, which replaces the one that the key had. DATA is the value itself,
@FILE for the content of a file, or - for standard input. Without it the value is
empty.

    $ consul kv put redis/config/connections 5
    $ consul kv put redis/config/password @password.txt
    $ consul kv put -cas -modify-index=844 redis/config/connections 6`).WithClient(true)
	p := &putter{Command: c}
	c.Flags.BoolVar(&p.cas, "cas", false, "Write only if the key is as it was at -modify-index; index 0: only if there is none.")
	c.Flags.Uint64Var(&p.index, "modify-index", 0, "With -cas: the ModifyIndex that the key must have.")
	c.Flags.Uint64Var(&p.flags, "flags", 0, "Number to keep with the key; its meaning is yours.")
	c.Flags.BoolVar(&p.base64, "base64", false, "DATA is in base64.")
	c.Flags.StringVar(&p.session, "session", "", "ID of the session for -acquire and -release.")
	c.Flags.BoolVar(&p.acquire, "acquire", false, "Lock the key for the -session.")
	c.Flags.BoolVar(&p.release, "release", false, "Unlock the key, which the -session must hold.")
	c.Do = p.run
	return c
}

// putter is one run of kv put.
type putter struct {
	*command.Command
	cas, base64, acquire, release bool
	index, flags                  uint64
	session                       string
}

func (p *putter) run(args []string) int {
	pair, err := p.pair(args)
	if err != nil {
		p.Fail("Error! %s", err)
		return 1
	}
	client, ok := p.Open()
	if !ok {
		return 1
	}
	write, done, refused := p.how(client.KV(), pair)
	ok, err = write()
	switch {
	case err != nil:
		p.Fail("Error! Failed writing data: %s", err)
		return 1
	case !ok:
		p.Fail("Error! %s", refused)
		return 1
	}
	p.Say("Success! %s: %s", done, pair.Key)
	return 0
}

// pair is what is to be written.
func (p *putter) pair(args []string) (*api.KVPair, error) {
	switch {
	case len(args) == 0 || args[0] == "" || args[0] == "/":
		return nil, errors.New("Missing KEY argument")
	case len(args) > 2:
		return nil, fmt.Errorf("Too many arguments (expected 1 or 2, got %d)", len(args))
	case p.acquire && p.release:
		return nil, errors.New("Cannot specify both -acquire and -release")
	case p.cas && (p.acquire || p.release):
		return nil, errors.New("Cannot specify -cas together with -acquire or -release")
	case p.acquire && p.session == "":
		return nil, errors.New("Missing -session (required with -acquire)")
	case p.release && p.session == "":
		return nil, errors.New("Missing -session (required with -release)")
	}
	var value []byte
	if len(args) == 2 {
		var err error
		if value, err = data(p.Command, args[1]); err != nil {
			return nil, err
		}
	}
	if p.base64 {
		plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(value)))
		if err != nil {
			return nil, fmt.Errorf("Cannot base 64 decode data: %w", err)
		}
		value = plain
	}
	return &api.KVPair{Key: strings.TrimPrefix(args[0], "/"), Value: value, Flags: p.flags, ModifyIndex: p.index, Session: p.session}, nil
}

// how is the way in which the flags want the pair written, what to say when it
// is done, and what when the servers did not do it.
func (p *putter) how(kv *api.KV, pair *api.KVPair) (write func() (bool, error), done, refused string) {
	conditional := func(do func(*api.KVPair, *api.WriteOptions) (bool, *api.WriteMeta, error)) func() (bool, error) {
		return func() (bool, error) {
			ok, _, err := do(pair, p.Write())
			return ok, err
		}
	}
	switch {
	case p.acquire:
		return conditional(kv.Acquire), "Lock acquired on", "Did not acquire lock"
	case p.release:
		return conditional(kv.Release), "Lock released on", "Did not release lock"
	case p.cas && p.index == 0:
		return conditional(kv.CAS), "Data written to", "Did not write to " + pair.Key + ": CAS performed with index=0 and key already exists."
	case p.cas:
		return conditional(kv.CAS), "Data written to", "Did not write to " + pair.Key + ": CAS failed"
	}
	return func() (bool, error) {
		_, err := kv.Put(pair, p.Write())
		return true, err
	}, "Data written to", ""
}

func kvDeleteCommand(a *command.App) *command.Command {
	c := a.New("consul kv delete [options] KEY_OR_PREFIX", "Removes keys",
		`Removes a key, or everything below a prefix. Removing a key that does not exist is
no error.

    $ consul kv delete redis/config/connections
    $ consul kv delete -recurse redis/`).WithClient(true)
	cas := c.Flags.Bool("cas", false, "Remove only if the key is as it was at -modify-index.")
	index := c.Flags.Uint64("modify-index", 0, "With -cas: the ModifyIndex that the key must have; more than 0.")
	recurse := c.Flags.Bool("recurse", false, "Remove all keys that begin so.")
	c.Do = func(args []string) int {
		// A prefix must be given, if only as "": nobody removes everything by chance.
		key, ok := oneKey(c, args, *recurse && len(args) > 0)
		switch {
		case !ok:
			return 1
		case *cas && *recurse:
			c.Fail("Cannot specify both -cas and -recurse.")
			return 1
		case !*cas && *index != 0:
			c.Fail("Cannot specify -modify-index without -cas.")
			return 1
		case *cas && *index == 0:
			c.Fail("Cannot delete a key that does not exist. Provide a -modify-index greater than 0.")
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		return deleteKey(c, client.KV(), &api.KVPair{Key: key, ModifyIndex: *index}, *cas, *recurse)
	}
	return c
}

func deleteKey(c *command.Command, kv *api.KV, p *api.KVPair, cas, recurse bool) int {
	var err error
	deleted, what := true, "key"
	switch {
	case recurse:
		what = "keys with prefix"
		_, err = kv.DeleteTree(p.Key, c.Write())
	case cas:
		deleted, _, err = kv.DeleteCAS(p, c.Write())
	default:
		_, err = kv.Delete(p.Key, c.Write())
	}
	switch {
	case err != nil:
		c.Fail("Error! Failed deleting %s %s: %s", what, p.Key, err)
		return 1
	case !deleted:
		c.Fail("Error! Did not delete key %s: CAS failed", p.Key)
		return 1
	}
	c.Say("Success! Deleted %s: %s", what, p.Key)
	return 0
}
