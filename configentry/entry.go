package configentry

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"consul.internal/internal/fault"
)

// The kinds of config entries.
const (
	KindServiceDefaults    = "service-defaults"
	KindProxyDefaults      = "proxy-defaults"
	KindServiceRouter      = "service-router"
	KindServiceSplitter    = "service-splitter"
	KindServiceResolver    = "service-resolver"
	KindIngressGateway     = "ingress-gateway"
	KindTerminatingGateway = "terminating-gateway"
	KindServiceIntentions  = "service-intentions"
	KindMesh               = "mesh"
	KindExportedServices   = "exported-services"
	KindSamenessGroup      = "sameness-group"
	KindAPIGateway         = "api-gateway"
	KindBoundAPIGateway    = "bound-api-gateway"
	KindHTTPRoute          = "http-route"
	KindTCPRoute           = "tcp-route"
	KindInlineCertificate  = "inline-certificate"
	KindFileCertificate    = "file-system-certificate"
	KindJWTProvider        = "jwt-provider"
	KindRequestLimit       = "control-plane-request-limit"
)

// Names of the kinds of which there is one entry.
const (
	ProxyDefaultsName    = "global"
	MeshName             = "mesh"
	ExportedServicesName = "default"
)

// Entry is one config entry.
type Entry struct {
	Kind string
	Name string
	Body Body
	Meta map[string]string `json:",omitempty"`
	// Hash of all that users set.
	Hash        uint64 `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

// Body is what an entry of a kind says: the field of its kind is set, no other.
type Body struct {
	ServiceDefaults    *ServiceDefaults    `json:",omitempty"`
	ProxyDefaults      *ProxyDefaults      `json:",omitempty"`
	ServiceRouter      *ServiceRouter      `json:",omitempty"`
	ServiceSplitter    *ServiceSplitter    `json:",omitempty"`
	ServiceResolver    *ServiceResolver    `json:",omitempty"`
	IngressGateway     *IngressGateway     `json:",omitempty"`
	TerminatingGateway *TerminatingGateway `json:",omitempty"`
	ServiceIntentions  *ServiceIntentions  `json:",omitempty"`
	Mesh               *Mesh               `json:",omitempty"`
	ExportedServices   *ExportedServices   `json:",omitempty"`
	APIGateway         *APIGateway         `json:",omitempty"`
	BoundAPIGateway    *BoundAPIGateway    `json:",omitempty"`
	HTTPRoute          *HTTPRoute          `json:",omitempty"`
	TCPRoute           *TCPRoute           `json:",omitempty"`
	InlineCertificate  *Certificate        `json:",omitempty"`
	FileCertificate    *Certificate        `json:",omitempty"`
	JWTProvider        *JWTProvider        `json:",omitempty"`
}

// definition is what all kinds of bodies do.
type definition interface {
	// normalize brings what users write in several ways into one form.
	normalize()
	// validate says what is wrong with a normalized body.
	validate(e *Entry) error
}

// kind is how the body of a kind is made and found; get gives nil if it is not there.
type kind struct {
	get  func(*Body) definition
	make func(*Body) definition
	only func(*Body) // drops what is not of the kind
}

func of[T any, P interface {
	*T
	definition
}](field func(*Body) **T) kind {
	return kind{
		get: func(b *Body) definition {
			if p := *field(b); p != nil {
				return P(p)
			}
			return nil
		},
		make: func(b *Body) definition {
			p := new(T)
			*field(b) = p
			return P(p)
		},
		only: func(b *Body) {
			p := *field(b)
			*b = Body{}
			*field(b) = p
		},
	}
}

func kinds() map[string]kind {
	return map[string]kind{
		KindServiceDefaults:    of(func(b *Body) **ServiceDefaults { return &b.ServiceDefaults }),
		KindProxyDefaults:      of(func(b *Body) **ProxyDefaults { return &b.ProxyDefaults }),
		KindServiceRouter:      of(func(b *Body) **ServiceRouter { return &b.ServiceRouter }),
		KindServiceSplitter:    of(func(b *Body) **ServiceSplitter { return &b.ServiceSplitter }),
		KindServiceResolver:    of(func(b *Body) **ServiceResolver { return &b.ServiceResolver }),
		KindIngressGateway:     of(func(b *Body) **IngressGateway { return &b.IngressGateway }),
		KindTerminatingGateway: of(func(b *Body) **TerminatingGateway { return &b.TerminatingGateway }),
		KindServiceIntentions:  of(func(b *Body) **ServiceIntentions { return &b.ServiceIntentions }),
		KindMesh:               of(func(b *Body) **Mesh { return &b.Mesh }),
		KindExportedServices:   of(func(b *Body) **ExportedServices { return &b.ExportedServices }),
		KindAPIGateway:         of(func(b *Body) **APIGateway { return &b.APIGateway }),
		KindBoundAPIGateway:    of(func(b *Body) **BoundAPIGateway { return &b.BoundAPIGateway }),
		KindHTTPRoute:          of(func(b *Body) **HTTPRoute { return &b.HTTPRoute }),
		KindTCPRoute:           of(func(b *Body) **TCPRoute { return &b.TCPRoute }),
		KindInlineCertificate:  of(func(b *Body) **Certificate { return &b.InlineCertificate }),
		KindFileCertificate:    of(func(b *Body) **Certificate { return &b.FileCertificate }),
		KindJWTProvider:        of(func(b *Body) **JWTProvider { return &b.JWTProvider }),
	}
}

// Kinds lists all kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds())) }

// elsewhere are kinds that exist but have no entries here: they are of the
// reference's enterprise edition.
func elsewhere(kind string) bool { return kind == KindSamenessGroup || kind == KindRequestLimit }

// CheckKind refuses kinds that there are not.
func CheckKind(name string) error {
	if _, ok := kinds()[name]; !ok && !elsewhere(name) {
		return fault.Newf(fault.Invalid, "invalid config entry kind: %s", name)
	}
	return nil
}

func (e *Entry) definition() definition {
	k, ok := kinds()[e.Kind]
	if !ok {
		return nil
	}
	return k.get(&e.Body)
}

// What the official client asks of an entry that it is to write.
func (e *Entry) GetKind() string            { return e.Kind }
func (e *Entry) GetName() string            { return e.Name }
func (e *Entry) GetPartition() string       { return "" }
func (e *Entry) GetNamespace() string       { return "" }
func (e *Entry) GetMeta() map[string]string { return e.Meta }
func (e *Entry) GetCreateIndex() uint64     { return e.CreateIndex }
func (e *Entry) GetModifyIndex() uint64     { return e.ModifyIndex }

// head is what all kinds have in common, as the API shows it.
type head struct {
	Kind        string
	Name        string            `json:",omitempty"`
	Meta        map[string]string `json:",omitempty"`
	Hash        uint64            `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

// MarshalJSON shows an entry as the API does: what its kind says beside what all
// have in common.
func (e *Entry) MarshalJSON() ([]byte, error) {
	h := head{e.Kind, e.Name, e.Meta, e.Hash, e.CreateIndex, e.ModifyIndex}
	if e.Kind == KindMesh {
		h.Name = "" // there is one, which is not named
	}
	front, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	d := e.definition()
	if d == nil {
		return nil, fmt.Errorf("config entry %s/%s has no body", e.Kind, e.Name)
	}
	body, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if string(body) == "{}" {
		return front, nil
	}
	return append(append(body[:len(body)-1], ','), front[1:]...), nil
}

// UnmarshalJSON reads an entry as the API takes and shows it.
func (e *Entry) UnmarshalJSON(data []byte) error {
	in, err := DecodeJSON(data)
	if err != nil {
		return err
	}
	*e = *in
	return nil
}

// Clone copies an entry and all it holds.
func (e *Entry) Clone() (*Entry, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, fault.With(fault.Invalid, err)
	}
	return DecodeJSON(raw)
}

// Same says whether two entries say the same, whenever they were written.
func (e *Entry) Same(o *Entry) bool {
	return o != nil && e.Kind == o.Kind && e.Name == o.Name && e.sum() == o.sum()
}

// sum is a hash of what users set.
func (e *Entry) sum() uint64 {
	bare := *e
	bare.Hash, bare.CreateIndex, bare.ModifyIndex = 0, 0, 0
	text, err := json.Marshal(&bare)
	if err != nil {
		return 0 // it cannot be shown, so it will not be stored
	}
	h := fnv.New64a()
	_, _ = h.Write(text)
	return h.Sum64()
}

// Prepare brings an entry into its stored form and says what is wrong with it.
func (e *Entry) Prepare() error {
	d := e.definition()
	if d == nil {
		return fault.Newf(fault.Invalid, "invalid config entry kind: %s", e.Kind)
	}
	kinds()[e.Kind].only(&e.Body)
	if e.Kind == KindMesh {
		e.Name = MeshName
	}
	d.normalize()
	if len(e.Meta) == 0 {
		e.Meta = nil
	}
	if err := e.checkHead(); err != nil {
		return err
	}
	if err := d.validate(e); err != nil {
		return err
	}
	e.Hash = e.sum()
	return nil
}

const (
	// maxName bounds a name: twice what a DNS name may be.
	maxName = 512
	// Bounds of metadata, as those of nodes and services.
	maxMetaPairs = 64
	maxMetaKey   = 128
	maxMetaValue = 512
)

func (e *Entry) checkHead() error {
	switch {
	case e.Name == "":
		return fault.Newf(fault.Invalid, "Name is required")
	case len(e.Name) > maxName:
		return fault.Newf(fault.Invalid, "Name is too long: %d bytes, at most %d", len(e.Name), maxName)
	case strings.ContainsRune(e.Name, 0):
		return fault.Newf(fault.Invalid, "Name must not hold a NUL character")
	case len(e.Meta) > maxMetaPairs:
		return fault.Newf(fault.Invalid, "Meta is too large: %d pairs, at most %d", len(e.Meta), maxMetaPairs)
	}
	for k, v := range e.Meta {
		switch {
		case k == "":
			return fault.Newf(fault.Invalid, "Meta keys cannot be blank")
		case len(k) > maxMetaKey:
			return fault.Newf(fault.Invalid, "Meta key %q is too long: at most %d bytes", k, maxMetaKey)
		case len(v) > maxMetaValue:
			return fault.Newf(fault.Invalid, "Meta value of %q is too long: at most %d bytes", k, maxMetaValue)
		}
	}
	return nil
}
