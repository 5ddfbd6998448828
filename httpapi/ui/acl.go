package ui

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"consul.internal/acl"
	"consul.internal/rpc"
)

// aclRow is a token, a policy or a role in its list.
type aclRow struct {
	ID, Name, Description string
	Links                 []string
	Note                  string
}

type accessData struct {
	filters
	pager
	Kind  string // tokens, policies, roles
	Off   bool
	Rows  []aclRow
	Total int
}

// linked are the names of what something is linked to.
func linked(policies, roles []acl.Link, services []acl.ServiceIdentity, nodes []acl.NodeIdentity, templated []acl.TemplatedPolicy) (out []string) {
	for _, l := range policies {
		out = append(out, l.Name)
	}
	for _, l := range roles {
		out = append(out, "role "+l.Name)
	}
	for _, s := range services {
		out = append(out, "service "+s.ServiceName)
	}
	for _, n := range nodes {
		out = append(out, "node "+n.NodeName)
	}
	for _, t := range templated {
		out = append(out, t.TemplateName)
	}
	return out
}

func tokenRow(t *acl.Token) aclRow {
	row := aclRow{ID: t.AccessorID, Name: t.Name, Description: t.Description, Links: linked(t.Policies, t.Roles, t.ServiceIdentities, t.NodeIdentities, t.TemplatedPolicies)}
	var notes []string
	if t.Local {
		notes = append(notes, "local")
	}
	if t.ExpirationTime != nil {
		notes = append(notes, "until "+when(*t.ExpirationTime))
	}
	if t.AuthMethod != "" {
		notes = append(notes, "by "+t.AuthMethod)
	}
	row.Note = strings.Join(notes, ", ")
	return row
}

func tokensMeta(o *rpc.ACLTokensReply) *rpc.ReadMeta     { return &o.ReadMeta }
func policiesMeta(o *rpc.ACLPoliciesReply) *rpc.ReadMeta { return &o.ReadMeta }
func rolesMeta(o *rpc.ACLRolesReply) *rpc.ReadMeta       { return &o.ReadMeta }

// access is the list of tokens, policies or roles. No secret is ever shown.
func access(c *call, pg *page) error {
	d := &accessData{filters: filtersOf(c), Kind: c.part(1)}
	pg.Data = d
	pg.Title = map[string]string{"tokens": "Tokens", "policies": "Policies", "roles": "Roles"}[d.Kind]
	if !c.Settings().ACLs {
		d.Off, pg.still = true, true
		return nil
	}
	var all []aclRow
	switch d.Kind {
	case "tokens":
		out, err := follow(c, pg, rpc.ACLTokenList, &rpc.ACLTokenListRequest{ReadOptions: c.options()}, tokensMeta)
		if err != nil {
			return err
		}
		for _, t := range out.Tokens {
			all = append(all, tokenRow(t))
		}
	case "policies":
		out, err := follow(c, pg, rpc.ACLPolicyList, &rpc.ACLListRequest{ReadOptions: c.options()}, policiesMeta)
		if err != nil {
			return err
		}
		for _, p := range out.Policies {
			all = append(all, aclRow{ID: p.ID, Name: p.Name, Description: p.Description, Links: p.Datacenters})
		}
	case "roles":
		out, err := follow(c, pg, rpc.ACLRoleList, &rpc.ACLListRequest{ReadOptions: c.options()}, rolesMeta)
		if err != nil {
			return err
		}
		for _, r := range out.Roles {
			all = append(all, aclRow{ID: r.ID, Name: r.Name, Description: r.Description,
				Links: linked(r.Policies, nil, r.ServiceIdentities, r.NodeIdentities, r.TemplatedPolicies)})
		}
	}
	d.Total = len(all)
	all = slices.DeleteFunc(all, func(r aclRow) bool { return !has(d.Search, append(r.Links, r.ID, r.Name, r.Description)...) })
	slices.SortFunc(all, func(a, b aclRow) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	d.Rows, d.pager = cut(c, all, itemsPerPage/2)
	for i := range d.Rows {
		if r := &d.Rows[i]; len(r.Links) > tagsShown {
			r.Links = append(slices.Clone(r.Links[:tagsShown]), "…")
		}
	}
	return nil
}

type oneAccessData struct {
	Kind     string
	Token    *acl.Token
	Policy   *acl.Policy
	Role     *acl.Role
	Policies []acl.Link
	Roles    []acl.Link
	Others   []string // identities and templates
	Rules    string
	Created  time.Time
}

// oneAccess is one token, policy or role.
func oneAccess(c *call, pg *page) error {
	d := &oneAccessData{Kind: c.part(1)}
	id := c.part(2)
	pg.Data, pg.Title = d, id
	opts := c.options()
	switch d.Kind {
	case "tokens":
		out, err := follow(c, pg, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{ReadOptions: opts, Accessor: id}, func(o *rpc.ACLTokenReply) *rpc.ReadMeta { return &o.ReadMeta })
		if err != nil {
			return err
		}
		if d.Token = out.Token; d.Token == nil {
			return missing("There is no such token.")
		}
		d.Policies, d.Roles = d.Token.Policies, d.Token.Roles
		d.Others = linked(nil, nil, d.Token.ServiceIdentities, d.Token.NodeIdentities, d.Token.TemplatedPolicies)
		pg.Title = cmp.Or(d.Token.Description, d.Token.AccessorID)
	case "policies":
		out, err := follow(c, pg, rpc.ACLPolicyGet, &rpc.ACLGetRequest{ReadOptions: opts, ID: id}, func(o *rpc.ACLPolicyReply) *rpc.ReadMeta { return &o.ReadMeta })
		if err != nil {
			return err
		}
		if d.Policy = out.Policy; d.Policy == nil {
			return missing("There is no such policy.")
		}
		d.Rules, pg.Title = shorten(d.Policy.Rules, valueEdited), d.Policy.Name
	case "roles":
		out, err := follow(c, pg, rpc.ACLRoleGet, &rpc.ACLGetRequest{ReadOptions: opts, ID: id}, func(o *rpc.ACLRoleReply) *rpc.ReadMeta { return &o.ReadMeta })
		if err != nil {
			return err
		}
		if d.Role = out.Role; d.Role == nil {
			return missing("There is no such role.")
		}
		d.Policies, pg.Title = d.Role.Policies, d.Role.Name
		d.Others = linked(nil, nil, d.Role.ServiceIdentities, d.Role.NodeIdentities, d.Role.TemplatedPolicies)
	}
	return nil
}
