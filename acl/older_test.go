package acl

import "testing"

func TestTranslate(t *testing.T) {
	got, err := Translate("operator = \"read\"\nkey \"a\" { policy = \"write\" }\nkey_prefix \"a\" { policy = \"deny\" }\nservice \"web\" { policy = \"write\" }\nservice \"db\" {\n policy = \"read\"\n intentions = \"write\" }")
	const want = `operator = "read"
key_prefix "a" {
	policy = "deny"
}
service_prefix "db" {
	policy = "read"
	intentions = "write"
}
service_prefix "web" {
	policy = "write"
	intentions = "read"
}
`
	if err != nil || got != want {
		t.Errorf("%s %v", got, err)
	}
	if again, err := Translate(got); err != nil || again != got {
		t.Errorf("what is translated changes: %s %v", again, err)
	}
	if text, err := Translate(""); text != "" || err != nil {
		t.Errorf("nothing: %q %v", text, err)
	}
	if _, err := Translate("key {"); err == nil {
		t.Error("what is no rule is taken")
	}
}
