package keys

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"consul.internal/cmd/consul/commandtest"
)

// keeper is an agent with a few keys that writes down what it is asked to change.
// What is to be refused has refused in its key.
func keeper(t *testing.T) *[]string {
	t.Helper()
	var seen []string
	const web = `{"LockIndex":1,"Key":"web/a","Flags":42,"Value":"b25l","Session":"s1","CreateIndex":5,"ModifyIndex":7}`
	const nul = `{"LockIndex":0,"Key":"web/b","Flags":0,"Value":null,"CreateIndex":6,"ModifyIndex":6}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		_, keys := r.URL.Query()["keys"]
		_, recurse := r.URL.Query()["recurse"]
		answer := "true"
		switch {
		case r.Method != http.MethodGet:
			if strings.Contains(r.URL.Path, "refused") {
				answer = "false"
			}
			if strings.Contains(r.URL.Path, "broken") {
				http.Error(w, "no leader", http.StatusInternalServerError)
				return
			}
		case keys:
			answer = `["web/a","web/b"]`
		case recurse && r.URL.Path != "/v1/kv/none":
			answer = "[" + web + "," + nul + "]"
		case r.URL.Path == "/v1/kv/web/a":
			answer = "[" + web + "]"
		case r.URL.Path == "/v1/kv/web/b":
			answer = "[" + nul + "]"
		default:
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	t.Setenv("CONSUL_HTTP_ADDR", s.URL)
	return &seen
}

func words(s string) []string { return strings.Fields(s) }

func TestGet(t *testing.T) {
	seen := keeper(t)
	const details = "CreateIndex      5\nFlags            42\nKey              web/a\nLockIndex        1\nModifyIndex      7\nSession          s1\nValue            one\n"
	const second = "CreateIndex      6\nFlags            0\nKey              web/b\nLockIndex        0\nModifyIndex      6\nSession          -\nValue            \n"
	for _, tt := range []commandtest.Case{
		{Args: words("kv get web/a"), Out: "one\n", Asked: "GET /v1/kv/web/a "},
		{Args: words("kv get /web/a"), Out: "one\n", Asked: "GET /v1/kv/web/a "},
		{Args: words("kv get -base64 web/a"), Out: "b25l\n"},
		{Args: words("kv get web/b"), Out: "\n"},
		{Args: words("kv get -detailed web/a"), Out: details},
		{Args: words("kv get -detailed -base64 web/a"), Out: strings.Replace(details, "one", "b25l", 1)},
		{Args: words("kv get -recurse web"), Out: "web/a:one\nweb/b:\n", Asked: "GET /v1/kv/web?recurse="},
		{Args: words("kv get -recurse -base64"), Out: "web/a:b25l\nweb/b:\n", Asked: "GET /v1/kv/?recurse="},
		{Args: words("kv get -recurse -detailed web"), Out: details + "\n" + second},
		{Args: words("kv get -recurse none")},
		{Args: words("kv get -keys"), Out: "web/a\nweb/b\n", Asked: "GET /v1/kv/?keys=&separator=%2F"},
		{Args: words("kv get -keys -separator= -datacenter=dc2 -stale w"), Out: "web/a\nweb/b\n", Asked: "GET /v1/kv/w?dc=dc2&keys=&stale="},
		{Args: words("kv get none"), Code: 1, Errs: "Error! No key exists at: none\n"},
		{Args: words("kv get"), Code: 1, Errs: "Error! Missing KEY argument\n", NotAsked: true},
		{Args: words("kv get a b"), Code: 1, Errs: "Error! Too many arguments (expected 1, got 2)\n", NotAsked: true},
		{Args: words("kv get -http-addr=127.0.0.1:1 a"), Code: 1, Errs: "Error querying Consul agent: Get ", ErrsPrefix: true},
	} {
		tt.Check(t, Commands(), seen)
	}
}

func TestPut(t *testing.T) {
	seen := keeper(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("data.txt", []byte("of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []commandtest.Case{
		{Args: words("kv put foo bar"), Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo bar"},
		{Args: words("kv put /foo"), Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo "},
		{Args: words("kv put -flags=42 foo x"), Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo?flags=42 x"},
		{Args: words("kv put foo -"), Stdin: "in\n", Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo in\n"},
		{Args: words("kv put foo @data.txt"), Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo of a file"},
		{Args: words("kv put -base64 foo -"), Stdin: "aGVsbG8=\n", Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo hello"},
		{Args: words("kv put -cas -modify-index=0 foo x"), Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo?cas=0 x"},
		{Args: words("kv put -cas -modify-index=9 foo x"), Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo?cas=9 x"},
		{Args: words("kv put -modify-index=9 foo x"), Out: "Success! Data written to: foo\n", Asked: "PUT /v1/kv/foo x"},
		{Args: words("kv put -acquire -session=s1 foo x"), Out: "Success! Lock acquired on: foo\n", Asked: "PUT /v1/kv/foo?acquire=s1 x"},
		{Args: words("kv put -release -session=s1 foo x"), Out: "Success! Lock released on: foo\n", Asked: "PUT /v1/kv/foo?release=s1 x"},
		{Args: words("kv put -cas refused x"), Code: 1, Errs: "Error! Did not write to refused: CAS performed with index=0 and key already exists.\n"},
		{Args: words("kv put -cas -modify-index=1 refused x"), Code: 1, Errs: "Error! Did not write to refused: CAS failed\n"},
		{Args: words("kv put -acquire -session=s1 refused"), Code: 1, Errs: "Error! Did not acquire lock\n"},
		{Args: words("kv put -release -session=s1 refused"), Code: 1, Errs: "Error! Did not release lock\n"},
		{Args: words("kv put broken x"), Code: 1, Errs: "Error! Failed writing data: ", ErrsPrefix: true},
		{Args: words("kv put -acquire foo"), Code: 1, Errs: "Error! Missing -session (required with -acquire)\n", NotAsked: true},
		{Args: words("kv put -release foo"), Code: 1, Errs: "Error! Missing -session (required with -release)\n", NotAsked: true},
		{Args: words("kv put -acquire -release -session=s foo"), Code: 1, Errs: "Error! Cannot specify both -acquire and -release\n", NotAsked: true},
		{Args: words("kv put foo @nothere.txt"), Code: 1, Errs: "Error! Failed to read file: open nothere.txt: no such file or directory\n", NotAsked: true},
		{Args: words("kv put -base64 foo ***"), Code: 1, Errs: "Error! Cannot base 64 decode data: ", ErrsPrefix: true, NotAsked: true},
		{Args: words("kv put"), Code: 1, Errs: "Error! Missing KEY argument\n", NotAsked: true},
		{Args: []string{"kv", "put", "", "x"}, Code: 1, Errs: "Error! Missing KEY argument\n", NotAsked: true},
		{Args: words("kv put a b c"), Code: 1, Errs: "Error! Too many arguments (expected 1 or 2, got 3)\n", NotAsked: true},
	} {
		tt.Check(t, Commands(), seen)
	}
}

func TestDelete(t *testing.T) {
	seen := keeper(t)
	for _, tt := range []commandtest.Case{
		{Args: words("kv delete /foo"), Out: "Success! Deleted key: foo\n", Asked: "DELETE /v1/kv/foo "},
		{Args: words("kv delete -recurse foo/"), Out: "Success! Deleted keys with prefix: foo/\n", Asked: "DELETE /v1/kv/foo/?recurse= "},
		{Args: []string{"kv", "delete", "-recurse", ""}, Out: "Success! Deleted keys with prefix: \n", Asked: "DELETE /v1/kv/?recurse= "},
		{Args: words("kv delete -cas -modify-index=3 foo"), Out: "Success! Deleted key: foo\n", Asked: "DELETE /v1/kv/foo?cas=3 "},
		{Args: words("kv delete -cas -modify-index=3 refused"), Code: 1, Errs: "Error! Did not delete key refused: CAS failed\n"},
		{Args: words("kv delete broken"), Code: 1, Errs: "Error! Failed deleting key broken: ", ErrsPrefix: true},
		{Args: words("kv delete -recurse"), Code: 1, Errs: "Error! Missing KEY argument\n", NotAsked: true},
		{Args: words("kv delete"), Code: 1, Errs: "Error! Missing KEY argument\n", NotAsked: true},
		{Args: words("kv delete -cas foo"), Code: 1, Errs: "Cannot delete a key that does not exist. Provide a -modify-index greater than 0.\n", NotAsked: true},
		{Args: words("kv delete -cas -recurse -modify-index=1 foo"), Code: 1, Errs: "Cannot specify both -cas and -recurse.\n", NotAsked: true},
		{Args: words("kv delete -modify-index=1 foo"), Code: 1, Errs: "Cannot specify -modify-index without -cas.\n", NotAsked: true},
	} {
		tt.Check(t, Commands(), seen)
	}
}

func TestExportAndImport(t *testing.T) {
	seen := keeper(t)
	const exported = "[\n\t{\n\t\t\"key\": \"web/a\",\n\t\t\"flags\": 42,\n\t\t\"value\": \"b25l\"\n\t},\n\t{\n\t\t\"key\": \"web/b\",\n\t\t\"flags\": 0,\n\t\t\"value\": \"\"\n\t}\n]\n"
	var list []entry
	if err := json.Unmarshal([]byte(exported), &list); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("dump.json", []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []commandtest.Case{
		{Args: words("kv export web/"), Out: exported, Asked: "GET /v1/kv/web/?recurse= "},
		{Args: words("kv export"), Out: exported},
		{Args: words("kv export none"), Out: "[]\n"},
		{Args: words("kv export a b"), Code: 1, Errs: "Error! Too many arguments (expected 1, got 2)\n", NotAsked: true},
		{Args: words("kv import -"), Stdin: exported, Out: "Imported: web/a\nImported: web/b\n", Asked: "PUT /v1/kv/web/a?flags=42 one\nPUT /v1/kv/web/b "},
		{Args: words("kv import -prefix=old/ @dump.json"), Out: "Imported: old/web/a\nImported: old/web/b\n", Asked: "PUT /v1/kv/old/web/a?flags=42 one"},
		{Args: []string{"kv", "import", `[{"key":"k","flags":0,"value":"eA=="}]`}, Out: "Imported: k\n", Asked: "PUT /v1/kv/k x"},
		{Args: []string{"kv", "import", `[{"key":"k","value":"eA=="},{"key":"broken"}]`}, Code: 1, Out: "Imported: k\n", Errs: "Error! Failed writing data for key broken: ", ErrsPrefix: true},
		{Args: words("kv import -"), Stdin: "zzz\n", Code: 1, Errs: "Cannot unmarshal data: invalid character 'z' looking for beginning of value\n", NotAsked: true},
		{Args: words("kv import @nothere.json"), Code: 1, Errs: "Error! Failed to read file: open nothere.json: no such file or directory\n", NotAsked: true},
		{Args: words("kv import"), Code: 1, Errs: "Error! Missing DATA argument\n", NotAsked: true},
		{Args: words("kv import a b"), Code: 1, Errs: "Error! Too many arguments (expected 1, got 2)\n", NotAsked: true},
	} {
		tt.Check(t, Commands(), seen)
	}
}

func TestEvent(t *testing.T) {
	seen := commandtest.Answering(t, map[string]string{"/v1/event/fire/deploy": `{"ID":"e1"}`})
	for _, tt := range []commandtest.Case{
		{Args: words("event -name=deploy payload"), Out: "Event ID: e1\n", Asked: "PUT /v1/event/fire/deploy "},
		{Args: words("event -name=deploy -node=n.* -service=web -tag=x"), Out: "Event ID: e1\n", Asked: "PUT /v1/event/fire/deploy?node=n.%2A&service=web&tag=x "},
		{Args: words("event"), Code: 1, Errs: "Event name must be specified\n\nUsage: consul event [options] [payload]\n", ErrsPrefix: true, NotAsked: true},
		{Args: words("event -name=deploy -node=["), Code: 1, Errs: "Failed to compile node filter regexp: error parsing regexp: missing closing ]: `[`\n", NotAsked: true},
		{Args: words("event -name=deploy -tag=x"), Code: 1, Errs: "Cannot provide tag filter without service filter.\n", NotAsked: true},
		{Args: words("event -name=deploy a b"), Code: 1, Errs: "Too many command line arguments.\n", ErrsPrefix: true, NotAsked: true},
		{Args: words("event -name=other"), Code: 1, Errs: "Error firing event: ", ErrsPrefix: true},
	} {
		tt.Check(t, Commands(), seen)
	}
}
