package catalog

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Status is the state of a check.
type Status string

// The states of a check. Any is for queries only.
const (
	Passing     Status = "passing"
	Warning     Status = "warning"
	Critical    Status = "critical"
	Maintenance Status = "maintenance"
	Any         Status = "any"
)

// Valid reports whether a check may carry the status.
func (s Status) Valid() bool { return s == Passing || s == Warning || s == Critical }

// Check IDs with a meaning of their own.
const (
	// SerfHealth is the leader's check of a member's liveness.
	SerfHealth = "serfHealth"
	// NodeMaintenance is the check that puts a whole node into maintenance.
	NodeMaintenance = "_node_maintenance"
	// ServiceMaintenancePrefix and a service ID make the check that puts a service into maintenance.
	ServiceMaintenancePrefix = "_service_maintenance:"
)

// Check is the result of a health check, on a node or on one of its services.
type Check struct {
	Node        string          `json:"Node"`
	CheckID     string          `json:"CheckID"`
	Name        string          `json:"Name"`
	Status      Status          `json:"Status"`
	Notes       string          `json:"Notes"`
	Output      string          `json:"Output"`
	ServiceID   string          `json:"ServiceID"`
	ServiceName string          `json:"ServiceName"`
	ServiceTags []string        `json:"ServiceTags"`
	Type        string          `json:"Type"`
	Interval    string          `json:"Interval"`
	Timeout     string          `json:"Timeout"`
	ExposedPort int             `json:"ExposedPort"`
	Definition  CheckDefinition `json:"Definition"`
	CreateIndex uint64          `json:"CreateIndex"`
	ModifyIndex uint64          `json:"ModifyIndex"`
}

// CheckDefinition is how an external monitor is to run a check that was put
// straight into the catalog. Agents run their own checks from their own definitions.
type CheckDefinition struct {
	HTTP                           string              `json:"HTTP,omitempty"`
	TLSServerName                  string              `json:"TLSServerName,omitempty"`
	TLSSkipVerify                  bool                `json:"TLSSkipVerify,omitempty"`
	Header                         map[string][]string `json:"Header,omitempty"`
	Method                         string              `json:"Method,omitempty"`
	Body                           string              `json:"Body,omitempty"`
	DisableRedirects               bool                `json:"DisableRedirects,omitempty"`
	TCP                            string              `json:"TCP,omitempty"`
	TCPUseTLS                      bool                `json:"TCPUseTLS,omitempty"`
	UDP                            string              `json:"UDP,omitempty"`
	GRPC                           string              `json:"GRPC,omitempty"`
	OSService                      string              `json:"OSService,omitempty"`
	GRPCUseTLS                     bool                `json:"GRPCUseTLS,omitempty"`
	H2PING                         string              `json:"H2PING,omitempty"`
	H2PingUseTLS                   bool                `json:"H2PingUseTLS,omitempty"`
	Interval                       Duration            `json:"Interval,omitzero"`
	Timeout                        Duration            `json:"Timeout,omitzero"`
	DeregisterCriticalServiceAfter Duration            `json:"DeregisterCriticalServiceAfter,omitzero"`
	AliasNode                      string              `json:"AliasNode,omitempty"`
	AliasService                   string              `json:"AliasService,omitempty"`
}

// SameContent reports whether two checks differ in nothing but their indexes.
func (c *Check) SameContent(o *Check) bool {
	return c.Node == o.Node && c.CheckID == o.CheckID && c.Name == o.Name && c.Status == o.Status &&
		c.Notes == o.Notes && c.Output == o.Output && c.ServiceID == o.ServiceID && c.ServiceName == o.ServiceName &&
		slices.Equal(c.ServiceTags, o.ServiceTags) && c.Type == o.Type && c.Interval == o.Interval &&
		c.Timeout == o.Timeout && c.ExposedPort == o.ExposedPort && c.Definition.same(&o.Definition)
}

func (d *CheckDefinition) same(o *CheckDefinition) bool {
	a, b := *d, *o
	if !maps.EqualFunc(a.Header, b.Header, slices.Equal) {
		return false
	}
	a.Header, b.Header = nil, nil
	return a.HTTP == b.HTTP && a.TLSServerName == b.TLSServerName && a.TLSSkipVerify == b.TLSSkipVerify &&
		a.Method == b.Method && a.Body == b.Body && a.DisableRedirects == b.DisableRedirects && a.TCP == b.TCP &&
		a.TCPUseTLS == b.TCPUseTLS && a.UDP == b.UDP && a.GRPC == b.GRPC && a.OSService == b.OSService &&
		a.GRPCUseTLS == b.GRPCUseTLS && a.H2PING == b.H2PING && a.H2PingUseTLS == b.H2PingUseTLS &&
		a.Interval == b.Interval && a.Timeout == b.Timeout && a.AliasNode == b.AliasNode &&
		a.DeregisterCriticalServiceAfter == b.DeregisterCriticalServiceAfter && a.AliasService == b.AliasService
}

// Duration is a time.Duration that is text such as "10s" in JSON, and that also
// takes a number of nanoseconds.
type Duration time.Duration

// MarshalJSON writes the duration as text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads text ("10s") or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		if s == "" {
			*d = 0
			return nil
		}
		v, err := time.ParseDuration(s)
		if err != nil {
			return err
		}
		*d = Duration(v)
		return nil
	}
	var n int64
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*d = Duration(n)
	return nil
}
