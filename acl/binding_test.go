package acl

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRulesAreJudged(t *testing.T) {
	values := []string{"role", "team"}
	for _, tt := range []struct {
		rule  BindingRule
		wrong string // part of the error, "" = it is right
	}{
		{BindingRule{BindType: BindService, BindName: "web-${value.role}"}, ""},
		{BindingRule{BindType: BindService, BindName: "web"}, ""},
		{BindingRule{BindType: BindService, BindName: "Web"}, "invalid name"},
		{BindingRule{BindType: BindService, BindName: ""}, "cannot be empty"},
		{BindingRule{BindType: BindService, BindName: "${value.other}"}, "unknown variable"},
		{BindingRule{BindType: BindService, BindName: "${role}"}, "unknown variable"},
		{BindingRule{BindType: BindService, BindName: "${value.role"}, "no closing"},
		{BindingRule{BindType: BindRole, BindName: "$${value.other}"}, ""},
		{BindingRule{BindType: BindPolicy, BindName: "${ value.role }"}, ""},
		{BindingRule{BindType: BindRole, BindName: strings.Repeat("a", maxBindName+1)}, "longer"},
		{BindingRule{BindType: BindNode, BindName: "n-${value.team}"}, ""},
		{BindingRule{BindType: "weird", BindName: "x"}, `unknown BindType "weird"`},
		{BindingRule{BindType: BindTemplated, BindName: "builtin/service", BindVars: &TemplateVariables{Name: "${value.role}"}}, ""},
		{BindingRule{BindType: BindTemplated, BindName: "builtin/service"}, "needs a name"},
		{BindingRule{BindType: BindTemplated, BindName: "builtin/none"}, "no such"},
		{BindingRule{BindType: BindService, BindName: "a", BindVars: &TemplateVariables{Name: "x"}}, "BindVars"},
		{BindingRule{BindType: BindRole, BindName: "a", Selector: "value.role==web and admin in list.groups"}, ""},
		{BindingRule{BindType: BindRole, BindName: "a", Selector: "value.role=="}, "Selector is invalid"},
		{BindingRule{BindType: BindRole, BindName: "a", Selector: "claims.role==x"}, "Selector is invalid"},
	} {
		err := tt.rule.Validate(values)
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%+v: %v, want %q", tt.rule, err, tt.wrong)
		}
	}
}

func TestBind(t *testing.T) {
	p := &Proven{Value: map[string]string{"role": "web", "team": "", "odd": "A b"}, List: map[string][]string{"groups": {"admin", "dev"}, "none": nil}}
	for _, tt := range []struct {
		rule  BindingRule
		want  Token
		wrong bool
	}{
		{BindingRule{BindType: BindService, BindName: "${value.role}-api"}, Token{ServiceIdentities: []ServiceIdentity{{ServiceName: "web-api"}}}, false},
		{BindingRule{BindType: BindService, BindName: "x", Selector: "value.role==db"}, Token{}, false},
		{BindingRule{BindType: BindService, BindName: "x", Selector: "value.team is empty and value.missing != a"}, Token{ServiceIdentities: []ServiceIdentity{{ServiceName: "x"}}}, false},
		{BindingRule{BindType: BindNode, BindName: "x", Selector: `"admin" in list.groups`}, Token{NodeIdentities: []NodeIdentity{{"x", "dc7"}}}, false},
		{BindingRule{BindType: BindNode, BindName: "x", Selector: `list.groups contains ops`}, Token{}, false},
		{BindingRule{BindType: BindNode, BindName: "x", Selector: `list.none is not empty`}, Token{}, false},
		{BindingRule{BindType: BindRole, BindName: "a$${b}-${value.role}"}, Token{Roles: []Link{{Name: "a${b}-web"}}}, false},
		{BindingRule{BindType: BindPolicy, BindName: "${value.odd}"}, Token{Policies: []Link{{Name: "A b"}}}, false},
		{BindingRule{BindType: BindService, BindName: "${value.odd}"}, Token{}, true},
		{BindingRule{BindType: BindService, BindName: "${value.team}"}, Token{}, true},
		{BindingRule{BindType: BindTemplated, BindName: "builtin/service", BindVars: &TemplateVariables{Name: "${value.role}"}},
			Token{TemplatedPolicies: []TemplatedPolicy{{TemplateID: templateIDs + "3", TemplateName: "builtin/service", TemplateVariables: &TemplateVariables{Name: "web"}}}}, false},
	} {
		var got Token
		err := tt.rule.Bind(&got, p, "dc7")
		if err == nil {
			err = tt.rule.Bind(&Token{}, p, "dc7")
		}
		if (err != nil) != tt.wrong || !tt.wrong && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v: %+v %v", tt.rule, got, err)
		}
	}
	var once Token
	for range 2 {
		for _, r := range []BindingRule{{BindType: BindService, BindName: "s"}, {BindType: BindNode, BindName: "n"},
			{BindType: BindTemplated, BindName: "builtin/node", BindVars: &TemplateVariables{Name: "n"}}} {
			if err := r.Bind(&once, p, "dc7"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(once.ServiceIdentities) != 1 || len(once.NodeIdentities) != 1 || len(once.TemplatedPolicies) != 1 {
		t.Errorf("granted twice: %+v", once)
	}
}

func TestMethodJSON(t *testing.T) {
	for in, want := range map[string]time.Duration{`{"Name":"m","MaxTokenTTL":"1h"}`: time.Hour, `{"Name":"m","MaxTokenTTL":60000000000}`: time.Minute, `{"Name":"m"}`: 0, `{"Name":"m","MaxTokenTTL":""}`: 0} {
		var m AuthMethod
		if err := json.Unmarshal([]byte(in), &m); err != nil || m.MaxTokenTTL != want || m.Name != "m" {
			t.Errorf("%s: %+v %v", in, m, err)
		}
		text, err := json.Marshal(&m)
		if has := strings.Contains(string(text), `"MaxTokenTTL":"`+want.String()+`"`); err != nil || has != (want != 0) {
			t.Errorf("%s %v", text, err)
		}
	}
	for _, in := range []string{`{"MaxTokenTTL":"x"}`, `{"MaxTokenTTL":true}`, `{"Name":1}`} {
		if err := json.Unmarshal([]byte(in), new(AuthMethod)); err == nil {
			t.Errorf("%s is taken", in)
		}
	}
}
