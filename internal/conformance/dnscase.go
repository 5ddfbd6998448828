package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DNSFile is one file of DNS vectors.
type DNSFile struct {
	Format  int        `json:"format"`
	Name    string     `json:"name"`
	Area    string     `json:"area"`
	Doc     string     `json:"doc"`
	Fixture DNSFixture `json:"fixture"`
	Phases  []DNSPhase `json:"phases"`
}

// DNSFixture lists what has to run before the cases are asked.
type DNSFixture struct {
	Agents    []DNSAgent     `json:"agents"`
	Recursors []RecursorSpec `json:"recursors"`
}

// DNSAgent is one agent of a DNS fixture.
type DNSAgent struct {
	Name   string         `json:"name"`
	Mode   string         `json:"mode"`
	Token  string         `json:"token"`
	Config map[string]any `json:"config"`
}

// RecursorSpec describes an upstream DNS server that the runner plays.
type RecursorSpec struct {
	Name      string             `json:"name"`
	RA        bool               `json:"ra"`
	Down      bool               `json:"down"`
	Records   []string           `json:"records"`
	Overrides []RecursorOverride `json:"overrides"`
}

// RecursorOverride changes what a recursor does for a name.
type RecursorOverride struct {
	Name    string `json:"name"`
	Drop    bool   `json:"drop"`
	DelayMS int    `json:"delay_ms"`
	AA      bool   `json:"aa"`
	Rcode   string `json:"rcode"`
	TC      bool   `json:"tc"`
}

// DNSPhase is a list of steps and then of cases.
type DNSPhase struct {
	Name  string    `json:"name"`
	Steps []DNSStep `json:"steps"`
	Cases []DNSCase `json:"cases"`
}

// DNSStep prepares the fixture.
type DNSStep struct {
	Op          string            `json:"op"`
	Agent       string            `json:"agent"`
	Method      string            `json:"method"`
	Path        string            `json:"path"`
	Body        json.RawMessage   `json:"body"`
	Status      int               `json:"status"`
	TimeoutMS   int               `json:"timeout_ms"`
	Save        map[string]string `json:"save"`
	IgnoreError bool              `json:"ignore_error"`
	Len         *int              `json:"len"`
	Contains    string            `json:"contains"`
	NotContains string            `json:"not_contains"`
	Config      map[string]any    `json:"config"`
	MS          int               `json:"ms"`
	Token       string            `json:"token"`
}

// DNSCase is one question and the recorded reply.
type DNSCase struct {
	ID      string     `json:"id"`
	Agent   string     `json:"agent"`
	Query   DNSQuery   `json:"query"`
	Expect  DNSExpect  `json:"expect"`
	Compare DNSCompare `json:"compare"`
	Quirk   bool       `json:"quirk"`
	Kind    string     `json:"kind"`
	Why     string     `json:"why"`
}

// DNSQuery says what to send.
type DNSQuery struct {
	Name       string    `json:"name"`
	Type       string    `json:"type"`
	Class      string    `json:"class"`
	Net        string    `json:"net"`
	NoRD       bool      `json:"no_rd"`
	CD         bool      `json:"cd"`
	AD         bool      `json:"ad"`
	QR         bool      `json:"qr"`
	Opcode     any       `json:"opcode"`
	EDNS       *EDNSSpec `json:"edns"`
	Questions  []string  `json:"questions"`
	NoQuestion bool      `json:"no_question"`
	Raw        string    `json:"raw"`
	TimeoutMS  int       `json:"timeout_ms"`
}

// EDNSSpec is the OPT record of a question.
type EDNSSpec struct {
	Size    uint16 `json:"size"`
	Do      bool   `json:"do"`
	Version uint8  `json:"version"`
	ECS     string `json:"ecs"`
	Cookie  string `json:"cookie"`
	NSID    bool   `json:"nsid"`
}

// EDNSReply is the OPT record of a reply.
type EDNSReply struct {
	Size    uint16   `json:"size"`
	Do      bool     `json:"do"`
	Version uint8    `json:"version"`
	Options []string `json:"options"`
}

// Range bounds a count, both ends included.
type Range struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// DNSExpect is the recorded reply.
type DNSExpect struct {
	NoResponse      bool       `json:"no_response"`
	Rcode           string     `json:"rcode"`
	Opcode          string     `json:"opcode"`
	Flags           string     `json:"flags"`
	Question        []string   `json:"question"`
	Answer          []string   `json:"answer"`
	Authority       []string   `json:"authority"`
	Additional      []string   `json:"additional"`
	EDNS            *EDNSReply `json:"edns"`
	AnswerCount     *Range     `json:"answer_count"`
	AdditionalCount *Range     `json:"additional_count"`
	TargetsResolved bool       `json:"targets_resolved"`
	Compressed      bool       `json:"compressed"`
	MaxSize         int        `json:"max_size"`
}

// DNSCompare says how strictly to compare.
type DNSCompare struct {
	Answer       string `json:"answer"`
	First        int    `json:"first"`
	Shuffle      bool   `json:"shuffle"`
	Compression  bool   `json:"compression"`
	MaxElapsedMS int    `json:"max_elapsed_ms"`
	EDNS         string `json:"edns"`
}

// LoadDNS reads all DNS vectors below dir.
func LoadDNS(dir string) ([]*DNSFile, error) {
	return loadAll(dir, func(f *DNSFile) int { return f.Format })
}

// loadAll decodes every JSON file of a folder and keeps those of format 1.
// Numbers inside free-form values stay json.Number, so nothing is rounded.
func loadAll[T any](dir string, format func(*T) int) ([]*T, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no vectors in %s", dir)
	}
	var out []*T
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		v := new(T)
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.UseNumber()
		if err := dec.Decode(v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if format(v) == 1 {
			out = append(out, v)
		}
	}
	return out, nil
}
