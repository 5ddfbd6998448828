package edge

import "net/http"

// Handler answers one request with a value that becomes JSON, or an error that
// becomes a status and a text. A nil value is an answer without a body.
type Handler func(w http.ResponseWriter, r *http.Request) (any, error)

// Route is one row of the table: a path, the methods it knows in the order of
// its Allow header, and who answers. A path that ends in "/" stands for all
// paths below it; what follows is the item.
type Route struct {
	Path    string
	Methods []string
	Handle  Handler
}

// On is a route for some methods.
func On(path string, handle Handler, methods ...string) Route {
	return Route{Path: path, Methods: methods, Handle: handle}
}

// Get is a route that is only read.
func Get(path string, handle Handler) Route { return On(path, handle, http.MethodGet) }

// Put is a route that is only written to.
func Put(path string, handle Handler) Route { return On(path, handle, http.MethodPut) }

// GetPut is a route for both.
func GetPut(path string, handle Handler) Route {
	return On(path, handle, http.MethodGet, http.MethodPut)
}

// Item is what follows a route's path; missing is the text if nothing does.
func Item(r *http.Request, missing string) (string, error) {
	v := r.PathValue("item")
	if v == "" {
		return "", BadRequest(missing)
	}
	return v, nil
}
