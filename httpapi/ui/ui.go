package ui

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"

	"consul.internal/httpapi/edge"
)

//go:embed static pages
var embedded embed.FS

// policy lets a browser load and run what this agent serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// app is the pages with what they stand on.
type app struct {
	Deps
	cfg       Config
	path      string
	templates map[string]*template.Template
	waiting   atomic.Int64 // pages that wait for news
}

// Routes is the row of the pages.
func Routes(cfg Config, deps Deps) ([]edge.Route, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Dir != "" {
		own, err := ownFiles(&cfg)
		if err != nil {
			return nil, err
		}
		return []edge.Route{edge.Get(cfg.At(), own)}, nil
	}
	a := &app{Deps: deps, cfg: cfg, path: cfg.At(), templates: map[string]*template.Template{}}
	common, err := template.New("layout.html").Funcs(a.funcs()).ParseFS(embedded, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(embedded, "pages/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		short := strings.TrimSuffix(path.Base(name), ".html")
		if short == "layout" || short == "parts" {
			continue
		}
		page, err := common.Clone()
		if err != nil {
			return nil, err
		}
		if a.templates[short], err = page.ParseFS(embedded, name); err != nil {
			return nil, err
		}
	}
	return []edge.Route{edge.On(a.path, a.serve, http.MethodGet, http.MethodPost)}, nil
}

// serve answers whatever is under the path.
func (a *app) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	// "no-referrer" would make browsers send the forms' Origin as null.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	r = a.withCookie(r)
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), a.path), "/")
	for i, p := range parts {
		text, err := url.PathUnescape(p)
		if err != nil {
			return nil, edge.BadRequest("the path is not well written")
		}
		parts[i] = text
	}
	if parts[0] == ".static" && len(parts) == 2 && r.Method == http.MethodGet {
		return a.static(w, r, parts[1])
	}
	h.Set("Cache-Control", "no-store")
	c := &call{app: a, w: w, r: r, q: r.URL.Query(), dc: parts[0], at: parts[1:]}
	if r.Method == http.MethodPost {
		return a.post(c)
	}
	switch parts[0] {
	case ".login":
		c.dc, c.at = a.Settings().Datacenter, []string{".login"}
	case "":
		c.dc, c.at = a.Settings().Datacenter, []string{"services"}
	}
	for len(c.at) > 0 && c.at[len(c.at)-1] == "" && c.section() != "kv" {
		c.at = c.at[:len(c.at)-1]
	}
	if to := a.elsewhere(c); to != "" {
		return c.redirect(to)
	}
	return a.page(c)
}

// static answers with a file that belongs to the pages.
func (a *app) static(w http.ResponseWriter, r *http.Request, name string) (any, error) {
	file, err := fs.ReadFile(embedded, "static/"+path.Base(name))
	if err != nil {
		return nil, edge.Failed(http.StatusNotFound, "there is no such file")
	}
	h := w.Header()
	tag := `"` + sum(file) + `"`
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache") // it is asked each time whether it is still the same
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return edge.Sent{}, nil
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".js" {
		kind = "text/javascript; charset=utf-8" // whatever the machine's tables say
	}
	h.Set("Content-Type", cmp.Or(kind, "text/plain; charset=utf-8"))
	return edge.Raw(file), nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:8])
}

// shown is what all pages have in common, for the templates.
type shown struct {
	*page
	Base, DC, Node, Theme, Here string
	Section                     string
	Sections                    []section
	Datacenters                 []datacenterLink
	ACLs, Token, Live           bool
	Seen                        string
	Body                        template.HTML
	Query                       url.Values
}

type datacenterLink struct {
	Name, Link string
	Here       bool
}

// page makes and writes a page, or, for a page's script, what has changed of it.
func (a *app) page(c *call) (any, error) {
	if c.q.Has(".live") {
		return a.live(c)
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), pageLife)
	defer cancel()
	c = c.with(ctx)
	pg, body, err := c.bounded()
	if err != nil {
		return nil, err
	}
	return c.write(pg, body)
}

// bounded makes a page that is not too large, whatever things are called.
func (c *call) bounded() (*page, []byte, error) {
	for c.fewer = 1; ; c.fewer *= 4 {
		pg := c.load()
		body, err := c.body(pg)
		if err != nil || len(body) <= maxBody || c.fewer > keysPerPage {
			return pg, body, err
		}
	}
}

// write writes a page as a whole.
func (c *call) write(pg *page, body []byte) (any, error) {
	a, cfg := c.app, c.Settings()
	s := shown{
		page: pg, Base: a.path, DC: c.dc, Node: cfg.NodeName, Theme: themeOf(c.r), Here: c.here(), Section: pg.section,
		Sections: sections(), ACLs: cfg.ACLs, Token: edge.OwnToken(c.r) != "", Live: pg.live(), Seen: sum(body),
		Body: template.HTML(body), Query: c.q, //nolint:gosec // it comes out of a template
	}
	for _, dc := range a.datacenters(c) {
		s.Datacenters = append(s.Datacenters, datacenterLink{dc, a.link(append([]string{dc}, pg.elsewhere...)...), dc == c.dc})
	}
	var b bytes.Buffer
	if err := a.templates[pg.template].ExecuteTemplate(&b, "layout.html", &s); err != nil {
		return nil, fmt.Errorf("cannot render the page: %w", err)
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return edge.Under(pg.status, edge.Raw(b.Bytes())), nil
}

// body renders the part of a page that changes.
func (c *call) body(pg *page) ([]byte, error) {
	var b bytes.Buffer
	s := shown{
		page: pg, Base: c.path, DC: c.dc, Query: c.q, ACLs: c.Settings().ACLs, Token: edge.OwnToken(c.r) != "", Here: c.here(),
	}
	name := "body"
	if pg.Problem != nil {
		name = "problem"
	}
	if err := c.templates[pg.template].ExecuteTemplate(&b, name, &s); err != nil {
		return nil, fmt.Errorf("cannot render the page: %w", err)
	}
	return b.Bytes(), nil
}
