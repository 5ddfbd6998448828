package doctest

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consul.internal/acl"
	"consul.internal/checks"
	"consul.internal/configentry"
	"consul.internal/configs"
	"consul.internal/internal/hclconf"
)

// TestConfigurationBlocks has every block of configuration, rules and entries
// taken by the code that reads such files.
func TestConfigurationBlocks(t *testing.T) {
	count := map[string]int{}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			var err error
			kind := b.lang
			switch {
			case b.lang == "json" && b.has("data"):
				kind, err = "data", json.Unmarshal([]byte(b.text), new(any))
			case b.lang == "hcl" && b.has("rules"):
				kind = "rules"
				_, err = acl.Parse(b.text)
			case b.lang == "hcl" && b.has("entry"):
				kind, err = "entry", takeEntry(b.text)
			case b.lang == "hcl" || b.lang == "json":
				takeConfiguration(t, b)
			default:
				continue
			}
			count[kind]++
			if err != nil {
				t.Errorf("%v: %v", b, err)
			}
		}
	}
	t.Logf("blocks: %v", count)
	for _, kind := range []string{"hcl", "json", "rules", "entry"} {
		if count[kind] == 0 {
			t.Errorf("no block of %s was found", kind)
		}
	}
}

func takeEntry(text string) error {
	root, err := hclconf.Parse("entry.hcl", []byte(text))
	if err != nil {
		return err
	}
	tree, ok := root.Any().(map[string]any)
	if !ok {
		return errors.New("no object")
	}
	e, err := configentry.Decode(tree)
	if err != nil {
		return err
	}
	return e.Prepare()
}

// takeConfiguration has the loader take a block as the file of an agent. What is
// shown must do what it says, so a warning is a mistake.
func takeConfiguration(t *testing.T, b block) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "block."+b.lang)
	if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-config-file=" + path}
	if !strings.Contains(b.text, "data_dir") {
		args = append(args, "-data-dir="+t.TempDir())
	}
	if b.has("server") {
		args = append(args, "-server")
	}
	_, warnings, err := configs.Load(args, someHost(b.text))
	if err != nil {
		t.Errorf("%v: %v", b, err)
	}
	for _, w := range warnings {
		// What is told of one server alone is no mistake, nor that nobody here could
		// be asked.
		if strings.Contains(w, checks.ErrNoServiceManager.Error()) {
			t.Logf("%v is judged but for systemd, which this machine has not", b)
			continue
		}
		if !strings.HasPrefix(w, "bootstrap_expect = 1") {
			t.Errorf("%v: %s", b, w)
		}
	}
}

// someHost is a machine with those of these addresses that a block speaks of, or
// with the first.
func someHost(text string) configs.Host {
	h := configs.SystemHost()
	h.Interfaces = func() ([]configs.Interface, error) {
		lo := configs.Interface{Name: "lo", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}}
		eth := configs.Interface{Name: "eth0"}
		for _, addr := range []string{"10.0.0.1", "10.1.0.1", "192.0.2.1"} {
			if strings.Contains(text, addr+`"`) {
				eth.Addrs = append(eth.Addrs, netip.MustParseAddr(addr))
			}
		}
		if len(eth.Addrs) == 0 {
			eth.Addrs = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
		}
		return []configs.Interface{lo, eth}, nil
	}
	h.Expand = func(text string) (string, error) {
		return strings.ReplaceAll(text, "{{ GetPrivateIP }}", "10.0.0.1"), nil
	}
	return h
}
