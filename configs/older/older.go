// Package older knows the names that configuration keys had in earlier releases, and
// moves what stands under them to today's before a file is decoded.
package older

import (
	"fmt"
	"strings"

	"consul.internal/internal/hclconf"
)

// Names maps names of earlier releases to today's. An empty name is accepted
// and has no effect.
func Names() map[string]string {
	return map[string]string{
		"dc":                     "datacenter",
		"start_join":             "retry_join",
		"start_join_wan":         "retry_join_wan",
		"recursor":               "recursors",
		"acl_datacenter":         "primary_datacenter",
		"acl_default_policy":     "acl.default_policy",
		"acl_down_policy":        "acl.down_policy",
		"acl_ttl":                "acl.token_ttl",
		"acl_token":              "acl.tokens.default",
		"acl_agent_token":        "acl.tokens.agent",
		"acl_agent_master_token": "acl.tokens.agent_recovery",
		"acl_master_token":       "acl.tokens.initial_management",
		"acl_replication_token":  "acl.tokens.replication",
		"enable_acl_replication": "acl.enable_token_replication",

		"acl_enable_key_list_policy": "acl.enable_key_list_policy",
		"acl_enforce_version_8":      "",

		"ui":              "ui_config.enabled",
		"ui_dir":          "ui_config.dir",
		"ui_content_path": "ui_config.content_path",

		"ca_file":                "tls.defaults.ca_file",
		"ca_path":                "tls.defaults.ca_path",
		"cert_file":              "tls.defaults.cert_file",
		"key_file":               "tls.defaults.key_file",
		"tls_min_version":        "tls.defaults.tls_min_version",
		"tls_cipher_suites":      "tls.defaults.tls_cipher_suites",
		"verify_incoming":        "tls.defaults.verify_incoming",
		"verify_outgoing":        "tls.defaults.verify_outgoing",
		"verify_incoming_rpc":    "tls.internal_rpc.verify_incoming",
		"verify_incoming_https":  "tls.https.verify_incoming",
		"verify_server_hostname": "tls.internal_rpc.verify_server_hostname",

		"tls_prefer_server_cipher_suites": "",

		"statsd_addr":     "telemetry.statsd_address",
		"statsite_addr":   "telemetry.statsite_address",
		"statsite_prefix": "telemetry.metrics_prefix",
		"dogstatsd_addr":  "telemetry.dogstatsd_addr",
		"dogstatsd_tags":  "telemetry.dogstatsd_tags",

		"http_api_response_headers": "http_config.response_headers",

		"atlas_infrastructure": "", "atlas_token": "", "atlas_acl_token": "", "atlas_join": "", "atlas_endpoint": "",
	}
}

// Renew moves what stands under older names to today's, before the tree is
// decoded, and says so in one warning a name. Where both names are given, lists
// join and otherwise today's name wins.
func Renew(root *hclconf.Node) []string {
	names := Names()
	var warnings []string
	var kept, moved []hclconf.Field
	for _, f := range root.Fields {
		if _, ok := names[f.Key]; ok {
			moved = append(moved, f)
		} else {
			kept = append(kept, f)
		}
	}
	root.Fields = kept
	for _, f := range moved {
		to := names[f.Key]
		at := hclconf.Place(f.KeyRange)
		switch {
		case to == "":
			warnings = append(warnings, fmt.Sprintf("%s: %s is a key of old releases and has no effect; remove it", at, f.Key))
		case root.Graft(strings.Split(to, "."), wrapped(f)):
			warnings = append(warnings, fmt.Sprintf("%s: %s is the older name of %s; please use that", at, f.Key, to))
		default:
			warnings = append(warnings, fmt.Sprintf("%s: %s is ignored, since %s, its newer name, is given too", at, f.Key, to))
		}
	}
	return warnings
}

// wrapped makes the one recursor of old files a list.
func wrapped(f hclconf.Field) hclconf.Field {
	if f.Key == "recursor" && f.Value.Kind == hclconf.String {
		f.Value = &hclconf.Node{Kind: hclconf.List, Items: []*hclconf.Node{f.Value}, Range: f.Value.Range}
	}
	return f
}
