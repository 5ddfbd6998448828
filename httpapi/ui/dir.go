package ui

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"

	"consul.internal/httpapi/edge"
)

// ownFiles serves somebody's own pages. What they may load and run is for them to say
// (http_config.response_headers). A path without a file gets index.html, as pages
// that route in the browser need it.
func ownFiles(cfg *Config) (edge.Handler, error) {
	if info, err := os.Stat(cfg.Dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("ui_config.dir: %q is not a directory with pages: %w", cfg.Dir, cmpErr(err))
	}
	files, at := os.DirFS(cfg.Dir), cfg.At()
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		name := strings.TrimPrefix(path.Clean("/"+strings.TrimPrefix(r.URL.Path, at)), "/")
		if name == "" {
			name = "."
		}
		info, err := fs.Stat(files, name)
		if err == nil && info.IsDir() {
			name = path.Join(name, "index.html")
			info, err = fs.Stat(files, name)
		}
		if err != nil && path.Ext(name) == "" {
			name = "index.html"
			info, err = fs.Stat(files, name)
		}
		if err != nil || info.IsDir() {
			return nil, edge.Failed(http.StatusNotFound, "there is no such file")
		}
		edge.LimitWriting(w)
		http.ServeFileFS(w, r, files, name)
		return edge.Sent{}, nil
	}, nil
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("it is a file")
	}
	return err
}
