package agentlog

import (
	"bytes"
	"fmt"
	"io"
	"log/syslog"

	"consul.internal/configs"
	"consul.internal/internal/logx"
)

// syslogTag is the program's name in syslog.
const syslogTag = "consul"

// facilities are syslog's facilities by their names in the configuration.
var facilities = map[string]syslog.Priority{
	"KERN": syslog.LOG_KERN, "USER": syslog.LOG_USER, "MAIL": syslog.LOG_MAIL, "DAEMON": syslog.LOG_DAEMON, "AUTH": syslog.LOG_AUTH,
	"SYSLOG": syslog.LOG_SYSLOG, "LPR": syslog.LOG_LPR, "NEWS": syslog.LOG_NEWS, "UUCP": syslog.LOG_UUCP, "CRON": syslog.LOG_CRON,
	"AUTHPRIV": syslog.LOG_AUTHPRIV, "FTP": syslog.LOG_FTP, "LOCAL0": syslog.LOG_LOCAL0, "LOCAL1": syslog.LOG_LOCAL1,
	"LOCAL2": syslog.LOG_LOCAL2, "LOCAL3": syslog.LOG_LOCAL3, "LOCAL4": syslog.LOG_LOCAL4, "LOCAL5": syslog.LOG_LOCAL5,
	"LOCAL6": syslog.LOG_LOCAL6, "LOCAL7": syslog.LOG_LOCAL7,
}

// openSyslog returns a writer of log lines to syslog, or nil if there is to be
// none. A syslog that takes nothing holds nobody up.
func openSyslog(c configs.Log) (*logx.Sink, error) {
	if !c.Syslog {
		return nil, nil
	}
	w, err := syslog.New(facilities[c.SyslogFacility]|syslog.LOG_INFO, syslogTag)
	if err != nil {
		return nil, fmt.Errorf("enable_syslog is set, but there is no syslog: %w", err)
	}
	return logx.NewSink(syslogLines{w}, func(dropped uint64) []byte {
		return fmt.Appendf(nil, "- [WARN]  log lines were dropped because syslog did not take them fast enough: count=%d\n", dropped)
	}), nil
}

// severities is the part of a syslog writer that lines need.
type severities interface {
	Debug(string) error
	Info(string) error
	Warning(string) error
	Err(string) error
}

// syslogLines gives each line the severity of its level. Syslog has a time of its
// own, so that of text lines is left out.
type syslogLines struct{ w severities }

func (s syslogLines) Write(p []byte) (int, error) {
	line := bytes.TrimRight(p, "\n")
	level, text := []byte("INFO"), line
	if _, rest, ok := bytes.Cut(line, []byte("\"@level\":\"")); ok && line[0] == '{' {
		level, _, _ = bytes.Cut(rest, []byte("\""))
	} else if _, rest, ok := bytes.Cut(line, []byte(" [")); ok {
		level, rest, _ = bytes.Cut(rest, []byte("]"))
		text = bytes.TrimLeft(rest, " ")
	}
	return len(p), s.say(string(bytes.ToUpper(level)), string(text))
}

func (s syslogLines) say(level, text string) error {
	switch level {
	case "TRACE", "DEBUG":
		return s.w.Debug(text)
	case "WARN":
		return s.w.Warning(text)
	case "ERROR":
		return s.w.Err(text)
	}
	return s.w.Info(text)
}

// everyWriter writes to all, also when one of them cannot: a terminal that is
// gone must not keep lines from the file.
type everyWriter []io.Writer

func (e everyWriter) Write(p []byte) (int, error) {
	var first error
	for _, w := range e {
		if _, err := w.Write(p); err != nil && first == nil {
			first = err
		}
	}
	return len(p), first
}
