package observe

import (
	"encoding/json"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/internal/rotate"
)

// entry is a line of the log.
type entry struct {
	Time    time.Time `json:"time"`
	Client  string    `json:"client"`
	Door    string    `json:"door"`
	Name    string    `json:"name"`
	Type    string    `json:"type"`
	Status  string    `json:"status"`
	Answers int       `json:"answers"`
	Bytes   int       `json:"bytes"`
	Micros  int64     `json:"micros"`
	Sample  int       `json:"sample"` // of how many questions this is one
}

var doorNames = [...]string{UDP: "udp", TCP: "tcp", TLS: "tls", HTTPS: "https"}

// line describes an exchange. What is no DNS message has no name.
func line(e *Exchange, sample int) entry {
	out := entry{
		Time: e.Asked.UTC(), Client: e.From.String(), Door: doorNames[e.Door], Bytes: len(e.Reply),
		Micros: e.Answered.Sub(e.Asked).Microseconds(), Sample: sample, Status: "none",
	}
	if e.From.Port() == 0 {
		out.Client = e.From.Addr().String()
	}
	var m dns.Msg
	if m.Unpack(e.Query) == nil && len(m.Question) == 1 {
		out.Name, out.Type = m.Question[0].Name, dns.Type(m.Question[0].Qtype).String()
	}
	if len(e.Reply) >= headerLen {
		out.Status = Status(int(e.Reply[3] & rcodeMask))
		out.Answers = int(e.Reply[6])<<8 | int(e.Reply[7])
	}
	return out
}

const (
	headerLen = 12 // of a message (RFC 1035, section 4.1.1)
	rcodeMask = 0xF
)

// Status is a response code as dig calls it.
func Status(rcode int) string {
	if s, ok := dns.RcodeToString[rcode]; ok {
		return s
	}
	return "RESERVED"
}

// querylog writes lines to a file or to the agent's log.
type querylog struct {
	cfg  Log
	file *rotate.File // nil: the agent's log
	log  *zap.Logger
	*queue
}

func openLog(cfg Log, log *zap.Logger) (*querylog, error) {
	l := &querylog{cfg: cfg, log: log, queue: newQueue()}
	if cfg.Path == "" {
		return l, nil
	}
	var err error
	l.file, err = rotate.Open(rotate.Config{Path: cfg.Path, MaxBytes: cfg.MaxBytes, Keep: cfg.Keep})
	return l, err
}

// run writes until done, and then what waits.
func (l *querylog) run(done <-chan struct{}) {
	failing := false
	for {
		var e *Exchange
		select {
		case e = <-l.ch:
		case <-done:
			select {
			case e = <-l.ch:
			default:
				return
			}
		}
		err := l.write(e)
		if err != nil && !failing {
			l.log.Warn("the log of DNS questions cannot be written; lines are dropped until it can", zap.Error(err))
		}
		failing = err != nil
		l.done(e, err == nil)
	}
}

func (l *querylog) write(e *Exchange) error {
	v := line(e, l.cfg.Sample)
	if l.file == nil {
		l.log.Info("DNS question", zap.String("client", v.Client), zap.String("door", v.Door), zap.String("name", v.Name), zap.String("type", v.Type),
			zap.String("status", v.Status), zap.Int("answers", v.Answers), zap.Int("bytes", v.Bytes), zap.Int64("micros", v.Micros))
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = l.file.Write(append(b, '\n'))
	return err
}

func (l *querylog) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
