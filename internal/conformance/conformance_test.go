package conformance

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"
)

var (
	all     = flag.Bool("all", false, "also run the files that belong wholly to later issues")
	only    = flag.String("only", "", "run only the files whose suite/name matches this regular expression")
	waiting = flag.Bool("waiting", false, "print the differences of the cases that belong to later issues")
	raced   = flag.Bool("raced", false, "build the binary with the race detector (needs cgo)")
	ready   = flag.String("binary", "", "run this binary instead of building one")
	jobs    = flag.Int("jobs", 6, "how many fixtures run at once")
)

// runLimit ends a run that hangs, well before go test's own limit would end it
// without cleaning up.
const runLimit = 8 * time.Minute

// TestRecordedBehaviour runs the recorded cases against real agents. It fails
// for every case that this or an earlier issue owes and that is not as
// recorded; cases of later issues are run, where their file is near, and
// counted.
func TestRecordedBehaviour(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real agents")
	}
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	temp := t.TempDir()
	var flags []string
	if *raced {
		flags = append(flags, "-race")
	}
	bin := *ready
	if bin == "" {
		made, err := Build(ctx, temp, flags...)
		if err != nil {
			t.Fatal(err)
		}
		bin = made
	}
	dev, err := LoadDeviations("testdata/deviations.json")
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{Bin: bin, Temp: temp, Addresses: new(Addresses), Deviations: dev, Report: new(Report)}
	work, err := plan(r)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var wg sync.WaitGroup
	queue := make(chan func(context.Context))
	for range *jobs {
		wg.Go(func() {
			for run := range queue {
				run(ctx)
			}
		})
	}
	for _, run := range work {
		queue <- run
	}
	close(queue)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Errorf("the run did not end in time: %v", err)
	}
	for _, f := range r.Report.Failures() {
		t.Errorf("%s %s (issue %s)\n      %s", f.Suite, f.Name, f.Owner, f.Detail)
	}
	if *waiting {
		fmt.Fprint(os.Stdout, r.Report.Waiting())
	}
	fmt.Fprintf(os.Stdout, "recorded behaviour, built up to issue %s, %d files in %v%s", built, len(work), time.Since(start).Round(time.Millisecond), r.Report)
}

// plan lists what to run; files that wholly belong to parts far ahead are
// counted as not yet without being run.
func plan(r *Runner) ([]func(context.Context), error) {
	pick, err := regexp.Compile(*only)
	if err != nil {
		return nil, err
	}
	var work []func(context.Context)
	for _, kind := range []string{"cli", "http"} { // the command line has the longest files: first
		scripts, err := LoadScripts("testdata/" + kind)
		if err != nil {
			return nil, err
		}
		for _, s := range scripts {
			run := *all
			for i := range s.Steps {
				run = run || near(StepOwner(s, &s.Steps[i]))
			}
			if !pick.MatchString(kind + "/" + s.Name) {
				continue
			}
			if !run {
				r.skipScript(s)
				continue
			}
			work = append(work, func(ctx context.Context) { r.RunScript(ctx, s) })
		}
	}
	files, err := LoadDNS("testdata/dns")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !pick.MatchString("dns/" + f.Name) {
			continue
		}
		run := *all
		for _, p := range f.Phases {
			for i := range p.Cases {
				run = run || near(DNSOwner(f, &p.Cases[i]))
			}
		}
		if !run && !singleDatacenter(f) {
			r.skipDNS(f)
			continue
		}
		work = append(work, func(ctx context.Context) { r.RunDNS(ctx, f) })
	}
	return work, nil
}

// singleDatacenter files without ACL can be tried at any time: whatever of them
// passes early is counted.
func singleDatacenter(f *DNSFile) bool {
	return len(f.Fixture.Agents) == 1 && f.Area != "acl" && f.Area != "prepared-query" && len(f.Fixture.Recursors) == 0
}

func (r *Runner) skipScript(s *Script) {
	for i := range s.Steps {
		st := &s.Steps[i]
		if st.Expect == nil || st.Background != "" {
			continue
		}
		owner := StepOwner(s, st)
		r.Report.Add(Result{Suite: s.Kind, Area: s.Area, Name: fmt.Sprintf("%s/%d/%s", s.Name, i+1, st.Name), Owner: owner, Outcome: NotYet, Reason: "not run: issue " + owner})
	}
}

func (r *Runner) skipDNS(f *DNSFile) {
	for _, p := range f.Phases {
		for i := range p.Cases {
			owner := DNSOwner(f, &p.Cases[i])
			r.Report.Add(Result{Suite: "dns", Area: f.Area, Name: f.Name + "/" + p.Cases[i].ID, Owner: owner, Outcome: NotYet, Reason: "not run: issue " + owner})
		}
	}
}
