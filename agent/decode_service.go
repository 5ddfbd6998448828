package agent

import (
	"fmt"
	"io"
	"slices"

	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/fault"
)

// DecodeService reads the body of a service registration. Member names are
// taken without regard to case and underscores; unknown ones, doubled ones and
// wrong types are errors of kind Invalid that name the member. An error of the
// reader is passed on as it is.
func DecodeService(r io.Reader) (*ServiceDefinition, error) {
	o, err := parse(r)
	if err != nil {
		return nil, err
	}
	def := new(ServiceDefinition)
	if err := serviceFields(def)("", o); err != nil {
		return nil, fault.With(fault.Invalid, err)
	}
	return def, nil
}

// DecodeCheck reads the body of a check registration, as DecodeService does.
func DecodeCheck(r io.Reader) (*checks.Definition, error) {
	o, err := parse(r)
	if err != nil {
		return nil, err
	}
	def := new(checks.Definition)
	if err := checkFields(def)("", o); err != nil {
		return nil, fault.With(fault.Invalid, err)
	}
	return def, nil
}

// CheckUpdate is the body of an update of a TTL check.
type CheckUpdate struct {
	Status catalog.Status
	Output string
}

// DecodeCheckUpdate reads the body of an update of a TTL check.
func DecodeCheckUpdate(r io.Reader) (*CheckUpdate, error) {
	o, err := parse(r)
	if err != nil {
		return nil, err
	}
	u := new(CheckUpdate)
	err = fill("", o, map[string]setter{"status": text(&u.Status), "output": text(&u.Output)})
	if err != nil {
		return nil, fault.With(fault.Invalid, err)
	}
	return u, nil
}

func serviceFields(d *ServiceDefinition) setter {
	return func(path string, v any) error {
		var check *checks.Definition
		table := map[string]setter{
			"kind": text(&d.Kind), "id": text(&d.ID), "name": text(&d.Name), "tags": texts(&d.Tags),
			"address": text(&d.Address), "port": integer(&d.Port), "socketpath": text(&d.SocketPath),
			"taggedaddresses": mapping(&d.TaggedAddresses, func(a *catalog.ServiceAddress) setter {
				return func(path string, v any) error {
					return fill(path, v, map[string]setter{"address": text(&a.Address), "port": integer(&a.Port)})
				}
			}),
			"meta":              mapping(&d.Meta, text[string]),
			"enabletagoverride": boolean(&d.EnableTagOverride),
			"token":             text(&d.Token),
			"weights": func(path string, v any) error {
				d.Weights = new(catalog.Weights)
				return fill(path, v, map[string]setter{"passing": integer(&d.Weights.Passing), "warning": integer(&d.Weights.Warning)})
			},
			"check": func(path string, v any) error {
				check = new(checks.Definition)
				return checkFields(check)(path, v)
			},
			"checks": func(path string, v any) error {
				return list(path, v, func(path string, v any) error {
					if v == nil {
						return nil
					}
					d.Checks = append(d.Checks, checks.Definition{})
					return checkFields(&d.Checks[len(d.Checks)-1])(path, v)
				})
			},
			"proxy":   proxyFields(&d.Proxy),
			"connect": connectFields(&d.Connect),
			// Accepted and without effect here: parts of other editions and of what is not built.
			"namespace": nil, "partition": nil, "peername": nil, "locality": nil, "ports": nil, "ai": nil,
		}
		err := fill(path, v, table)
		if check != nil {
			d.Checks = append([]checks.Definition{*check}, d.Checks...)
		}
		return err
	}
}

func proxyFields(p *catalog.Proxy) setter {
	return func(path string, v any) error {
		return fill(path, v, map[string]setter{
			"destinationservicename": text(&p.DestinationServiceName), "destinationserviceid": text(&p.DestinationServiceID),
			"localserviceaddress": text(&p.LocalServiceAddress), "localserviceport": integer(&p.LocalServicePort),
			"mode": text(&p.Mode), "config": anyMap(&p.Config), "meshgateway": anyMap(&p.MeshGateway), "expose": anyMap(&p.Expose),
			"upstreams": func(path string, v any) error {
				return list(path, v, func(path string, v any) error {
					var u map[string]any
					err := anyMap(&u)(path, v)
					p.Upstreams = append(p.Upstreams, u)
					return err
				})
			},
			"localservicesocketpath": nil, "transparentproxy": nil, "envoyextensions": nil, "mutualtlsmode": nil, "accesslogs": nil,
		})
	}
}

func connectFields(c *catalog.Connect) setter {
	return func(path string, v any) error {
		return fill(path, v, map[string]setter{"native": boolean(&c.Native), "sidecarservice": nil, "peermeta": nil})
	}
}

func checkFields(d *checks.Definition) setter {
	return func(path string, v any) error {
		var checkID string
		var scriptArgs []string
		var h2TLS *bool
		table := map[string]setter{
			"id": text(&d.ID), "checkid": text(&checkID), "name": text(&d.Name), "notes": text(&d.Notes),
			"serviceid": text(&d.ServiceID), "status": text(&d.Status), "token": text(&d.Token),
			"ttl": duration(&d.TTL), "interval": duration(&d.Interval), "timeout": duration(&d.Timeout),
			"http": text(&d.HTTP), "method": text(&d.Method), "body": text(&d.Body),
			"header":           mapping(&d.Header, texts),
			"disableredirects": boolean(&d.DisableRedirects),
			"tcp":              text(&d.TCP), "tcpusetls": boolean(&d.TCPUseTLS), "udp": text(&d.UDP),
			"grpc": text(&d.GRPC), "grpcusetls": boolean(&d.GRPCUseTLS),
			"h2ping": text(&d.H2PING), "h2pingusetls": func(path string, v any) error {
				h2TLS = new(bool)
				return boolean(h2TLS)(path, v)
			},
			"args": texts(&d.Args), "scriptargs": texts(&scriptArgs),
			"dockercontainerid": text(&d.DockerContainerID), "shell": text(&d.Shell), "osservice": text(&d.OSService),
			"aliasnode": text(&d.AliasNode), "aliasservice": text(&d.AliasService),
			"tlsservername": text(&d.TLSServerName), "tlsskipverify": boolean(&d.TLSSkipVerify),
			"successbeforepassing": integer(&d.SuccessBeforePassing), "failuresbeforewarning": integer(&d.FailuresBeforeWarning),
			"failuresbeforecritical":         integer(&d.FailuresBeforeCritical),
			"deregistercriticalserviceafter": duration(&d.DeregisterCriticalServiceAfter),
			"outputmaxsize":                  integer(&d.OutputMaxSize), "exposedport": integer(&d.ExposedPort),
			"script": removedScript, "namespace": nil, "partition": nil, "peername": nil,
		}
		if err := fill(path, v, table); err != nil {
			return err
		}
		switch {
		case d.ID != "" && checkID != "" && d.ID != checkID:
			return fmt.Errorf("%sID and CheckID name the same thing, but are %q and %q", within(path), d.ID, checkID)
		case len(d.Args) > 0 && len(scriptArgs) > 0 && !slices.Equal(d.Args, scriptArgs):
			return fmt.Errorf("%sArgs and ScriptArgs name the same thing, but are %q and %q", within(path), d.Args, scriptArgs)
		}
		if d.ID == "" {
			d.ID = checkID
		}
		if len(d.Args) == 0 {
			d.Args = scriptArgs
		}
		if d.H2PING != "" {
			d.H2PINGUseTLS = h2TLS == nil || *h2TLS
		}
		return nil
	}
}

// removedScript takes the empty text, which old libraries send along.
func removedScript(path string, v any) error {
	if s, ok := v.(string); ok && s == "" {
		return nil
	}
	return fmt.Errorf(`%s is no longer supported: use Args, such as ["/bin/sh", "-c", "..."]`, path)
}

// within begins a message about what lies at path.
func within(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}
