package configs

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"consul.internal/configs/definition"
	"consul.internal/configs/older"
	"consul.internal/internal/fault"
	"consul.internal/internal/hclconf"
)

// maxFileSize is the most that is read of one file, a byte above what the
// parser takes, so that it is the parser that refuses.
const maxFileSize = 8<<20 + 1

// Load reads the arguments of the agent command and everything they name. The
// warnings are for the log; an error names all mistakes found. Environment
// variables do not configure an agent.
func Load(args []string, host Host) (*Settings, []string, error) {
	in := &Input{}
	fs := in.FlagSet()
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); err != nil {
		return nil, nil, fault.With(fault.Invalid, err)
	}
	if err := Extra(fs.Args()); err != nil {
		return nil, nil, err
	}
	return Resolve(in, host)
}

// Validate checks files and directories as consul validate does. Findings about
// this machine's network are warnings, since the files may be for another one.
func Validate(paths []string, format string, host Host) (warnings []string, err error) {
	_, warnings, err = Resolve(&Input{Files: paths, Format: format, CheckOnly: true}, host)
	return warnings, err
}

// Resolve reads all sources of the input, merges and checks them. It may be
// called again with the same input, which is how a reload reads changed files.
func Resolve(in *Input, host Host) (*Settings, []string, error) {
	l := &loader{in: in, where: hclconf.Found{}, merged: defaultFile()}
	if in.Dev {
		merge(reflect.ValueOf(&l.merged).Elem(), reflect.ValueOf(devFile()), false)
	}
	switch in.Format {
	case "", "hcl", "json":
	default:
		return nil, nil, fault.Newf(fault.Invalid, "-config-format must be either 'hcl' or 'json', not %q", in.Format)
	}
	for _, path := range in.Files {
		l.path(path)
	}
	for i, text := range in.Fragments {
		l.text(fmt.Sprintf("flags-%d.hcl", i), []byte(text), "hcl")
	}
	l.take(in.flagTree(), true)
	if len(l.errs) > 0 {
		return nil, nil, fault.With(fault.Invalid, errors.Join(l.errs...))
	}
	l.implied()
	if names := l.unbuilt(); len(names) > 0 {
		l.warnings = append(l.warnings, "these keys are accepted but have no effect yet: "+strings.Join(names, ", "))
	}
	if names := l.unprotected(); len(names) > 0 {
		l.warnings = append(l.warnings, "NOT PROTECTED: this version does not enforce "+strings.Join(names, ", ")+"; let only trusted networks reach this agent")
	}
	found := &findings{where: l.where, checkOnly: in.CheckOnly, warnings: l.warnings}
	r := &resolver{findings: found, f: &l.merged, host: host, dev: in.Dev, sources: in.Files, loc: &locator{findings: found, f: &l.merged, host: host}}
	s := r.settings()
	if err := r.err(); err != nil {
		return nil, nil, fault.With(fault.Invalid, err)
	}
	return s, r.warnings, nil
}

// loader gathers sources into one file.
type loader struct {
	in       *Input
	merged   file
	where    hclconf.Found // the source that decided a key
	warnings []string
	errs     []error
	// Older keys that turned on what has a key of its own today.
	olderACL, olderReplication bool
}

// implied turns on what older keys turn on, where today's keys are silent.
func (l *loader) implied() {
	on := true
	if _, said := l.where["acl.enabled"]; l.olderACL && !said {
		l.merged.ACL.Enabled = &on
	}
	if _, said := l.where["acl.enable_token_replication"]; l.olderReplication && !said {
		l.merged.ACL.EnableTokenReplication = &on
	}
}

func (l *loader) fail(format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}

// path reads a file or the files of a directory.
func (l *loader) path(path string) {
	info, err := os.Stat(path)
	if err != nil {
		l.fail("config: Open failed on %s. %w", path, opened(err))
		return
	}
	if !info.IsDir() {
		format := l.format(path)
		if format == "" {
			l.fail("file %s has unknown extension; must be .hcl or .json, or config format must be set", path)
			return
		}
		l.file(path, format)
		return
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		l.fail("config: Readdir failed on %s. %w", path, err)
		return
	}
	for _, e := range entries {
		full := filepath.Join(path, e.Name())
		info, err := os.Stat(full) // a link counts as what it points to
		if err != nil {
			l.fail("config: Open failed on %s. %w", full, opened(err))
			continue
		}
		if info.IsDir() {
			continue
		}
		format := l.format(full)
		if format == "" || !info.Mode().IsRegular() {
			l.warnings = append(l.warnings, fmt.Sprintf("skipping file %s, extension must be .hcl or .json, or config format must be set", full))
			continue
		}
		l.file(full, format)
	}
}

// opened words an error of stat as that of open, which people know.
func opened(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return &os.PathError{Op: "open", Path: pe.Path, Err: pe.Err}
	}
	return err
}

// format is how a file is to be read, "" if it is not.
func (l *loader) format(path string) string {
	if l.in.Format != "" {
		return l.in.Format
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".hcl":
		return "hcl"
	case ".json":
		return "json"
	}
	return ""
}

func (l *loader) file(path, format string) {
	f, err := os.Open(path)
	if err != nil {
		l.fail("config: Open failed on %s. %w", path, err)
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize))
	if err != nil {
		l.fail("config: Read failed on %s. %w", path, err)
		return
	}
	l.text(path, text, format)
}

func (l *loader) text(name string, text []byte, format string) {
	parse := hclconf.Parse
	if format == "json" {
		parse = hclconf.ParseJSON
	}
	root, err := parse(name, text)
	if err == nil {
		err = l.take(root, false)
	}
	if err == nil {
		return
	}
	l.errs = append(l.errs, &parseError{name: name, err: err})
}

// take decodes a tree and lays it over what is there. Errors of flags are kept
// at once, those of texts returned.
func (l *loader) take(root *hclconf.Node, flags bool) error {
	l.olderACL = l.olderACL || root.Get("acl_datacenter") != nil
	l.olderReplication = l.olderReplication || root.Get("acl_replication_token") != nil
	l.warnings = append(l.warnings, older.Renew(root)...)
	var f file
	found, err := hclconf.Decode(root, &f, hclconf.Options{Loose: true})
	if err != nil {
		if flags {
			l.errs = append(l.errs, err)
		}
		return err
	}
	merge(reflect.ValueOf(&l.merged).Elem(), reflect.ValueOf(f), flags)
	maps.Copy(l.where, found)
	return nil
}

// parseError is all mistakes of one file.
type parseError struct {
	name string
	err  error
}

func (e *parseError) Unwrap() error { return e.err }

func (e *parseError) Error() string {
	return fmt.Sprintf("failed to parse %s: %s", e.name, counted(strings.Split(e.err.Error(), "\n")))
}

// counted lists messages below their number.
func counted(lines []string) string {
	if len(lines) == 1 {
		return "1 error occurred:\n\t* " + lines[0] + "\n"
	}
	return fmt.Sprintf("%d errors occurred:\n\t* %s\n", len(lines), strings.Join(lines, "\n\t* "))
}

// unbuilt names the keys in use that nothing uses yet.
func (l *loader) unbuilt() []string {
	names := unbuilt(l.where)
	for i := range l.merged.Services {
		for _, name := range definition.Unbuilt(&l.merged.Services[i]) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// unprotected names the keys in use that ask for protection which is not built.
// They must not drown among settings that merely wait.
func (l *loader) unprotected() []string {
	f := &l.merged
	var names []string
	for _, k := range []struct {
		asked bool
		name  string
	}{
		{value(f.EncryptKey) != "", "encrypt"},
		{value(f.TLS.Defaults.VerifyIncoming), "tls.defaults.verify_incoming"},
		{value(f.TLS.InternalRPC.VerifyIncoming), "tls.internal_rpc.verify_incoming"},
		{value(f.TLS.HTTPS.VerifyIncoming), "tls.https.verify_incoming"},
		{len(f.SerfLANCIDRs) > 0, "serf_lan_allowed_cidrs"},
		{len(f.SerfWANCIDRs) > 0, "serf_wan_allowed_cidrs"},
		{len(f.HTTP.AllowWriteHTTPFrom) > 0, "http_config.allow_write_http_from"},
	} {
		if k.asked && slices.ContainsFunc(Keys(), func(key Key) bool { return key.Name == k.name && !key.Built }) {
			names = append(names, k.name)
		}
	}
	return names
}
