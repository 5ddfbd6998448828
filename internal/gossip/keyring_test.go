package gossip

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
)

const (
	keyA  = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
	keyB  = "HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8="
	key16 = "AAECAwQFBgcICQoLDA0ODw=="
)

func fileKeys(t *testing.T, path string) (keys []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeyring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		dir := t.TempDir()
		path := func(i int) string { return filepath.Join(dir, "serf", string(rune('a'+i)), "local.keyring") }
		mod := func(i int) Config {
			c := l.config(i)
			c.Encryption.Keys, c.Encryption.KeyringFile = []string{keyA}, path(i)
			return c
		}
		var pools []*Pool
		for i := range 3 {
			p := l.open(mod(i))
			if i > 0 {
				if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
					t.Fatal(err)
				}
			}
			pools = append(pools, p)
		}
		l.await(15*time.Second, "three", func() bool { return count(pools[0], StatusAlive) == 3 && count(pools[2], StatusAlive) == 3 })
		if pools[0].Keys() == 0 || pools[0].Stats()["encrypted"] != "true" {
			t.Error("not encrypted")
		}
		res, err := pools[0].Keyring(t.Context(), ListKeys, "", 0)
		if err != nil || res.NumNodes != 3 || res.NumResp != 3 || res.Keys[keyA] != 3 || res.PrimaryKeys[keyA] != 3 {
			t.Errorf("%+v %v", res, err)
		}
		for _, op := range []KeyOp{InstallKey, UseKey} {
			if res, err := pools[1].Keyring(t.Context(), op, keyB, 2); err != nil {
				t.Errorf("%s: %+v %v", op, res, err)
			}
		}
		if res, err := pools[1].Keyring(t.Context(), RemoveKey, keyB, 0); !errors.Is(err, fault.Conflict) || res.NumErr != 3 ||
			!strings.Contains(res.Messages["n2"], "primary key") || err.Error() != "3/3 nodes reported failure" {
			t.Errorf("remove the key in use: %+v %v", res, err)
		}
		time.Sleep(2 * time.Second)
		for i := range 3 {
			if keys := fileKeys(t, path(i)); len(keys) != 2 || keys[0] != keyB {
				t.Errorf("file %d has %v", i, keys)
			}
			if info, err := os.Stat(path(i)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info, err)
			}
			if _, err := os.Stat(path(i) + nextSuffix); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%v", err)
			}
		}
		if res, err := pools[2].Keyring(t.Context(), RemoveKey, keyA, 0); err != nil {
			t.Errorf("remove the old key: %+v %v", res, err)
		}
		// A member that is gone is named.
		l.net.Isolate(ip(1))
		res, err = pools[0].Keyring(t.Context(), ListKeys, "", 0)
		if err == nil || len(res.Silent) != 1 || res.Silent[0] != "n1" || err.Error() != "2/3 nodes reported success" {
			t.Errorf("%+v %v", res, err)
		}
		l.net.HealAll()
		// Nobody with the old key, or without one, comes in; each learns why.
		for i, keys := range [][]string{{keyA}, {key16}, nil} {
			c := l.config(10 + i)
			c.Encryption.Keys = keys
			p := l.open(c)
			_, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true)
			if !errors.Is(err, fault.Denied) || !strings.Contains(err.Error(), "key") {
				t.Errorf("join with keys %v: %v", keys, err)
			}
			if _, ok := pools[0].Member(c.Name); ok || len(p.Members()) != 1 {
				t.Errorf("keys %v let somebody in", keys)
			}
			l.close(p)
		}
		plain := l.open(l.config(20))
		c := l.config(21)
		c.Encryption.Keys = []string{keyA}
		keyed := l.open(c)
		if _, err := keyed.Join(t.Context(), []string{plain.Advertised().String()}, true); !errors.Is(err, fault.Denied) {
			t.Errorf("keyed to plain: %v", err)
		}
		// The file goes before the configured key after a restart.
		l.close(append(pools, plain, keyed)...)
		p := l.open(mod(0))
		if res, err := p.Keyring(t.Context(), ListKeys, "", 0); err != nil || res.PrimaryKeys[keyB] != 1 || res.Keys[keyA] != 0 {
			t.Errorf("after a restart: %+v %v", res, err)
		}
		l.close(p)
	})
}

func TestKeyringFile(t *testing.T) {
	for name, c := range map[string]struct {
		file, next string // "-" = not there
		keys       []string
		memory     bool
		primary    string
		want       string // part of the error
	}{
		"none":                {"-", "-", nil, false, "", ""},
		"first start":         {"-", "-", []string{keyA}, false, keyA, ""},
		"file only":           {`["` + keyB + `"]`, "-", nil, false, keyB, ""},
		"file wins":           {`["` + keyB + `"]`, "-", []string{keyA}, false, keyB, ""},
		"changed just before": {`["` + keyB + `"]`, `["` + keyA + `","` + keyB + `"]`, nil, false, keyA, ""},
		"torn change":         {`["` + keyB + `"]`, `["` + keyA, nil, false, keyB, ""},
		"empty":               {"", "-", []string{keyA}, false, "", "is empty"},
		"no keys":             {"[]", "-", []string{keyA}, false, "", "no keys"},
		"damaged":             {`["` + keyB, "-", nil, false, "", "damaged"},
		"short key":           {`["AAAA"]`, "-", nil, false, "", "3 bytes"},
		"memory":              {"-", "-", []string{keyA}, true, keyA, ""},
		"was encrypted":       {`["` + keyB + `"]`, "-", nil, true, "", "was encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			path := filepath.Join(t.TempDir(), "local.keyring")
			for suffix, text := range map[string]string{"": c.file, nextSuffix: c.next} {
				if text != "-" {
					if err := os.WriteFile(path+suffix, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			cfg := l.config(1)
			cfg.Encryption.KeyringFile, cfg.Encryption.Keys, cfg.Encryption.InMemory = path, c.keys, c.memory
			p := l.make(cfg)
			err := p.Open(t.Context())
			defer p.Close()
			if c.want != "" {
				if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || p.Keys() > 0 != (c.primary != "") {
				t.Fatalf("%v %v", err, p.Keys())
			}
			if c.primary != "" && EncodeKey(p.keys.GetPrimaryKey()) != c.primary {
				t.Errorf("encrypts with %s", EncodeKey(p.keys.GetPrimaryKey()))
			}
			if c.primary != "" && !c.memory && fileKeys(t, path)[0] != c.primary {
				t.Errorf("file has %v", fileKeys(t, path))
			}
		})
	}
}
