package checks

import "consul.internal/catalog"

// threshold turns single results into a status: a status changes only after
// the number of equal results in a row that the definition asks for.
type threshold struct {
	successes, failures int
}

// apply counts a result and returns the status it leads to; ok is false while
// too few results agree, and the status before stays.
func (t *threshold) apply(d *Definition, result catalog.Status) (status catalog.Status, ok bool) {
	if result == catalog.Passing {
		t.successes++
		t.failures = 0
		return catalog.Passing, t.successes >= d.SuccessBeforePassing
	}
	t.failures++
	t.successes = 0
	beforeWarning := d.FailuresBeforeWarning
	if beforeWarning == 0 {
		beforeWarning = d.FailuresBeforeCritical
	}
	if result == catalog.Critical && t.failures >= d.FailuresBeforeCritical {
		return catalog.Critical, true
	}
	return catalog.Warning, t.failures >= beforeWarning
}
