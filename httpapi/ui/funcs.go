package ui

import (
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func text(n int) string { return strconv.Itoa(n) }

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// funcs are what templates may call.
func (a *app) funcs() template.FuncMap {
	return template.FuncMap{
		"link":   a.link,
		"key":    a.keyLink,
		"asset":  func(name string) string { return a.path + ".static/" + name },
		"short":  func(s string) string { return shorten(s, shortText) },
		"pairs":  pairs,
		"when":   when,
		"rtt":    rtt,
		"asJSON": asJSON,
		"query":  func(k, v string) string { return "?" + url.Values{k: {v}}.Encode() },
		"add":    func(a, b float64) float64 { return a + b },
	}
}

// shorten cuts a text where a page would grow too long, between characters.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "�") + "…"
}

// pair is a key with its value.
type pair struct{ Key, Value string }

// pairs of a map in order, as many as a page takes.
func pairs(m map[string]string) []pair {
	var out []pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(out) == metaShown {
			out = append(out, pair{"…", fmt.Sprintf("and %d more", len(m)-metaShown)})
			break
		}
		out = append(out, pair{shorten(k, shortText), shorten(m[k], shortText)})
	}
	return out
}

func when(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// rtt is a time between two places, in milliseconds.
func rtt(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 0.005:
		return "< 0.01 ms"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
}

// asJSON is a value as people read it.
func asJSON(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return shorten(string(b), valueEdited)
}

// themeCookie holds the choice of light or dark; the page's script writes it.
const themeCookie = "consul_ui_theme"

func themeOf(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}
