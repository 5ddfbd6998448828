package checks

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"consul.internal/internal/fault"
)

// Kind is the kind of a check, in the word that a catalog's Check.Type shows.
type Kind string

// The kinds of checks.
const (
	KindTTL       Kind = "ttl"
	KindHTTP      Kind = "http"
	KindTCP       Kind = "tcp"
	KindUDP       Kind = "udp"
	KindGRPC      Kind = "grpc"
	KindH2PING    Kind = "h2ping"
	KindScript    Kind = "script"
	KindDocker    Kind = "docker"
	KindOSService Kind = "os_service"
	KindAlias     Kind = "alias"
)

// Kind is the kind of the check, "" when the definition names none.
func (d *Definition) Kind() Kind {
	if k := d.kinds(); len(k) > 0 {
		return k[0]
	}
	return ""
}

// kinds lists all kinds that the definition names.
func (d *Definition) kinds() []Kind {
	var out []Kind
	add := func(given bool, k Kind) {
		if given {
			out = append(out, k)
		}
	}
	add(d.AliasNode != "" || d.AliasService != "", KindAlias)
	add(d.HTTP != "", KindHTTP)
	add(d.TCP != "", KindTCP)
	add(d.UDP != "", KindUDP)
	add(d.GRPC != "", KindGRPC)
	add(d.H2PING != "", KindH2PING)
	add(d.DockerContainerID != "", KindDocker)
	add(len(d.Args) > 0 && d.DockerContainerID == "", KindScript)
	add(d.OSService != "", KindOSService)
	add(d.TTL > 0, KindTTL)
	return out
}

// RunsCommands reports whether the check starts a command of the definition's,
// here or in a container, which an agent has to permit.
func (d *Definition) RunsCommands() bool { return len(d.Args) > 0 || d.DockerContainerID != "" }

// Supported returns an error if no Runner on this machine can run the check.
func (d *Definition) Supported() error { return Systemd{}.Supports(d) }

// Validate says what is wrong with the definition, nil if nothing. Names and
// IDs are the business of whoever registers it.
func (d *Definition) Validate() error {
	for _, part := range []func() error{d.validateKind, d.validateNumbers, d.validateTarget} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (d *Definition) validateKind() error {
	kind := d.Kind()
	interval := kind != "" && kind != KindTTL && kind != KindAlias
	switch {
	case d.Interval > 0 && d.TTL > 0:
		return fault.Newf(fault.Invalid, "Interval and TTL cannot both be specified")
	case interval && d.Interval <= 0:
		return fault.Newf(fault.Invalid, "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks")
	case kind == KindAlias && d.Interval > 0:
		return fault.Newf(fault.Invalid, "Interval cannot be set for Alias checks")
	case kind == KindAlias && d.TTL > 0:
		return fault.Newf(fault.Invalid, "TTL must be not be set for Alias checks")
	case kind == "" || d.TTL < 0:
		return fault.Newf(fault.Invalid, "TTL must be > 0 for TTL checks")
	}
	if kinds := d.kinds(); len(kinds) > 1 {
		words := make([]string, len(kinds))
		for i, k := range kinds {
			words[i] = string(k)
		}
		return fault.Newf(fault.Invalid, "a check can have only one kind, but this one is %s; make them separate checks", strings.Join(words, " and "))
	}
	return nil
}

func (d *Definition) validateNumbers() error {
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"Interval", int64(d.Interval)},
		{"Timeout", int64(d.Timeout)},
		{"DeregisterCriticalServiceAfter", int64(d.DeregisterCriticalServiceAfter)},
		{"SuccessBeforePassing", int64(d.SuccessBeforePassing)},
		{"FailuresBeforeWarning", int64(d.FailuresBeforeWarning)},
		{"FailuresBeforeCritical", int64(d.FailuresBeforeCritical)},
	} {
		if n.value < 0 {
			return fault.Newf(fault.Invalid, "%s must not be negative", n.name)
		}
	}
	switch {
	case d.OutputMaxSize < 0:
		return fault.Newf(fault.Invalid, "OutputMaxSize must be positive")
	case d.FailuresBeforeWarning > d.FailuresBeforeCritical:
		return fault.Newf(fault.Invalid, "FailuresBeforeWarning can't be higher than FailuresBeforeCritical")
	case d.ExposedPort < 0 || d.ExposedPort > 65535:
		return fault.Newf(fault.Invalid, "ExposedPort %d must be between 0 and 65535", d.ExposedPort)
	case d.Status != "" && !d.Status.Valid():
		return fault.Newf(fault.Invalid, "Bad check status %q: use passing, warning or critical", string(d.Status))
	}
	return nil
}

// validateTarget finds addresses that no probe could ever reach.
func (d *Definition) validateTarget() error {
	switch {
	case d.HTTP != "":
		u, err := url.Parse(d.HTTP)
		if err != nil {
			return fault.Newf(fault.Invalid, "HTTP is not a URL: %w", err)
		}
		if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fault.Newf(fault.Invalid, "HTTP must be a URL such as http://127.0.0.1:8080/health, not %q", d.HTTP)
		}
		if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n < 1 || n > 65535) {
			return fault.Newf(fault.Invalid, "HTTP: the port of %q must be between 1 and 65535", d.HTTP)
		}
		if !validMethod(d.Method) {
			return fault.Newf(fault.Invalid, "Method %q is not an HTTP method", d.Method)
		}
		return validHeader(d.Header)
	case d.TCP != "":
		return hostPort("TCP", d.TCP)
	case d.UDP != "":
		return hostPort("UDP", d.UDP)
	case d.H2PING != "":
		return hostPort("H2PING", d.H2PING)
	case d.GRPC != "":
		addr, _, _ := strings.Cut(d.GRPC, "/")
		return hostPort("GRPC", addr)
	case d.DockerContainerID != "":
		if len(d.Args) == 0 {
			return fault.Newf(fault.Invalid, "a docker check needs Args, the command to run in the container")
		}
		if !validContainer(d.DockerContainerID) {
			return fault.Newf(fault.Invalid, "DockerContainerID %q is neither an ID nor a name of a container", d.DockerContainerID)
		}
	case d.OSService != "":
		if !validUnit(d.OSService) {
			return fault.Newf(fault.Invalid, "OSService %q is not a name of a service", d.OSService)
		}
	}
	return nil
}

// validContainer accepts the characters that an engine permits in IDs and names.
func validContainer(id string) bool {
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || i > 0 && strings.IndexByte("_.-", c) >= 0) {
			return false
		}
	}
	return true
}

func validHeader(header map[string][]string) error {
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) {
			return fault.Newf(fault.Invalid, "Header %q is not the name of an HTTP header", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fault.Newf(fault.Invalid, "Header %s has a value with control characters", name)
			}
		}
	}
	return nil
}

func hostPort(field, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" || strings.ContainsAny(host+port, "/?#@ ") {
		return fault.Newf(fault.Invalid, "%s must be HOST:PORT, not %q", field, addr)
	}
	// Ports may be named, as in localhost:https.
	if n, err := strconv.ParseInt(port, 10, 64); err == nil && (n < 1 || n > 65535) || errors.Is(err, strconv.ErrRange) {
		return fault.Newf(fault.Invalid, "%s: the port of %q must be between 1 and 65535", field, addr)
	}
	return nil
}

// validMethod accepts tokens of RFC 9110, section 5.6.2; "" is GET.
func validMethod(m string) bool {
	for i := range len(m) {
		c := m[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return true
}
