package charts

import (
	"strings"
	"testing"
)

func TestLink(t *testing.T) {
	for _, tt := range []struct{ template, service, want string }{
		{"", "web", ""},
		{"https://g.example.com/d/x?service={{Service.Name}}&dc={{Datacenter}}", "web", "https://g.example.com/d/x?service=web&dc=dc1"},
		{"https://g/{{ Service.Name }}", "web", "https://g/web"},
		{"https://g/?ns={{Service.Namespace}}&p={{Service.Partition}}&q={{Nobody.Knows}}&e={{}}&s={{service.name}}", "web", "https://g/?ns=&p=&q=&e=&s="},
		{"https://g/{{Service.Name}}", `a b/../c?d=e&f+g#h%20"<>'{}ä:@`, "https://g/a%20b%2F..%2Fc%3Fd%3De%26f%2Bg%23h%2520%22%3C%3E%27%7B%7D%C3%A4%3A%40"},
		{"https://g/{{Service.Name}}", "{{Datacenter}}", "https://g/%7B%7BDatacenter%7D%7D"},
		{"https://g/{{Service.Name", "web", "https://g/{{Service.Name"},
		{"https://g/}}{{Datacenter}}", "web", "https://g/}}dc1"},
		{"https://g/{{Service.Name}}", strings.Repeat("/", maxLink/3), ""},
	} {
		if got := Link(tt.template, "dc1", tt.service); got != tt.want {
			t.Errorf("%s of %.40q is %.200s, want %s", tt.template, tt.service, got, tt.want)
		}
	}
}

func TestCheckDashboard(t *testing.T) {
	for _, tt := range []struct{ template, wrong string }{
		{"https://grafana.example.com/d/x?service={{Service.Name}}&dc={{Datacenter}}", ""},
		{"http://10.0.0.1:3000/{{Service.Name}}/{{Service.Namespace}}", ""},
		{"HTTPS://grafana.{{Datacenter}}.example.com/", ""},
		{"https://{{Service.Name}}.example.com/", ""},
		{"https://[2001:db8::1]:3000/{{Service.Name}}", ""},
		{"", "is not a URL"},
		{"javascript:alert('{{Service.Name}}')", "is not a URL"},
		{"{{Service.Name}}://example.com", "is not a URL"},
		{"{{Service.Name}}", "is not a URL"},
		{"//example.com/x", "is not a URL"},
		{"/d/x", "is not a URL"},
		{"data:text/html,x", "is not a URL"},
		{"ftp://example.com/", "is not a URL"},
		{"https:///d/x", "is not a URL"},
		{"https://{{Nobody.Knows}}/", "is not a URL"},
		{"https://a.example.com/\nb", "is not a URL"},
		{" https://a.example.com/", "is not a URL"},
		{"https://{{Service.Name}}", "end of a host"},
		{"https://grafana{{Service.Name}}/d/x", "end of a host"},
		{"https://grafana.example.{{Service.Name}}:3000/", "end of a host"},
		{"https://grafana.example.com:{{Service.Name}}/", "is not a URL"},
	} {
		err := CheckDashboard(tt.template)
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%q: %v, want %q", tt.template, err, tt.wrong)
		}
	}
}
