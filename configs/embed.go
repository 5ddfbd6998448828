package configs

import (
	"embed"
	"io/fs"

	"consul.internal/internal/hclconf"
)

//go:embed defaults.hcl
var defaultsText []byte

//go:embed dev.hcl
var devText []byte

//go:embed samples
var samples embed.FS

// Samples holds the sample files: consul.d/agent.hcl, a single server on
// loopback, and consul.d/services.hcl.
func Samples() fs.FS {
	sub, err := fs.Sub(samples, "samples")
	if err != nil {
		panic("configs: " + err.Error()) // the directory is embedded above
	}
	return sub
}

// defaultFile is defaults.hcl decoded.
func defaultFile() file { return builtin("defaults.hcl", defaultsText) }

// devFile is dev.hcl decoded.
func devFile() file { return builtin("dev.hcl", devText) }

// builtin decodes an embedded text. A test decodes them all, so that the panic
// cannot reach a user.
func builtin(name string, text []byte) file {
	var f file
	root, err := hclconf.Parse(name, text)
	if err == nil {
		_, err = hclconf.Decode(root, &f, hclconf.Options{})
	}
	if err != nil {
		panic("configs: " + err.Error())
	}
	return f
}
