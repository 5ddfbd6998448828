package charts

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Link is a template's link to the dashboard of a service, "" if there is none.
// Namespaces and partitions are empty, as where there are none, and so is a
// placeholder that nobody knows.
func Link(template, datacenter, service string) string {
	text := fill(template, func(name string) string {
		switch name {
		case "Datacenter":
			return escaped(datacenter)
		case "Service.Name":
			return escaped(service)
		}
		return ""
	})
	if len(text) > maxLink {
		return ""
	}
	return text
}

// fill puts values in the places of {{name}}.
func fill(template string, value func(name string) string) string {
	var b strings.Builder
	for {
		before, rest, opened := strings.Cut(template, "{{")
		name, after, closed := strings.Cut(rest, "}}")
		if !opened || !closed {
			b.WriteString(template)
			return b.String()
		}
		b.WriteString(before)
		b.WriteString(value(strings.TrimSpace(name)))
		template = after
	}
}

// escaped is a value that means nothing but itself, wherever in a URL it stands.
func escaped(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// CheckDashboard says what is wrong with a template of links. Who registers a service
// chooses its name, and must not choose by it to whom a link leads.
func CheckDashboard(template string) error {
	one, err := url.Parse(Link(template, "dc", "one"))
	if err != nil || one.Scheme != "http" && one.Scheme != "https" || one.Hostname() == "" {
		return fmt.Errorf("%q is not a URL of http or https, such as https://grafana.example.com/d/x?var-service={{Service.Name}}", template)
	}
	two, err := url.Parse(Link(template, "dc", "two"))
	if err != nil || top(one) != top(two) || one.Port() != two.Port() {
		return errors.New("{{Service.Name}} cannot be the end of a host's name: whoever registers a service would choose where the link leads")
	}
	return nil
}

// top is the last part of the name of a URL's host.
func top(u *url.URL) string {
	host := u.Hostname()
	return host[strings.LastIndexByte(host, '.')+1:]
}
