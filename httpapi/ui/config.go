package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"consul.internal/httpapi/charts"
	"consul.internal/httpapi/edge"
	dnsnames "consul.internal/httpapi/names"
	"consul.internal/kv"
	"go.uber.org/zap"
)

// DefaultPath is where browsers have always found the pages.
const DefaultPath = "/ui/"

// Config of the pages.
type Config struct {
	// Path that they are served under, with slashes at both ends; "" = DefaultPath.
	Path string
	// Dir has somebody's own pages, which are served instead; "" = none.
	Dir string
	// Dashboard is the template of the link to a service's dashboard; "" = none.
	Dashboard string
	// Domain of the names that the agent answers, for what pages say of DNS.
	Domain string
}

// At is the path with its slashes.
func (c *Config) At() string {
	if middle := strings.Trim(c.Path, "/"); middle != "" {
		return "/" + middle + "/"
	}
	return DefaultPath
}

// Validate says what is wrong with a configuration.
func (c *Config) Validate() error {
	at := c.At()
	if strings.ContainsAny(at, "{}?#%\\ ") || strings.Contains(at, "//") || strings.Contains(at, "/.") || strings.HasPrefix(at, "/v1/") || strings.HasPrefix(at, "/debug/") {
		return errors.New("ui_config.content_path: a path of plain letters, such as /ui/, that is not below /v1/ or /debug/")
	}
	if c.Dashboard != "" {
		if err := charts.CheckDashboard(c.Dashboard); err != nil {
			return fmt.Errorf("ui_config.dashboard_url_templates: %w", err)
		}
	}
	return nil
}

// Events are the users' events that the agent has seen.
type Events interface {
	List(ctx context.Context, name string, pass func(*kv.Event) bool, min uint64) (uint64, []*kv.Event)
}

// Deps are what the pages are made of.
type Deps struct {
	*edge.Base
	Events Events             // nil = the agent sees none
	DNS    dnsnames.Explainer // nil = it answers no DNS
	Log    *zap.Logger
}

const (
	// liveWait is how long a page's script waits for news in one request: less than
	// the minute after which proxies commonly lose patience.
	liveWait = 50 * time.Second
	// livePause is the least time between two renderings of one page, so that a burst
	// of changes is one; livePauseFactor makes costly pages rarer: an eighth of a
	// processor at most.
	livePause       = 300 * time.Millisecond
	livePauseFactor = 8
	// liveFailed is how long after a failed watch the page is looked at again.
	liveFailed = time.Second
	// maxLive bounds the pages that wait on one agent: each holds a few reads.
	maxLive = 256
	// pageLife is the time for one page; what takes longer is shown as an error.
	pageLife = 20 * time.Second

	// maxHealth is how many services the list counts instances of: those that all are
	// in one answer. Of more, only those shown are read, one by one, every manyEvery.
	maxHealth = 2000
	manyEvery = 10 * time.Second
	// parallel reads for one page: enough to hide round trips, too few to crowd others out.
	parallel = 8

	// maxBody is what of the 100 KB of a page its changing part may take.
	maxBody = 80 << 10

	// Sizes that keep a page below 100 KB: rows on a page, and characters of a text.
	servicesPerPage  = 60
	instancesPerPage = 20
	nodesPerPage     = 100
	keysPerPage      = 150
	itemsPerPage     = 100
	checksShown      = 12
	tagsShown        = 8
	metaShown        = 24
	shortText        = 120
	outputShort      = 240
	outputLong       = 2000
	valueEdited      = 32 << 10 // longer values are for the command line
	valuePeeked      = 2 << 10
)
