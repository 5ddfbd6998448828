package checks

import (
	"time"

	"consul.internal/catalog"
)

// Definition says how one health check is run. Exactly one kind must be chosen
// (see Kind); Validate says what is wrong otherwise.
//
// It is what a configuration file's "check" block and a registration over HTTP
// both decode into. Durations are in their Go units; zero means the default.
type Definition struct {
	ID        string
	Name      string
	Notes     string
	ServiceID string // "" = a check of the node
	Status    catalog.Status
	Token     string

	TTL time.Duration

	HTTP             string
	Method           string
	Header           map[string][]string
	Body             string
	DisableRedirects bool

	TCP       string
	TCPUseTLS bool
	UDP       string

	GRPC       string
	GRPCUseTLS bool

	H2PING       string
	H2PINGUseTLS bool // default true where H2PING is given

	Args              []string
	DockerContainerID string
	Shell             string

	OSService string

	AliasNode    string
	AliasService string

	TLSServerName string
	TLSSkipVerify bool

	Interval time.Duration
	Timeout  time.Duration

	SuccessBeforePassing           int
	FailuresBeforeWarning          int
	FailuresBeforeCritical         int
	DeregisterCriticalServiceAfter time.Duration

	OutputMaxSize int // bytes; 0 = the agent's check_output_max_size
	ExposedPort   int
}
