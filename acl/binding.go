package acl

import (
	"fmt"
	"slices"
	"strings"

	"consul.internal/internal/filter"
)

// Proven is what is known of who came by an AuthMethod. It has all names that the
// method can give, also those that this one proved nothing of.
type Proven struct {
	Value map[string]string   `json:"value"`
	List  map[string][]string `json:"list"`
}

// maxBindName bounds a name before anything is put into it; what comes out is
// judged by what it names.
const maxBindName = 1024

// Validate finds a rule right for a method that can prove such values.
func (b *BindingRule) Validate(values []string) error {
	if err := b.names(values); err != nil {
		return fmt.Errorf("Invalid Binding Rule: invalid BindName or BindVars: %w", err)
	}
	if _, err := filter.New[*Proven](b.Selector); err != nil {
		return fmt.Errorf("invalid Binding Rule: Selector is invalid: %w", err)
	}
	return nil
}

func (b *BindingRule) names(values []string) error {
	if b.BindName == "" {
		return fmt.Errorf("bind name cannot be empty")
	}
	// Any value will do to see whether the text can be filled.
	sample := &Proven{Value: map[string]string{}}
	for _, v := range values {
		sample.Value[v] = "a"
	}
	name, err := fill(b.BindName, sample)
	if err != nil {
		return err
	}
	switch b.BindType {
	case BindService:
		err = (&ServiceIdentity{ServiceName: name}).Validate()
	case BindNode:
		err = (&NodeIdentity{NodeName: name, Datacenter: "a"}).Validate()
	case BindRole, BindPolicy:
	case BindTemplated:
		t := &TemplatedPolicy{TemplateName: name}
		if t.TemplateVariables, err = b.vars(sample); err == nil {
			err = t.Validate()
		}
	default:
		return fmt.Errorf("invalid Binding Rule: unknown BindType %q", b.BindType)
	}
	if b.BindVars != nil && b.BindVars.Name != "" && b.BindType != BindTemplated {
		return fmt.Errorf("BindVars are for rules of type %q", BindTemplated)
	}
	return err
}

func (b *BindingRule) vars(p *Proven) (*TemplateVariables, error) {
	if b.BindVars == nil || b.BindVars.Name == "" {
		return nil, nil
	}
	name, err := fill(b.BindVars.Name, p)
	return &TemplateVariables{Name: name}, err
}

// Bind adds what the rule grants to who proved p, if it speaks of him, to a token.
// Policies and roles are links by name: whoever writes the token finds them.
func (b *BindingRule) Bind(t *Token, p *Proven, datacenter string) error {
	selector, err := filter.New[*Proven](b.Selector)
	if err != nil {
		return fmt.Errorf("binding rule %s: Selector is invalid: %w", b.ID, err)
	}
	if fits, err := selector.Match(p); err != nil || !fits {
		return err
	}
	name, err := fill(b.BindName, p)
	if err == nil {
		err = b.grant(t, name, p, datacenter)
	}
	if err != nil {
		return fmt.Errorf("computed %q bind name for bind target is invalid: %q: %w", b.BindType, name, err)
	}
	return nil
}

func (b *BindingRule) grant(t *Token, name string, p *Proven, datacenter string) error {
	switch b.BindType {
	case BindService:
		s := ServiceIdentity{ServiceName: name}
		if !slices.ContainsFunc(t.ServiceIdentities, func(o ServiceIdentity) bool { return o.ServiceName == name }) {
			t.ServiceIdentities = append(t.ServiceIdentities, s)
		}
		return s.Validate()
	case BindNode:
		n := NodeIdentity{NodeName: name, Datacenter: datacenter}
		if !slices.Contains(t.NodeIdentities, n) {
			t.NodeIdentities = append(t.NodeIdentities, n)
		}
		return n.Validate()
	case BindRole:
		t.Roles = append(t.Roles, Link{Name: name})
	case BindPolicy:
		t.Policies = append(t.Policies, Link{Name: name})
	case BindTemplated:
		vars, err := b.vars(p)
		if err != nil {
			return err
		}
		g := TemplatedPolicy{TemplateName: name, TemplateVariables: vars}
		if err := g.Validate(); err != nil {
			return err
		}
		template, _ := FindTemplate(name)
		g.TemplateID = template.ID
		same := func(o TemplatedPolicy) bool {
			return o.TemplateName == name && (o.TemplateVariables == nil) == (vars == nil) && (vars == nil || *o.TemplateVariables == *vars)
		}
		if !slices.ContainsFunc(t.TemplatedPolicies, same) {
			t.TemplatedPolicies = append(t.TemplatedPolicies, g)
		}
	default:
		return fmt.Errorf("unknown BindType %q", b.BindType)
	}
	return nil
}

// fill puts what was proved into a text: ${value.NAME}; $${ stands for ${ itself.
func fill(text string, p *Proven) (string, error) {
	if len(text) > maxBindName {
		return "", fmt.Errorf("it is longer than %d bytes", maxBindName)
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(plain + "${")
			text = rest
			continue
		}
		inside, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("%q has no closing }", "${"+rest)
		}
		name, ok := strings.CutPrefix(strings.TrimSpace(inside), "value.")
		v, known := p.Value[name]
		if !ok || !known {
			return "", fmt.Errorf("unknown variable ${%s}", inside)
		}
		out.WriteString(before + v)
		text = after
	}
}
