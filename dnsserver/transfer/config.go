package transfer

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"consul.internal/internal/fault"
)

// Config says who may have the zone, and who is told of changes.
type Config struct {
	Allow     []netip.Prefix   // addresses that may have it without a key
	Keys      []Key            // who signs with one of them may have it, from anywhere
	Notify    []netip.AddrPort // secondaries
	NotifyKey string           // the key that signs what they are told; "" is the only one, or none
	// From are the addresses that the zone is served on. Secondaries are told from the
	// one of their kind, since they look at who tells them; where there is none, from
	// any that the system picks.
	From []netip.Addr
}

// Key is a TSIG key.
type Key struct {
	Name      string // as a domain name
	Algorithm string // hmac-sha256, hmac-sha384 or hmac-sha512
	Secret    string // base64
}

const (
	// minSecret is how many bytes a secret has at least: what nobody guesses.
	minSecret = 16
	// maxNotify is how many secondaries are told; each has a goroutine.
	maxNotify = 64
)

// limits bound what secondaries can take. They are not configured.
type limits struct {
	transfers   int           // at once
	turn        time.Duration // how long one waits for its turn
	message     time.Duration // in which a message must have been taken
	whole       time.Duration // in which a transfer must have ended
	fresh       time.Duration // how long a transfer waits for what has been applied to the views
	datagram    time.Duration // and how long a reply over UDP
	ringBytes   int           // of changes that are remembered
	pending     int           // changes that wait to be followed
	refusals    time.Duration // at most one line in the log for each
	notifyReply time.Duration // how long a reply to NOTIFY is waited for
	notifyMin   time.Duration // a secondary is told no more often
	notifyMax   time.Duration // and after failures no more seldom
}

func defaultLimits() limits {
	return limits{
		transfers:   4,                      // each takes a CPU for some seconds where the zone is large
		turn:        5 * time.Second,        // secondaries wait longer for a reply
		message:     10 * time.Second,       // 16 KiB: slower than any line still in use
		whole:       15 * time.Minute,       // as long, a version is kept in memory
		fresh:       2 * time.Second,        // following takes milliseconds
		datagram:    100 * time.Millisecond, // nobody shows his address there, and places for questions are few
		ringBytes:   16 << 20,               // hours of changes in a calm datacenter
		pending:     1 << 16,                // some seconds of the most changes that a leader takes
		refusals:    10 * time.Second,       // a flood must not fill the disk
		notifyReply: 3 * time.Second,        // RFC 1996, section 3.6 leaves it open
		notifyMin:   time.Second,            // more often helps nobody who then asks for each
		notifyMax:   time.Minute,            // RFC 1996, section 3.6: 60 seconds
	}
}

// On reports whether anybody may have the zone.
func (c *Config) On() bool { return len(c.Allow)+len(c.Keys) > 0 }

// Validate reports all that is wrong, by the keys of the configuration.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fault.Newf(fault.Invalid, format, args...)) }
	for i, k := range c.Keys {
		if _, ok := dns.IsDomainName(k.Name); !ok || k.Name == "" || strings.HasPrefix(k.Name, ".") {
			bad("dns_config.transfer.key: %q is not a name of a key: use letters, digits, hyphens and dots", k.Name)
		}
		if slices.ContainsFunc(c.Keys[:i], func(o Key) bool { return o.fqdn() == k.fqdn() }) {
			bad("dns_config.transfer.key: %s is there twice", k.Name)
		}
		if !slices.Contains(algorithms(), k.algorithm()) {
			bad("dns_config.transfer.key.%s.algorithm cannot be %q: use hmac-sha256, hmac-sha384 or hmac-sha512", k.Name, k.Algorithm)
		}
		if raw, err := base64.StdEncoding.DecodeString(k.Secret); err != nil || len(raw) < minSecret {
			bad("dns_config.transfer.key.%s.secret is not base64 of at least %d bytes", k.Name, minSecret)
		}
	}
	switch {
	case len(c.Notify) > maxNotify:
		bad("dns_config.transfer.notify: more than %d secondaries; let some of them take the zone from others", maxNotify)
	case len(c.Notify) > 0 && !c.On():
		bad("dns_config.transfer.notify: nobody may have the zone: set allow or key in dns_config.transfer")
	case c.NotifyKey != "" && c.key(Key{Name: c.NotifyKey}.fqdn()) == nil:
		bad("dns_config.transfer.notify_key: there is no key %q in dns_config.transfer", c.NotifyKey)
	case len(c.Notify) > 0 && len(c.Keys) > 1 && c.NotifyKey == "":
		bad("dns_config.transfer.notify_key: say which of the keys signs what secondaries are told")
	}
	return errors.Join(errs...)
}

// DefaultAlgorithm is that of a key which names none.
const DefaultAlgorithm = "hmac-sha256"

func algorithms() []string { return []string{dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512} }

func (k Key) fqdn() string { return dns.CanonicalName(k.Name) }

func (k Key) algorithm() string { return dns.CanonicalName(k.Algorithm) }

// key finds a key by its canonical name.
func (c *Config) key(name string) *Key {
	i := slices.IndexFunc(c.Keys, func(k Key) bool { return k.fqdn() == name })
	if i < 0 {
		return nil
	}
	return &c.Keys[i]
}

// signer is the key for NOTIFY, or nil.
func (c *Config) signer() *Key {
	if c.NotifyKey != "" {
		return c.key(Key{Name: c.NotifyKey}.fqdn())
	}
	if len(c.Keys) == 1 {
		return &c.Keys[0]
	}
	return nil
}

// from is the address that a secondary is told from; invalid is any.
func (c *Config) from(to netip.Addr) netip.Addr {
	to = to.Unmap()
	for _, a := range c.From {
		if a = a.Unmap(); !a.IsUnspecified() && a.Is4() == to.Is4() && a.IsLoopback() == to.IsLoopback() && a.IsLinkLocalUnicast() == to.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

func (c *Config) allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(c.Allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (c *Config) equal(o *Config) bool {
	return c.NotifyKey == o.NotifyKey && slices.Equal(c.Allow, o.Allow) && slices.Equal(c.Keys, o.Keys) && slices.Equal(c.Notify, o.Notify) && slices.Equal(c.From, o.From)
}
