package hclconf

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestParse holds what files contain, HCL1 habits included, against plain values.
func TestParse(t *testing.T) {
	type m = map[string]any
	type l = []any
	tests := []struct {
		name, src string
		want      m
	}{
		{"empty", "", m{}},
		{"byte order mark", "\xef\xbb\xbfa = 1", m{"a": int64(1)}},
		{"scalars", "a = 1\nb = -2\nc = 1.5\nd = true\ne = false\nf = \"x\"", m{"a": int64(1), "b": int64(-2), "c": 1.5, "d": true, "e": false, "f": "x"}},
		{"other bases", "a = 0x1F\nb = 0755\nc = -0x10\nd = 1e3\ne = 0", m{"a": int64(31), "b": int64(493), "c": int64(-16), "d": 1000.0, "e": int64(0)}},
		{"comments", "# one\n// two\n/* three\n */ a = 1 # four\nb = /* five */ 2 // six", m{"a": int64(1), "b": int64(2)}},
		{"one line", `ports { http = 1 dns = 2 }`, m{"ports": m{"http": int64(1), "dns": int64(2)}}},
		{"commas between attributes", `ports { http = 1, dns = 2, }, x = 1`, m{"ports": m{"http": int64(1), "dns": int64(2)}, "x": int64(1)}},
		{"block is attribute", `a { x = 1 } b = { x = 1 }`, m{"a": m{"x": int64(1)}, "b": m{"x": int64(1)}}},
		{"quoted keys", "node_meta { \"a-b\" = \"c\" }\n\"service_ttl\" { \"*\" = \"5s\", \"web*\" = \"1s\" }", m{"node_meta": m{"a-b": "c"}, "service_ttl": m{"*": "5s", "web*": "1s"}}},
		{"colon in objects", `a = { "x": 1, y: 2 }`, m{"a": m{"x": int64(1), "y": int64(2)}}},
		{"dotted and dashed keys", "a.b = 1\nc-d = 2", m{"a.b": int64(1), "c-d": int64(2)}},
		{"labels nest", `key "foo/" { policy = "read" } key "bar" { policy = "write" }`, m{"key": l{m{"foo/": m{"policy": "read"}}, m{"bar": m{"policy": "write"}}}}},
		{"two labels", `a "b" c { x = 1 }`, m{"a": m{"b": m{"c": m{"x": int64(1)}}}}},
		{"blocks collect", "service { name = \"a\" }\nservice { name = \"b\" }\nservice = { name = \"c\" }", m{"service": l{m{"name": "a"}, m{"name": "b"}, m{"name": "c"}}}},
		{"lists", "a = [1, \"x\", [true], { y = 1 }, ]\nb = []", m{"a": l{int64(1), "x", l{true}, m{"y": int64(1)}}, "b": l{}}},
		{"list over lines", "a = [\n 1, # one\n 2\n]", m{"a": l{int64(1), int64(2)}}},
		{"brace on its own line", "a\n{\n x = 1\n}", m{"a": m{"x": int64(1)}}},
		{"escapes", `a = "q\"b\\s\tt\nn\x41é\U0001F600"`, m{"a": "q\"b\\s\tt\nnAé😀"}},
		{"sockaddr template", `a = "{{ GetInterfaceIP \"eth0\" }}"`, m{"a": `{{ GetInterfaceIP "eth0" }}`}},
		{"interpolation is text", `a = "x ${HOME} y" b = "%{Host}i" c = "$${z}"`, m{"a": "x ${HOME} y", "b": "%{Host}i", "c": "$${z}"}},
		{"lone interpolation is text", "a = \"cost ${5\"\nb = \"50%{\"", m{"a": "cost ${5", "b": "50%{"}},
		{"quotes inside interpolation", `a = "${file("x\n")}"`, m{"a": `${file("x\n")}`}},
		{"interpolated key", `"${a}" = 1`, m{"${a}": int64(1)}},
		{"heredoc", "a = <<EOF\n  one \"q\"\n\\n ${x%\"} }\nEOF\nb = 1", m{"a": "  one \"q\"\n\\n ${x%\"} }\n", "b": int64(1)}},
		{"heredoc indented", "a = <<-EOF\n    one\n      two\n\n    EOF\n", m{"a": "one\n  two\n\n"}},
		{"heredoc less indented than its end", "a = <<-EOF\n  one\n    EOF\n", m{"a": "  one\n"}},
		{"empty heredoc", "a = <<EOF\nEOF\n", m{"a": ""}},
		{"crlf", "a = 1\r\nb {\r\n  c = \"x\"\r\n}\r\n", m{"a": int64(1), "b": m{"c": "x"}}},
		{"null", "a = null", m{"a": nil}},
		{"a json text", " \n{\"a\": {\"b\": [1]}}", m{"a": m{"b": l{int64(1)}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Parse("f.hcl", []byte(tt.src))
			if err != nil {
				t.Fatal(err)
			}
			if got := n.Any(); !reflect.DeepEqual(got, any(tt.want)) {
				t.Errorf("got  %#v\nwant %#v", got, tt.want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, src string
		want      []string // each line of the error begins so
	}{
		{"bare word", "server = yes", []string{"f:1:10: yes is not a value"}},
		{"no value", "server\ndata_dir = \"x\"", []string{`f:1:1: "server" has no value`}},
		{"no value at the end", "server", []string{`f:1:1: "server" has no value`}},
		{"two keys", "a b = 1", []string{`f:1:1: "a" has no value`}},
		{"missing value", "a =\n}", []string{"f:2:1: unexpected \"}\" where a value", "f:2:1: unexpected \"}\": no block"}},
		{"unclosed block", "a {\n b = 1\n", []string{`f:1:3: this "{" is never closed`}},
		{"unclosed list", "a = [1,\n 2", []string{`f:1:5: this "[" is never closed`}},
		{"unclosed string", "a = \"x\nb = 1", []string{"f:1:7: invalid multi-line string"}},
		{"unclosed string at the end", "a = \"x", []string{"f:1:5: this string is not closed"}},
		{"unclosed heredoc", "a = <<EOF\nx\n", []string{"f:1:5: no line holds only EOF"}},
		{"apostrophes", "a = 'x'\nb = 1", []string{"f:1:5: invalid character"}},
		{"bad escape", `a = "\q"`, []string{"f:1:5: unknown escape"}},
		{"bad number", "a = 10s\nb = 0089", []string{"f:1:5: 10s is not a number", "f:2:5: 0089 is not a number"}},
		{"twice", "a = 1\nb = 2\na = 3", []string{`f:3:1: "a" is set twice; the first time at f:1:1`}},
		{"block and scalar", "a { }\na = 3", []string{`f:2:1: "a" is set twice; the first time at f:1:1`}},
		{"list without comma", "a = [1 2]", []string{`f:1:8: unexpected "2" in a list`}},
		{"nameless block", "{ a = 1 }", []string{"f:1:3: invalid character 'a'"}},
		{"stray brace", "a = 1\n}\nb = \n", []string{`f:2:1: unexpected "}"`, "f:4:1: unexpected end of file"}},
		{"not utf-8", "a = \"\xff\"", []string{"f:1:6: is not UTF-8"}},
		{
			"several at once", "a = yes\nb = 1\nc {\n  d = no\n  e = [1 2]\n}\nf\ng = 2\nb = 3\n",
			[]string{"f:1:5: yes", "f:4:7: no is", `f:5:10: unexpected "2"`, `f:7:1: "f" has no value`, `f:9:1: "b" is set twice; the first time at f:2:1`},
		},
		{"deep", strings.Repeat("a {", 100), []string{"f:1:195: nested more than 64"}},
		{"deep list", "a = " + strings.Repeat("[", 100000), []string{"f:1:69: nested more than 64"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.src))
			checkErrors(t, err, tt.want)
		})
	}
}

func checkErrors(t *testing.T, err error, want []string) {
	t.Helper()
	errs, ok := errors.AsType[Errors](err)
	if !ok {
		t.Fatalf("error %v (%T), want Errors", err, err)
	}
	for i := range max(len(errs), len(want)) {
		switch {
		case i >= len(errs):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("too many: %s", errs[i])
		case !strings.HasPrefix(errs[i].Error(), want[i]):
			t.Errorf("error %q\nwant  %q...", errs[i], want[i])
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	_, err := Parse("f", []byte(strings.Repeat("a = yes\n", 10000)))
	errs, _ := errors.AsType[Errors](err)
	if len(errs) != maxErrors+1 || !strings.Contains(errs[maxErrors].Msg, "9950 more") {
		t.Errorf("%d errors, the last %v", len(errs), errs[len(errs)-1])
	}
	if _, err := Parse("f", make([]byte, maxInput+1)); err == nil || !strings.Contains(err.Error(), "f: is larger than 8 MiB") {
		t.Errorf("too large a text: %v", err)
	}
}

func TestJSONErrors(t *testing.T) {
	tests := []struct {
		name, src string
		want      []string
	}{
		{"end", `{"server":`, []string{"f:1:11: unexpected end of JSON input"}},
		{"empty", "", []string{"f:1:1: unexpected end of JSON input"}},
		{"trailing comma", "{\n \"a\": 1,\n}", []string{"f:3:1: invalid character"}},
		{"comment", "{\n # x\n}", []string{"f:2:2: invalid character '#'"}},
		{"twice", "{\"a\": 1,\n \"a\": 2}", []string{`f:2:2: "a" is set twice; the first time at f:1:2`}},
		{"not an object", `[1]`, []string{"f:1:1: expected an object at the top, got a list"}},
		{"more", "{}\n{}", []string{"f:2:1: unexpected text after"}},
		{"deep", strings.Repeat(`{"a":`, 100), []string{"f:1:321: nested more than 64"}},
		{"bad literal", `{"a": yes}`, []string{"f:1:7: invalid character 'y'"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseJSON("f", []byte(tt.src))
			checkErrors(t, err, tt.want)
		})
	}
}

// TestTwins: both syntaxes give the same tree, each with its own ranges.
func TestTwins(t *testing.T) {
	h, err := Parse("f", []byte("server = true\nports {\n  http = 8501\n}\ntags = [\"a\", \"é\", 1.5]\n"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := ParseJSON("f", []byte("{\"server\": true,\n\"ports\": {\n  \"http\": 8501\n},\n\"tags\": [\"a\", \"é\", 1.5]}"))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(h.Any(), j.Any()) {
		t.Errorf("HCL %v\nJSON %v", h.Any(), j.Any())
	}
	for _, tt := range []struct {
		n    *Node
		want string
	}{
		{h.Get("ports").Get("http"), "f:3,10-14"},
		{j.Get("ports").Get("http"), "f:3,11-15"},
		{h.Get("tags").Items[2], "f:5,19-22"},
		{j.Get("tags").Items[2], "f:5,20-23"},
		{h.Get("ports"), "f:2,7-4,2"},
		{j.Get("ports"), "f:2,10-4,2"},
	} {
		if got := fmt.Sprint(tt.n.Range); got != tt.want {
			t.Errorf("range %s, want %s", got, tt.want)
		}
	}
}
