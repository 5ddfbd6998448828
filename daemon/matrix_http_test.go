package daemon_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"consul.internal/httpapi/edge"
	"consul.internal/internal/aclmatrix"
	"golang.org/x/sync/errgroup"
)

// httpRow is one line of testdata/matrix/http.txt.
type httpRow struct {
	line               int
	method, path, body string
	takes              aclmatrix.Ways
	passes             []int // status
	text               string
	stream, once, last bool
	otherwise          string
	without            []int // status; none = as passes
	source             string
	root               string // the answer to who may do everything
}

func (r *httpRow) name() string { return strings.TrimSpace(r.method + " " + r.path + " " + r.body) }

// hides reports whether the row is of something that is left out of an answer.
func (r *httpRow) hides() bool { return r.otherwise == "hidden" || r.otherwise == "masked" }

func readHTTPMatrix(t *testing.T) (rows []*httpRow) {
	t.Helper()
	lines, err := aclmatrix.Read("testdata/matrix/http.txt", 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		request, passes, otherwise := l.Cells[0], l.Cells[2], l.Cells[3]
		r := &httpRow{line: l.Number, source: l.Cells[4]}
		r.method, request, _ = strings.Cut(request, " ")
		r.path, r.body, _ = strings.Cut(request, " ")
		if r.takes, err = aclmatrix.ParseWays(l.Cells[1]); err != nil {
			t.Fatalf("line %d: %v", r.line, err)
		}
		codes, text, _ := strings.Cut(passes, " ")
		r.passes = statuses(t, codes)
		switch text {
		case "stream":
			r.stream = true
		case "once":
			r.once = true
		case "last":
			r.last = true
		default:
			r.text = text
		}
		r.otherwise, codes, _ = strings.Cut(otherwise, " ")
		r.without = statuses(t, codes)
		if !slices.Contains([]string{"refused", "hidden", "masked", "asked", "-"}, r.otherwise) || (len(r.takes) == 0) != (r.otherwise == "-") || r.hides() && r.text == "" {
			t.Fatalf("line %d: %q", r.line, otherwise)
		}
		rows = append(rows, r)
	}
	return rows
}

// statuses reads "200,404".
func statuses(t *testing.T, text string) (all []int) {
	t.Helper()
	if text == "" {
		return nil
	}
	for one := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(one)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// checkRoutes makes sure that every method of every route has a row, and every row a route.
func (m *matrix) checkRoutes(rows []*httpRow) {
	m.t.Helper()
	mux, without := http.NewServeMux(), map[string]map[string]bool{}
	for _, rt := range m.Routes() {
		pattern := rt.Path
		if strings.HasSuffix(pattern, "/") {
			pattern += "{item...}"
		}
		without[pattern] = map[string]bool{}
		for _, method := range rt.Methods {
			without[pattern][method] = true
		}
		mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
	}
	for _, r := range rows {
		req, err := http.NewRequestWithContext(m.t.Context(), r.method, "http://agent"+m.fill(r.path), nil)
		if err != nil {
			m.t.Fatalf("line %d: %v", r.line, err)
		}
		_, pattern := mux.Handler(req)
		if without[pattern] == nil || !slices.ContainsFunc(m.Routes(), func(rt edge.Route) bool {
			return strings.TrimSuffix(pattern, "{item...}") == rt.Path && slices.Contains(rt.Methods, r.method)
		}) {
			m.t.Errorf("line %d: there is no %s %s", r.line, r.method, r.path)
			continue
		}
		delete(without[pattern], r.method)
	}
	for pattern, methods := range without {
		for method := range methods {
			m.t.Errorf("%s %s has no row in testdata/matrix/http.txt: say what it takes, and where that is written", method, pattern)
		}
	}
}

// fill puts the things of the fixture into a text of the table.
func (m *matrix) fill(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	for name, thing := range m.things {
		text = strings.ReplaceAll(text, "{"+name+"}", thing)
	}
	return strings.ReplaceAll(text, "{n}", "made-"+strconv.FormatUint(m.made.Add(1), 10))
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// refused reports whether an answer is the refusal of a right.
func (a *answer) refused() bool {
	return a.status == http.StatusForbidden && a.lacks()
}

func (a *answer) lacks() bool { return strings.Contains(a.body, "lacks permission") }

// newHTTPClient follows nothing and keeps its connections.
func newHTTPClient(t *testing.T) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: matrixAtOnce}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// request makes the request of a row in somebody's name; query is added to it.
func (m *matrix) request(c *http.Client, r *httpRow, b *bearer, query string) (*answer, error) {
	path := m.fill(r.path)
	if query != "" {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		path += sep + query
	}
	req, err := http.NewRequestWithContext(m.t.Context(), r.method, "http://"+m.addr+":8500"+path, strings.NewReader(m.fill(r.body)))
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.path, "/ui/") {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.secret != "" {
		req.Header.Set("X-Consul-Token", b.secret)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if r.stream && resp.StatusCode == http.StatusOK {
		return a, nil
	}
	body, err := io.ReadAll(resp.Body)
	a.body = string(body)
	return a, err
}

// judge says what is wrong with an answer, "" for nothing.
func (r *httpRow) judge(b *bearer, a *answer, text string) string {
	holds := strings.Contains(a.body, text)
	if b.suffices(r.takes) {
		switch {
		case !slices.Contains(r.passes, a.status), a.lacks():
			return "does not pass"
		case !holds:
			return "does not see " + text
		}
		return ""
	}
	wanted := r.without
	if wanted == nil {
		wanted = r.passes
	}
	switch {
	case r.otherwise == "refused" && !a.refused():
		return "is not refused"
	case r.otherwise == "asked" && (a.status != http.StatusConflict || !a.lacks()):
		return "is not told in the answer"
	case r.hides() && holds:
		return "sees " + text
	case r.hides() && !slices.Contains(wanted, a.status) && !(r.otherwise == "masked" && a.refused()):
		return "gets another status"
	}
	return ""
}

// told says what is wrong with the word of what was left out of an answer: it is there
// exactly if something was, and whoever asks brought a token.
func (r *httpRow) told(b *bearer, a *answer) string {
	const header = "X-Consul-Results-Filtered-By-Acls"
	if want := r.otherwise == "hidden" && a.body != r.root && b.secret != ""; want != (a.header.Get(header) == "true") && r.otherwise == "hidden" {
		return "is told that something was left out: " + strconv.FormatBool(!want)
	}
	return ""
}

// matrixAtOnce is how many requests that only read are made at a time.
const matrixAtOnce = 8

// TestHTTPMatrix makes every request with every single right, with all that a row
// names together, with all rights and with none: exactly those that the table names
// pass.
func TestHTTPMatrix(t *testing.T) {
	rows, m := readHTTPMatrix(t), newMatrix(t)
	m.checkRoutes(rows)
	var ways []aclmatrix.Ways
	for _, r := range rows {
		ways = append(ways, r.takes)
	}
	bearers := m.bearers(ways)
	c := newHTTPClient(t)
	order := func(r *httpRow) int { // what is left out is seen best while nothing changes
		switch {
		case r.last:
			return 3
		case r.method != http.MethodGet:
			return 2
		case r.hides():
			return 0
		}
		return 1
	}
	slices.SortStableFunc(rows, func(a, b *httpRow) int { return order(a) - order(b) })
	asked := 0
	for _, r := range rows {
		t.Run(r.name(), func(t *testing.T) {
			asked += m.ask(t, c, r, bearers)
		})
	}
	t.Logf("%d requests in the name of %d tokens", asked, len(bearers))
}

// ask makes the request of a row in everybody's name.
func (m *matrix) ask(t *testing.T, c *http.Client, r *httpRow, bearers []*bearer) int {
	var all []*bearer
	single := false // somebody may who may not do everything
	for _, b := range bearers {
		may := b.suffices(r.takes)
		if (r.once || r.last) && may && (b.all || single) {
			continue // what has been seen once is enough
		}
		single = single || may && !b.all
		all = append(all, b)
	}
	if !single {
		t.Error("no token of the test has what it takes")
	}
	if r.last { // only who may not comes before the others
		slices.SortStableFunc(all, func(a, b *bearer) int { return btoi(a.suffices(r.takes)) - btoi(b.suffices(r.takes)) })
	}
	m.reset()
	text := m.fill(r.text)
	// What changes by itself meanwhile is looked at again.
	for tries := 1; ; tries++ {
		var wrong []string
		if r.hides() {
			a, err := m.request(c, r, bearers[0], "")
			if err != nil {
				t.Fatal(err)
			}
			r.root = a.body
		}
		found := make([]string, len(all))
		look := func(i int) error {
			b := all[i]
			a, err := m.request(c, r, b, "")
			if err != nil {
				return err
			}
			for _, what := range []string{r.judge(b, a, text), r.told(b, a)} {
				if what != "" {
					found[i] = b.name + " " + what + ": " + strconv.Itoa(a.status) + " " + a.body[:min(len(a.body), 300)]
				}
			}
			return nil
		}
		var g errgroup.Group
		g.SetLimit(matrixAtOnce)
		for i := range all {
			if r.method == http.MethodGet {
				g.Go(func() error { return look(i) })
				continue
			}
			m.reset()
			if err := look(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, what := range found {
			if what != "" {
				wrong = append(wrong, what)
			}
		}
		if len(wrong) == 0 {
			return tries * len(all)
		}
		if tries < 3 && r.hides() {
			continue
		}
		for _, what := range wrong[:min(len(wrong), 5)] {
			t.Errorf("line %d: %s", r.line, what)
		}
		if len(wrong) > 5 {
			t.Errorf("line %d: and %d more", r.line, len(wrong)-5)
		}
		return tries * len(all)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
