package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Deviation is a recorded case that the project answers differently on
// purpose. The members that are set replace those of the recorded expectation;
// the case must then pass as changed, so a deviation is a tested promise and
// not a hole.
type Deviation struct {
	Suite string   `json:"suite"` // dns, http or cli
	File  string   `json:"file"`
	Cases []string `json:"cases"` // DNS case ids, or step names
	Why   string   `json:"why"`
	// Demanded is the requirement that asks for another behaviour than the
	// recorded one. A case that is no quirk differs only by such a demand.
	Demanded string         `json:"demanded"`
	Expect   map[string]any `json:"expect"`
}

// Deviations is the table of all of them.
type Deviations struct{ byCase map[string]*Deviation }

// LoadDeviations reads the table.
func LoadDeviations(name string) (*Deviations, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var list []*Deviation
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d := &Deviations{byCase: map[string]*Deviation{}}
	for _, dev := range list {
		if dev.Why == "" || len(dev.Expect) == 0 || len(dev.Cases) == 0 {
			return nil, fmt.Errorf("%s: %s %s: why, cases and expect are needed", name, dev.Suite, dev.File)
		}
		for _, c := range dev.Cases {
			key := dev.Suite + "/" + dev.File + "/" + c
			if d.byCase[key] != nil {
				return nil, fmt.Errorf("%s: %s is listed twice", name, key)
			}
			d.byCase[key] = dev
		}
	}
	return d, nil
}

// Find returns the deviation of a case, or nil.
func (d *Deviations) Find(suite, file, name string) *Deviation {
	return d.byCase[suite+"/"+file+"/"+name]
}

// overlay puts the deviation's members over a recorded expectation.
func overlay[T any](recorded T, dev *Deviation) (T, error) {
	raw, err := json.Marshal(dev.Expect)
	if err == nil {
		err = json.Unmarshal(raw, &recorded)
	}
	return recorded, err
}
