package operate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/cmd/consul/commandtest"
	"consul.internal/internal/snapfile"
)

// someState is a state with records of some tables.
func someState(t *testing.T) []byte {
	t.Helper()
	var payload bytes.Buffer
	enc := cbor.NewEncoder(&payload)
	put := func(v any) {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	counts := map[string]uint64{}
	rec := func(table, key string, size int) {
		raw, err := cbor.Marshal(map[string]string{"Key": key, "Value": strings.Repeat("v", size)})
		if err != nil {
			t.Fatal(err)
		}
		put(snapfile.Record{Table: table, Raw: raw})
		counts[table]++
	}
	put(snapfile.Header{Magic: "consul-state", Format: 1, Index: 17})
	rec("nodes", "n1", 1000)
	rec("services", "s1", 2000)
	rec("keys", "app/web/a", 100)
	rec("keys", "app/web/b", 100)
	rec("keys", "other", 10)
	put(snapfile.Record{Counts: counts})
	var b bytes.Buffer
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(payload.Len())))
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(payload.Bytes(), crc32.MakeTable(crc32.Castagnoli))))
	sum := sha256.Sum256(payload.Bytes())
	b.Write(payload.Bytes())
	b.Write(make([]byte, 8))
	b.Write(sum[:])
	return b.Bytes()
}

func someArchive(t *testing.T) []byte {
	t.Helper()
	state := someState(t)
	var b bytes.Buffer
	if err := snapfile.Write(&b, snapfile.Meta{ID: "2-17-5", Index: 17, Term: 2, Size: int64(len(state))}, bytes.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// snapshotAgent is an agent that gives one archive and takes any.
func snapshotAgent(t *testing.T, archive []byte) (taken *bytes.Buffer, asked *[]string) {
	t.Helper()
	taken, asked = new(bytes.Buffer), new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.RequestURI())
		switch {
		case r.URL.Path == "/v1/agent/self":
			_, _ = io.WriteString(w, `{"Config":{"Version":"1.21.0","Datacenter":"dc1","NodeName":"n1"},"Stats":{"consul":{"leader":"true"}}}`)
		case r.Method == http.MethodGet:
			w.Header().Set("X-Consul-Index", "17")
			_, _ = w.Write(archive)
		default:
			if _, err := taken.ReadFrom(r.Body); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("CONSUL_HTTP_ADDR", s.URL)
	return taken, asked
}

func TestSnapshotSaveAndRestore(t *testing.T) {
	archive := someArchive(t)
	taken, asked := snapshotAgent(t, archive)
	dir := t.TempDir()
	t.Chdir(dir)
	for args, file := range map[string]string{
		"state.snap": "state.snap", "-stale other": "other",
		"-append-filename=node,status,version,dc b.tgz": "b-1.21.0-dc1-n1-leader.tgz", "-append-filename=version v.snap": "v-1.21.0.snap",
	} {
		code, out, errs := execute(t, append([]string{"snapshot", "save"}, strings.Fields(args)...)...)
		if code != 0 || out != "Saved and verified snapshot to index 17\n" || errs != "" {
			t.Errorf("%s: exit %d, %q, %q", args, code, out, errs)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, archive) {
			t.Errorf("%s: %d bytes, %v", file, len(got), err)
		}
		if info, err := os.Stat(file); err == nil && info.Mode() != 0o600 {
			t.Errorf("%s: mode %v", file, info.Mode())
		}
	}
	if !strings.Contains(strings.Join(*asked, "\n"), "GET /v1/snapshot?stale=") {
		t.Errorf("asked %q", *asked)
	}
	if code, out, errs := execute(t, "snapshot", "restore", "state.snap"); code != 0 || out != "Restored snapshot\n" || !bytes.Equal(taken.Bytes(), archive) {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

func TestSnapshotFailures(t *testing.T) {
	archive := someArchive(t)
	archive[len(archive)/2] ^= 1
	_, asked := snapshotAgent(t, archive)
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("bad.snap", []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []commandtest.Case{
		{Args: []string{"snapshot", "save", "damaged.snap"}, Errs: "Error verifying snapshot file: "},
		{Args: []string{"snapshot", "save", "no/such/x.snap"}, Errs: "Error writing unverified snapshot file: open no/such/x.snap.unverified.tmp"},
		{Args: []string{"snapshot", "save"}, Errs: "Missing FILE argument\n", NotAsked: true},
		{Args: []string{"snapshot", "save", "a", "b"}, Errs: "Too many arguments (expected 1, got 2)\n", NotAsked: true},
		{Args: []string{"snapshot", "save", "-append-filename=weather", "x"}, Errs: "Error naming snapshot file: -append-filename knows version, dc, node, status, not \"weather\"", NotAsked: true},
		{Args: []string{"snapshot", "save", "-http-addr=127.0.0.1:1", "x"}, Errs: "Error saving snapshot: "},
		{Args: []string{"snapshot", "restore", "nothere.snap"}, Errs: "Error opening snapshot file: open nothere.snap: no such file or directory\n", NotAsked: true},
		{Args: []string{"snapshot", "restore", "-http-addr=127.0.0.1:1", "bad.snap"}, Errs: "Error restoring snapshot: "},
		{Args: []string{"snapshot", "inspect", "nothere.snap"}, Errs: "Error opening snapshot file: open nothere.snap: no such file or directory\n", NotAsked: true},
		{Args: []string{"snapshot", "inspect", "bad.snap"}, Errs: "Error reading snapshot: failed to decompress snapshot: unexpected EOF\n", NotAsked: true},
		{Args: []string{"snapshot", "inspect", "-format=xml", "bad.snap"}, Errs: "Unknown format: xml\n", NotAsked: true},
		{Args: []string{"snapshot", "inspect"}, Errs: "Missing FILE argument\n", NotAsked: true},
		{Args: []string{"snapshot"}, Errs: "Usage: consul snapshot <subcommand> [options] [args]\n", NotAsked: true},
	} {
		tt.Code, tt.ErrsPrefix = 1, true
		tt.Check(t, Commands(), asked)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSnapshotInspect(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s.snap")
	if err := os.WriteFile(file, someArchive(t), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := execute(t, "snapshot", "inspect", file)
	plain := regexp.MustCompile(`^ ID +2-17-5\n Size +\d+\n Index +17\n Term +2\n Version +1\n\n` +
		` Type +Count +Size\n ---- +---- +----\n Register +2 +3\.0KB\n KVS +3 +\d+B\n ---- +---- +----\n Total +3\.2KB\n$`)
	if code != 0 || !plain.MatchString(out) {
		t.Errorf("exit %d, %q\n%s", code, errs, out)
	}
	for args, want := range map[string]string{
		"-kvdetails":                        ` app/web +2 +\d+B\n other +1 +\d+B\n ---- +---- +----\n Total +\d+B\n$`,
		"-kvdetails -kvdepth=1":             ` Key Name +Count +Size\n ---- +---- +----\n app +2 +\d+B\n other +1 `,
		"-kvdetails -kvdepth 9":             ` app/web/a +1 +\d+B\n app/web/b +1 `,
		"-kvdetails -kvfilter=app/web/b":    ` Key Name +Count +Size\n ---- +---- +----\n app/web +1 +\d+B\n ----`,
		"-kvdetails -kvfilter=nothing/here": ` Key Name +Count +Size\n ---- +---- +----\n ---- +---- +----\n Total +0B\n$`,
	} {
		if code, out, errs := execute(t, append(append([]string{"snapshot", "inspect"}, strings.Fields(args)...), file)...); code != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s: exit %d, %q\n%s", args, code, errs, out)
		}
	}
	_, out, _ = execute(t, "snapshot", "inspect", "-format=JSON", "-kvdetails", file)
	var in snapfile.Inspection
	if err := json.Unmarshal([]byte(out), &in); err != nil || in.Meta.Index != 17 || len(in.Stats) != 2 || in.Stats[0].Name != "Register" || len(in.StatsKV) != 2 || in.TotalSizeKV == 0 {
		t.Errorf("%v\n%s", err, out)
	}

	// Taken out of the archive, and damaged.
	raw := someState(t)
	state := filepath.Join(dir, "state.bin")
	if err := os.WriteFile(filepath.Join(dir, "meta.json"), []byte(`{"Version":1,"ID":"2-17-5","Index":17}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := execute(t, "snapshot", "inspect", state); code != 0 || !strings.Contains(out, "Register") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(state, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := execute(t, "snapshot", "inspect", state); code != 1 || !strings.Contains(errs, "checksum") {
		t.Errorf("damaged: exit %d, %q", code, errs)
	}
}
