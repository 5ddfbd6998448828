package charts

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// patience is the longest that an answer may take: who looks at a chart has
	// given up long before.
	patience = 30 * time.Second
	// maxAnswer bounds an answer: a hundred series of as many points as Prometheus
	// gives, 11,000, fit.
	maxAnswer = 32 << 20
	// maxHeader bounds the header of an answer, of which one line is used.
	maxHeader = 64 << 10
	// atOnce bounds the requests under way, so that who loads charts all the time
	// does not keep the metrics' server from its work.
	atOnce = 16
	// maxLink is the longest link: servers commonly take no more.
	maxLink = 8 << 10
)

// Config of the requests that are passed on.
type Config struct {
	// Base is the URL that all of them go below; "" = none is passed on.
	Base string
	// Paths below it that may be asked for, whole.
	Paths []string
	// Header is added to each of them; its names are canonical.
	Header http.Header
}

// DefaultPaths are those that charts out of Prometheus need.
func DefaultPaths() []string { return []string{"/api/v1/query_range", "/api/v1/query"} }

// Validate says what is wrong with a configuration.
func (c *Config) Validate() error {
	if c.Base == "" {
		return nil
	}
	if err := CheckBase(c.Base); err != nil {
		return fmt.Errorf("ui_config.metrics_proxy.base_url: %w", err)
	}
	for _, p := range c.Paths {
		if err := CheckPath(p); err != nil {
			return fmt.Errorf("ui_config.metrics_proxy.path_allowlist: %w", err)
		}
	}
	for name, values := range c.Header {
		for _, v := range values {
			if err := CheckHeader(name, v); err != nil {
				return fmt.Errorf("ui_config.metrics_proxy.add_headers: %w", err)
			}
		}
	}
	return nil
}

// CheckBase says what is wrong with a URL that requests go below. The URL is not
// repeated: a password may stand in it.
func CheckBase(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("it must be a URL such as http://prometheus.example.com:9090, of http or https")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("a URL that others are appended to has no ? and no #")
	}
	return nil
}

// CheckPath says what is wrong with a path that may be asked for. It must be written
// as requests have it, because they are compared with it byte for byte.
func CheckPath(text string) error {
	whole := text
	if len(text) > 1 && text[len(text)-1] == '/' {
		whole = text[:len(text)-1]
	}
	if text == "" || text[0] != '/' || path.Clean(whole) != whole || (&url.URL{Path: text}).EscapedPath() != text {
		return fmt.Errorf("%q is not a path such as /api/v1/query: it begins with a slash, has no . or .. in it, and nothing that is written with %%", text)
	}
	return nil
}

// CheckHeader says what is wrong with a line of a request's header. The value is not
// repeated: it may be a secret.
func CheckHeader(name, text string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%q is not the name of a header", name)
	}
	if !httpguts.ValidHeaderFieldValue(text) {
		return fmt.Errorf("the value of %s has characters that no header may have", name)
	}
	return nil
}
