package ui

import (
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"consul.internal/acl"
	"consul.internal/kv"
	"consul.internal/rpc"
)

// keyLink is where a key is edited, or a folder is listed ("", or an end in a slash).
func (a *app) keyLink(dc, key string) string {
	base := a.link(dc, "kv") + "/"
	folder := key == "" || strings.HasSuffix(key, "/")
	parts := strings.Split(key, "/")
	odd := func(i int, p string) bool { return p == "." || p == ".." || p == "" && i < len(parts)-1 }
	for i, p := range parts {
		if key != "" && odd(i, p) { // browsers and servers would tidy up such a path
			return base + "?" + url.Values{"key": {key}}.Encode()
		}
		parts[i] = url.PathEscape(p)
	}
	if folder {
		return base + strings.Join(parts, "/")
	}
	return base + strings.Join(parts, "/") + "/edit"
}

// key is what an address is about, and whether that is one key.
func (c *call) key() (string, bool) {
	if c.q.Has("key") {
		k := c.q.Get("key")
		return k, c.q.Has("edit") || k != "" && !strings.HasSuffix(k, "/")
	}
	k := strings.Join(c.at[min(1, len(c.at)):], "/")
	if whole, ok := strings.CutSuffix(k, "/edit"); ok && whole != "" {
		return whole, true
	}
	if k == "create" || strings.HasSuffix(k, "/create") {
		return strings.TrimSuffix(k, "create"), false
	}
	return k, k != "" && !strings.HasSuffix(k, "/")
}

type keyRow struct {
	Name   string // in its folder
	Key    string
	Folder bool
}

type crumb struct{ Name, Key string }

// crumbs are the folders above a key.
func crumbs(key string) []crumb {
	out := []crumb{{"Keys", ""}}
	at := 0
	for {
		i := strings.IndexByte(key[at:], '/')
		if i < 0 {
			return out
		}
		out = append(out, crumb{key[at : at+i+1], key[:at+i+1]})
		at += i + 1
	}
}

type keysData struct {
	filters
	pager
	Folder   string
	Crumbs   []crumb
	Rows     []keyRow
	MayWrite bool
	Said     string
}

// said are the words about what a form did; pages take them by name alone.
func said(c *call) string {
	return map[string]string{
		"saved": "Saved.", "deleted": "Deleted.",
		"conflict": "Not saved: somebody else has changed this key in the meantime. What you see now is their value.",
		"exists":   "Not created: there is a key of that name.",
		"unnamed":  "A key needs a name.",
	}[c.q.Get("said")]
}

// fresh are the options of reads that must show what was written just now; without
// a leader any server's state is better than nothing.
func fresh[Req, Resp any](c *call, pg *page, m rpc.Method[Req, Resp], in *Req, meta func(*Resp) *rpc.ReadMeta) (*Resp, error) {
	opts := rpc.ReadOf(in)
	opts.Consistency = rpc.Default
	out, err := follow(c, pg, m, in, meta)
	if err == nil {
		return out, nil
	}
	if p, _ := problemOf(err); p.Denied {
		return nil, err
	}
	opts.Consistency = rpc.Stale
	return follow(c, pg, m, in, meta)
}

// keys is a folder.
func keys(c *call, pg *page) error {
	folder, _ := c.key()
	pg.Title, pg.elsewhere = "Key/value", []string{"kv", ""}
	if folder != "" {
		pg.Title = folder
	}
	d := &keysData{filters: filtersOf(c), Folder: folder, Crumbs: crumbs(folder), Said: said(c)}
	pg.Data = d
	d.MayWrite = c.may(acl.Key, folder, acl.Write) || c.may(acl.Key, folder+"new", acl.Write)
	out, err := fresh(c, pg, rpc.KeyNames, &rpc.KeyListRequest{ReadOptions: c.options(), Prefix: folder, Separator: "/"},
		func(o *rpc.KeyNamesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return err
	}
	var rows []keyRow
	for _, name := range out.Names {
		row := keyRow{Name: strings.TrimPrefix(name, folder), Key: name, Folder: strings.HasSuffix(name, "/")}
		if row.Name != "" && has(d.Search, row.Name) {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b keyRow) int {
		switch {
		case a.Folder == b.Folder:
			return 0
		case a.Folder:
			return -1
		}
		return 1
	})
	d.Rows, d.pager = cut(c, rows, keysPerPage)
	return nil
}

type keyData struct {
	*kv.Entry
	Crumbs   []crumb
	Folder   string
	MayWrite bool
	Edited   bool // its value can be shown whole in a form
	Text     string
	CRLF     bool
	Dump     string // of what is no text, or too long
	Said     string
	Size     int
}

// key is one key with its value.
func key(c *call, pg *page) error {
	name, _ := c.key()
	pg.Title, pg.elsewhere = name, []string{"kv", ""}
	if c.q.Has("edit") && c.q.Get("key") == "" {
		return missing("There is no key without a name.")
	}
	out, err := fresh(c, pg, rpc.KeyGet, &rpc.KeyGetRequest{ReadOptions: c.options(), Key: name},
		func(o *rpc.EntriesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return err
	}
	if len(out.Entries) == 0 {
		return missing("There is no key of that name, or this token may not see it.")
	}
	e := out.Entries[0]
	d := &keyData{Entry: e, Crumbs: crumbs(name), Said: said(c), Size: len(e.Value), MayWrite: c.may(acl.Key, name, acl.Write)}
	d.Folder = name[:strings.LastIndexByte(name, '/')+1]
	value := string(e.Value)
	if d.Edited = len(value) <= valueEdited && editable(value); d.Edited {
		d.Text, d.CRLF = strings.ReplaceAll(value, "\r\n", "\n"), strings.Contains(value, "\r\n")
	} else if utf8.ValidString(value) {
		d.Dump = shorten(value, valuePeeked)
	} else {
		d.Dump = hex.Dump(e.Value[:min(len(e.Value), valuePeeked/4)])
	}
	pg.Data = d
	return nil
}

// editable reports whether a form gives a text back as it got it: browsers change
// line ends, and control characters do not survive.
func editable(s string) bool {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }) {
		return false
	}
	pairs := strings.Count(s, "\r\n")
	return strings.Count(s, "\r") == pairs && (pairs == 0 || strings.Count(s, "\n") == pairs)
}

// changeKey does what a form of a key asks for.
func changeKey(c *call) (any, error) {
	f := c.r.PostForm
	name := f.Get("key")
	in := &rpc.KeyApplyRequest{Target: c.target(), KeyOp: kv.KeyOp{Verb: kv.CAS, Key: name}}
	folder := name[:strings.LastIndexByte(strings.TrimSuffix(name, "/"), '/')+1]
	ok, no, to := "saved", "conflict", name
	switch f.Get("action") {
	case "create":
		folder = f.Get("folder")
		in.Key = folder + strings.TrimSpace(f.Get("name"))
		to, no = in.Key, "exists"
		if in.Key == folder {
			return c.redirect(withSaid(c.keyLink(c.dc, folder), "unnamed"))
		}
		in.Value = valueOf(f)
		if strings.HasSuffix(in.Key, "/") {
			in.Value = nil // a folder is a key that ends in a slash
		}
	case "save":
		in.Value = valueOf(f)
		in.Flags, in.Index = parse(f.Get("flags")), parse(f.Get("index"))
		if in.Index == 0 { // which would create a key
			return c.redirect(withSaid(c.keyLink(c.dc, to), no))
		}
	case "delete":
		in.Verb, in.Index = kv.DeleteCAS, parse(f.Get("index"))
		ok, to = "deleted", folder
	case "delete-tree":
		if !strings.HasSuffix(name, "/") {
			return nil, missing("Only folders are deleted with all that is in them.")
		}
		in.Verb = kv.DeleteTree
		ok, to = "deleted", folder
	default:
		return nil, missing("There is no such action.")
	}
	out, err := rpc.Call(c.r.Context(), c.Caller, rpc.KeyApply, in)
	if err != nil {
		return c.failed(err)
	}
	if !out.Done {
		ok, to = no, in.Key
	}
	return c.redirect(withSaid(c.keyLink(c.dc, to), ok))
}

func valueOf(f url.Values) []byte {
	lf := strings.ReplaceAll(f.Get("value"), "\r\n", "\n") // forms are sent with CRLF
	if f.Get("crlf") == "true" {
		return []byte(strings.ReplaceAll(lf, "\n", "\r\n"))
	}
	return []byte(lf)
}

func parse(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func withSaid(link, word string) string {
	if strings.Contains(link, "?") {
		return link + "&said=" + word
	}
	return link + "?said=" + word
}
