package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"consul.internal/internal/tlsx"
)

const (
	// fewFiles is too little for an agent: connections of clients alone take 200 each.
	fewFiles = 1024
	// goodFiles is enough for thousands of connections; the unit gives 65,536.
	goodFiles = 16384
	// leastRoom holds a segment of the log (64 MiB) and the next, and a snapshot.
	leastRoom = 256 << 20
	// goodRoom leaves a day or so to react.
	goodRoom = 1 << 30
	// fewInodes: every service, check, snapshot and segment is a file.
	fewInodes = 1000
	// soon is when the end of a certificate is worth a word.
	soon = 30 * 24 * time.Hour
)

func (p *patient) clock(context.Context) {
	switch ok, err := p.synced(); {
	case err != nil:
		p.advise("clock", "look with: timedatectl", "the kernel does not tell whether the clock is kept right: %v", err)
	case !ok:
		p.advise("clock", "turn it on: timedatectl set-ntp true (or install chrony or systemd-timesyncd); inside a container it is the host's task",
			"nothing keeps the clock right: certificates, tokens and logs depend on it")
	default:
		p.ok("clock", "is synchronised")
	}
}

func (p *patient) limits(context.Context) {
	pid := p.pid()
	n, err := p.files(pid)
	if err != nil && pid != 0 { // another user's process
		pid = 0
		n, err = p.files(0)
	}
	whose := "this shell"
	if pid != 0 {
		whose = "the agent"
	}
	const cure = "LimitNOFILE=65536 in the unit (systemctl edit consul), or ulimit -n 65536 in the shell that starts the agent"
	switch {
	case err != nil:
		p.advise("limits", cure, "the number of files that may be open is not known: %v", err)
	case n < fewFiles:
		p.fault("limits", cure, "%s may have %d files and connections open, which is too few", whose, n)
	case n < goodFiles:
		p.advise("limits", cure, "%s may have %d files and connections open, which many clients use up", whose, n)
	default:
		p.ok("limits", "%s may have %d files and connections open", whose, n)
	}
}

// pid is the running server's, which stands in the lock of its log; 0 = not known.
func (p *patient) pid() int {
	if p.self == nil {
		return 0
	}
	text, err := os.ReadFile(filepath.Join(p.Paths.DataDir, "raft", "lock"))
	if err != nil {
		text, err = os.ReadFile(p.Paths.PIDFile)
	}
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text))) // a broken one is not known
	return pid
}

// data looks at the data directory without changing it.
func (p *patient) data(context.Context) {
	dir := p.Paths.DataDir
	if dir == "" {
		p.ok("data", "this agent keeps nothing on disk")
		return
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		newData(p, dir)
		return
	}
	if err != nil {
		p.fault("data", "run the doctor as root or as the agent's user", "%s cannot be looked at: %v", dir, err)
		return
	}
	before := len(p.found)
	owner(p, dir, info)
	space(p, dir)
	damage(p, dir)
	if len(p.found) == before {
		p.ok("data", "%s is in order", dir)
	}
}

// newData looks whether the directory could be made.
func newData(p *patient, dir string) {
	parent := filepath.Dir(dir)
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		p.fault("data", "make it: install -d -m 0700 -o consul -g consul "+dir, "neither %s nor the directory above it exists", dir)
		return
	}
	p.ok("data", "%s does not exist yet", dir)
	space(p, parent)
}

// owner looks for files that the agent will not be able to read or replace, and
// for a directory that others may read or write.
func owner(p *patient, dir string, info fs.FileInfo) {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		p.fault("data", "chmod 700 "+dir, "%s can be changed by other users (mode %04o)", dir, mode)
	} else if mode&0o077 != 0 {
		p.advise("data", "chmod 700 "+dir, "%s can be looked into by other users (mode %04o)", dir, mode)
	}
	owner, known := uid(info)
	if me := os.Geteuid(); known && me != 0 && owner != uint32(me) {
		p.fault("data", "run the agent as the user who owns it, or: chown -R "+strconv.Itoa(me)+" "+dir, "%s belongs to user %d, not to %d", dir, owner, me)
		return
	}
	var strange []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if one, err := d.Info(); err == nil {
			if o, ok := uid(one); ok && o != owner {
				strange = append(strange, path)
			}
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist): // the agent removes files meanwhile
		p.fault("data", "run the doctor as root or as the agent's user", "%s cannot be looked at: %v", dir, err)
	case len(strange) > 0:
		p.fault("data", "chown -R --reference="+dir+" "+dir, "%d files of %s belong to another user than the directory, such as %s; was the agent started by hand as root?", len(strange), dir, strange[0])
	}
}

func uid(info fs.FileInfo) (uint32, bool) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Uid, true
	}
	return 0, false
}

func space(p *patient, dir string) {
	const cure = "make room on that file system, or move the directory (data_dir) to a larger one"
	r, err := p.room(dir)
	switch {
	case err != nil:
		p.advise("data", "look with: df "+dir, "the room left is not known: %v", err)
	case r.bytes < leastRoom:
		p.fault("data", cure, "%s has %d MiB left", dir, r.bytes>>20)
	case r.bytes < goodRoom:
		p.advise("data", cure, "%s has %d MiB left", dir, r.bytes>>20)
	}
	if err == nil && r.files < fewInodes {
		p.fault("data", "remove small files from that file system (df -i shows it)", "%s has room for %d files", dir, r.files)
	}
}

// damage looks for files that a crash or a full disk has left empty: each of
// these has content from its first moment on.
func damage(p *patient, dir string) {
	var leftover int
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case strings.HasPrefix(name, ".") && strings.Contains(name, ".tmp-"):
			leftover++
		case info.Size() > 0:
		case name == "node-id":
			p.fault("data", "write this node's ID into it (consul operator raft list-peers on another server shows it); on a client remove the file", "%s is empty", path)
		case slices.Contains([]string{"mark", "cluster", "members", "meta"}, name) && strings.Contains(path, string(filepath.Separator)+"raft"+string(filepath.Separator)):
			p.fault("data", "among other servers: stop this one, remove "+filepath.Join(dir, "raft")+" and start it, it fetches everything from them; alone: put the directory back from a backup (consul snapshot restore)",
				"%s is empty: the log of this server is damaged", path)
		case filepath.Ext(name) == ".json":
			p.fault("data", "remove the file and register again what it held", "%s is empty", path)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		p.fault("data", "look at the disk (dmesg): a file that cannot be read is worth a backup of the rest", "%s: %v", dir, err)
	}
	if leftover > 0 && p.self == nil {
		p.advise("data", "find "+dir+" -name '.*.tmp-*' -delete, while the agent is stopped", "%s has %d unfinished files of writes that a crash cut short; they do no harm", dir, leftover)
	}
}

// certificates lets the doors' own judgement speak, and looks at dates.
func (p *patient) certificates(context.Context) {
	part := func(file, key, ca, path string, in, out, name bool) tlsx.Part {
		return tlsx.Part{CertFile: file, KeyFile: key, CAFile: ca, CAPath: path, VerifyIncoming: in, VerifyOutgoing: out, VerifyServerHostname: name}
	}
	r, h := p.TLS.InternalRPC, p.TLS.HTTPS
	cfg := tlsx.Config{
		Datacenter: p.Node.Datacenter, Domain: p.DNS.Domain, Server: p.Server.Enabled,
		InternalRPC: part(r.CertFile, r.KeyFile, r.CAFile, r.CAPath, r.VerifyIncoming, r.VerifyOutgoing, r.VerifyServerHostname),
		HTTPS:       part(h.CertFile, h.KeyFile, h.CAFile, h.CAPath, h.VerifyIncoming, h.VerifyOutgoing, false),
	}
	if r.CertFile == "" && r.CAFile == "" && r.CAPath == "" && h.CertFile == "" {
		p.advise("certificates", "consul tls ca create, consul tls cert create, and a tls block", "TLS is off: who reaches the ports can read and call")
		return
	}
	settings, err := tlsx.New(cfg)
	if err != nil {
		p.fault("certificates", "mend the file, or make new ones: consul tls ca create; consul tls cert create -server -dc "+p.Node.Datacenter, "%v", err)
		return
	}
	bad := false
	for _, w := range settings.Warnings() {
		switch {
		case strings.Contains(w, "expired on"), strings.Contains(w, "not valid before"), strings.Contains(w, "does not come from"), strings.Contains(w, "does not carry the name"):
			bad = true
			p.fault("certificates", "make a new one: consul tls cert create -server -dc "+p.Node.Datacenter+" (-client on clients), put it in place and run: consul reload", "%s", w)
		default:
			p.advise("certificates", "see the tls block of the configuration", "%s", w)
		}
	}
	for _, d := range []struct {
		name string
		door *tlsx.Door
	}{{"tls.internal_rpc", settings.InternalRPC}, {"tls.https", settings.HTTPS}} {
		end, ok := d.door.Expiry()
		if !ok || bad {
			continue
		}
		if left := end.Sub(p.now()); left < soon {
			p.advise("certificates", "make a new one: consul tls cert create, put it in place and run: consul reload", "that of %s ends on %s, in %d days", d.name, end.UTC().Format(time.DateOnly), int(left.Hours()/24))
		} else {
			p.ok("certificates", "that of %s is good until %s", d.name, end.UTC().Format(time.DateOnly))
		}
	}
}
