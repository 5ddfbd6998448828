package ui

import (
	"net/http"
	"net/url"
	"strings"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// tokenCookie holds the secret of who is logged in. No script can read it, no other
// site can have it sent, and the browser forgets it when it ends.
const tokenCookie = "consul_ui_token"

// maxSecret bounds what is taken for a token.
const maxSecret = 1024

// Token is the secret that a request for a page brings as a cookie.
func Token(r *http.Request, path string) string {
	if !strings.HasPrefix(r.URL.Path, path) || edge.OwnToken(r) != "" {
		return ""
	}
	c, err := r.Cookie(tokenCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// withCookie lets a request count as one that brings the token of its cookie.
func (a *app) withCookie(r *http.Request) *http.Request {
	secret := Token(r, a.path)
	if secret == "" {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set("X-Consul-Token", secret)
	return r
}

func (a *app) setCookie(c *call, secret string) {
	cookie := &http.Cookie{
		Name: tokenCookie, Value: secret, Path: a.path, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.r.TLS != nil,
	}
	if secret == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(c.w, cookie)
}

// loginData is the page where a token is shown to the agent.
type loginData struct {
	Failed string
	Next   string
	Token  *acl.Token // that the visitor has
	Names  []string   // of its policies and roles
}

func loginPage(c *call, pg *page) error {
	pg.Title = "Log in"
	d := &loginData{Next: c.next(c.q.Get("next")), Failed: map[string]string{
		"unknown": "Nobody knows this token. Enter the SecretID of one, not its accessor.",
		"failed":  "The token could not be looked up: the servers do not answer. Try again.",
	}[c.q.Get("failed")]}
	pg.Data = d
	if edge.OwnToken(c.r) == "" {
		return nil
	}
	out, err := rpc.Call(c.r.Context(), c.Caller, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{ReadOptions: c.options()})
	if err != nil || out.Token == nil {
		d.Failed = "The token that you are logged in with is not known any more."
		return nil
	}
	pg.Title, d.Token = "Logged in", out.Token
	for _, l := range append(append([]acl.Link(nil), out.Token.Policies...), out.Token.Roles...) {
		d.Names = append(d.Names, l.Name)
	}
	return nil
}

// next is where to go after a login: a page of this agent, whatever was written.
func (c *call) next(to string) string {
	if !strings.HasPrefix(to, c.path) || strings.HasPrefix(to, c.path+".") || strings.ContainsAny(to, "\\\r\n") {
		return c.path
	}
	return to
}

// post takes what a form sends.
func (a *app) post(c *call) (any, error) {
	if err := c.r.ParseForm(); err != nil {
		return nil, edge.BadRequest("the form cannot be read")
	}
	switch {
	case c.dc == ".login":
		return a.login(c)
	case c.dc == ".logout":
		a.setCookie(c, "")
		return c.redirect(a.path)
	case c.section() == "kv":
		return changeKey(c)
	}
	return nil, edge.Failed(http.StatusMethodNotAllowed, "method POST not allowed")
}

// login keeps a token that somebody knows. The attempt is made with nothing else than
// that token.
func (a *app) login(c *call) (any, error) {
	secret, next := strings.TrimSpace(c.r.PostForm.Get("token")), c.next(c.r.PostForm.Get("next"))
	again := func(why string) (any, error) {
		return c.redirect(a.path + ".login?" + url.Values{"failed": {why}, "next": {next}}.Encode())
	}
	if secret == "" || len(secret) > maxSecret || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`",;\`, r) }) {
		return again("unknown")
	}
	in := &rpc.ACLTokenGetRequest{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Token: secret}, Consistency: rpc.Stale}}
	_, err := rpc.Call(c.r.Context(), a.Caller, rpc.ACLTokenGet, in)
	switch kind := fault.Of(err); {
	case err == nil:
	case kind == fault.Denied, kind == fault.NotFound, kind == fault.Invalid:
		return again("unknown")
	default:
		return again("failed")
	}
	a.setCookie(c, secret)
	return c.redirect(next)
}
