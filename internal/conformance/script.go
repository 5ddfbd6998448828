package conformance

import "encoding/json"

// Script is one file of HTTP or command line vectors: agents and an ordered
// list of steps.
type Script struct {
	Format int           `json:"format"`
	Name   string        `json:"name"`
	Area   string        `json:"area"`
	Kind   string        `json:"kind"`
	Agents []ScriptAgent `json:"agents"`
	Steps  []Step        `json:"steps"`
}

// ScriptAgent is one agent of a script.
type ScriptAgent struct {
	Name   string         `json:"name"`
	Config map[string]any `json:"config"`
	Args   []string       `json:"args"`
	Manual bool           `json:"manual"`
	NoWait bool           `json:"no_wait"`
}

// Step is one action and what is expected of it.
type Step struct {
	Name         string            `json:"name"`
	Do           string            `json:"do"`
	Agent        string            `json:"agent"`
	Method       string            `json:"method"`
	Path         string            `json:"path"`
	Headers      map[string]string `json:"headers"`
	Body         string            `json:"body"`
	BodySize     int               `json:"body_size"`
	BodyVar      string            `json:"body_var"`
	StreamMS     int               `json:"stream_ms"`
	Args         []string          `json:"args"`
	Env          map[string]string `json:"env"`
	Files        map[string]string `json:"files"`
	Stdin        string            `json:"stdin"`
	InterruptMS  int               `json:"interrupt_ms"`
	SleepMS      int               `json:"sleep_ms"`
	Await        string            `json:"await"`
	Background   string            `json:"background"`
	EventuallyMS int               `json:"eventually_ms"`
	Config       map[string]any    `json:"config"`
	Capture      []Capture         `json:"capture"`
	Quirk        string            `json:"quirk"`
	Expect       *Expect           `json:"expect"`
}

// Capture saves a part of an answer for later steps.
type Capture struct {
	Var  string `json:"var"`
	From string `json:"from"`
	Expr string `json:"expr"`
}

// Expect is the recorded answer of a step.
type Expect struct {
	Status          int               `json:"status"`
	Headers         map[string]string `json:"headers"`
	HeadersOptional map[string]string `json:"headers_optional"`
	HeadersAbsent   []string          `json:"headers_absent"`
	Index           []IndexRule       `json:"index"`
	MinMS           int               `json:"min_ms"`
	MaxMS           int               `json:"max_ms"`
	Body            *BodyExpect       `json:"body"`
	Exit            int               `json:"exit"`
	Stdout          *OutputExpect     `json:"stdout"`
	Stderr          *OutputExpect     `json:"stderr"`
}

// IndexRule compares X-Consul-Index with a captured number.
type IndexRule struct {
	Op  string `json:"op"`
	Var string `json:"var"`
}

// BodyExpect is the recorded body of an HTTP answer.
type BodyExpect struct {
	Kind      string          `json:"kind"`
	Text      string          `json:"text"`
	Strict    bool            `json:"strict"`
	Subset    bool            `json:"subset"`
	Unordered bool            `json:"unordered"`
	JSON      json.RawMessage `json:"json"`
	Match     []string        `json:"match"`
}

// OutputExpect is the recorded output of a command.
type OutputExpect struct {
	Mode      string   `json:"mode"`
	Lines     []string `json:"lines"`
	Unordered bool     `json:"unordered"`
	Patterns  []string `json:"match"`
}

// LoadScripts reads all HTTP or command line vectors below dir.
func LoadScripts(dir string) ([]*Script, error) {
	return loadAll(dir, func(s *Script) int { return s.Format })
}
