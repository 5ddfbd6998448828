package acl

// The names of the policies that are there from the beginning.
const (
	ManagementName = "global-management"
	ReadOnlyName   = "builtin/global-read-only"
)

// builtinRules says the same of every resource.
func builtinRules(a Access) string {
	text := ""
	for r := range resources {
		switch {
		case r == Intention: // part of the service's rule
		case r == Service && a == Write: // speaks of intentions too
			text += "\nservice_prefix \"\" {\n\tpolicy = \"write\"\n\tintentions = \"write\"\n}"
		case r.named():
			text += block(r.String()+"_prefix", "", a)
		default:
			text += "\n" + r.String() + " = \"" + a.String() + "\""
		}
	}
	return text[1:] + "\n"
}

// Builtin returns the policies that are there from the beginning and stay.
func Builtin() []*Policy {
	all := []*Policy{
		{ID: ManagementID, Name: ManagementName, Rules: builtinRules(Write),
			Description: "A built-in policy that grants read and write access to all Consul features"},
		{ID: ReadOnlyID, Name: ReadOnlyName, Rules: builtinRules(Read),
			Description: "A built-in policy that grants read-only access to all Consul features"},
	}
	for _, p := range all {
		p.Seal()
	}
	return all
}

// IsBuiltin reports whether a policy is one of Builtin.
func IsBuiltin(id string) bool { return id == ManagementID || id == ReadOnlyID }

// Anonymous is the token of who brings none, before anybody gives it anything.
func Anonymous() *Token {
	t := &Token{AccessorID: AnonymousID, SecretID: AnonymousSecret, Description: "Anonymous Token"}
	t.Seal()
	return t
}
