package remoteexec

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// EventName is the event that tells agents of a job.
	EventName = "_rexec"
	// DefaultPrefix is where jobs are kept.
	DefaultPrefix = "_rexec"
	// SessionTTL is how long a job outlives a command that was killed.
	SessionTTL = 15 * time.Second
)

// Job is what agents are to run: a line for the shell, a program with arguments,
// or a script.
type Job struct {
	Command string   `json:",omitempty"`
	Args    []string `json:",omitempty"`
	Script  []byte   `json:",omitempty"`
	// Wait is how long the command waits for news; kept for other programs.
	Wait time.Duration `json:",omitempty"`
}

// notice is the payload of the event.
type notice struct {
	Prefix  string
	Session string
}

// sessionID is what IDs look like; nothing else gets into a key.
var sessionID = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)

// Notice is the event for a job.
func Notice(prefix, session string) ([]byte, error) {
	return json.Marshal(notice{prefix, session})
}

// JobKey is where a job is kept; NodePrefix is where a node writes.
func JobKey(prefix, session string) string { return path.Join(prefix, session, "job") }

// NodePrefix is where a node writes what becomes of the job.
func NodePrefix(prefix, session, node string) string { return path.Join(prefix, session, node) + "/" }

// Names of what a node writes, below its prefix.
const (
	ackName  = "ack"
	exitName = "exit"
	outDir   = "out/"
)

// outName is the name of a piece of output; names sort in the order of pieces.
func outName(n int) string { return fmt.Sprintf("%s%05x", outDir, n) }

// News is something that a node has written.
type News struct {
	Node string
	// One of these.
	Ack    bool
	Output []byte
	Exit   string // the exit code
}

// Read tells what a key says, below prefix and session; false for the job itself
// and what nobody knows.
func Read(prefix, session string, p *api.KVPair) (News, bool) {
	rest, ok := strings.CutPrefix(p.Key, path.Join(prefix, session)+"/")
	node, name, deeper := strings.Cut(rest, "/")
	switch {
	case !ok || !deeper:
	case name == ackName:
		return News{Node: node, Ack: true}, true
	case name == exitName:
		return News{Node: node, Exit: string(p.Value)}, true
	case strings.HasPrefix(name, outDir):
		return News{Node: node, Output: p.Value}, true
	}
	return News{}, false
}
