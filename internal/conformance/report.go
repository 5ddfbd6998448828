package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Outcome of one case or step.
type Outcome int

const (
	Passed   Outcome = iota
	Failed           // owed by now, and not as recorded
	NotYet           // belongs to a later issue, and not as recorded (or not run)
	Deviates         // differs on purpose, as testdata/deviations.json says
)

// Result is the outcome of one case or step with its reasons.
type Result struct {
	Suite   string // dns, http, cli
	Area    string
	Name    string // file/case or file/number/step
	Owner   string
	Outcome Outcome
	Reason  string // one line: why not yet, why it deviates
	Detail  string // differences, for failures
}

// Report collects results; it is safe for concurrent use.
type Report struct {
	mu      sync.Mutex
	results []Result
	notes   []string
}

// Add records a result.
func (r *Report) Add(res Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, res)
}

// Note records something a reader should know, such as a setup step that an
// unbuilt part could not carry out.
func (r *Report) Note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// Failures returns the results that must not be, in order of their names.
func (r *Report) Failures() []Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Result
	for _, res := range r.results {
		if res.Outcome == Failed {
			out = append(out, res)
		}
	}
	slices.SortFunc(out, func(a, b Result) int { return strings.Compare(a.Suite+a.Name, b.Suite+b.Name) })
	return out
}

type tally struct{ passed, failed, notYet, deviates int }

func (t *tally) add(o Outcome) {
	switch o {
	case Passed:
		t.passed++
	case Failed:
		t.failed++
	case NotYet:
		t.notYet++
	case Deviates:
		t.deviates++
	}
}

// String prints the counts by area, why cases wait, what differs on purpose.
func (r *Report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	areas, reasons := map[string]*tally{}, map[string]map[string]int{}
	var total tally
	deviations := map[string]int{}
	for _, res := range r.results {
		area := res.Suite + "/" + strings.TrimPrefix(res.Area, res.Suite+"-")
		if areas[area] == nil {
			areas[area], reasons[area] = &tally{}, map[string]int{}
		}
		areas[area].add(res.Outcome)
		total.add(res.Outcome)
		switch res.Outcome {
		case NotYet:
			reasons[area][res.Reason]++
		case Deviates:
			deviations[res.Reason]++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-24s %7s %7s %7s %8s\n", "area", "passed", "failed", "not-yet", "deviates")
	for _, area := range sortedKeys(areas) {
		t := areas[area]
		fmt.Fprintf(&b, "%-24s %7d %7d %7d %8d", area, t.passed, t.failed, t.notYet, t.deviates)
		var why []string
		for _, reason := range sortedKeys(reasons[area]) {
			why = append(why, fmt.Sprintf("%d %s", reasons[area][reason], reason))
		}
		if len(why) > 0 {
			fmt.Fprintf(&b, "  (%s)", strings.Join(why, "; "))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%-24s %7d %7d %7d %8d\n", "total", total.passed, total.failed, total.notYet, total.deviates)
	if len(deviations) > 0 {
		b.WriteString("differs on purpose:\n")
		for _, why := range sortedKeys(deviations) {
			fmt.Fprintf(&b, "  %3d  %s\n", deviations[why], why)
		}
	}
	for _, n := range slices.Sorted(slices.Values(r.notes)) {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

// Waiting lists the not-yet results that were run, one a line with the first
// difference; for whoever builds the next part.
func (r *Report) Waiting() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, res := range r.results {
		if res.Outcome == NotYet && res.Detail != "" {
			lines = append(lines, fmt.Sprintf("%s %s %s\n    %s\n", res.Owner, res.Suite, res.Name, res.Detail))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
