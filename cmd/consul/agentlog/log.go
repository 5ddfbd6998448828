package agentlog

import (
	"errors"
	"fmt"
	"io"

	"consul.internal/configs"
	"consul.internal/internal/logx"
)

// Open makes the agent's logger, which writes to stdout and, where the
// configuration says so, to a file and to syslog. Its last lines are written by
// the returned function.
func Open(stdout io.Writer, c configs.Log) (*logx.Logger, func() error, error) {
	failed := func(err error) (*logx.Logger, func() error, error) {
		return nil, nil, fmt.Errorf("Failed to setup logging: %w", err)
	}
	out := everyWriter{stdout}
	var closers []io.Closer // in the order of closing, after the logger
	file, err := openLogFile(c)
	if err != nil {
		return failed(err)
	}
	if file != nil {
		out, closers = append(out, file), append(closers, file)
	}
	sys, err := openSyslog(c)
	if err != nil {
		return failed(errors.Join(err, closeAll(closers)))
	}
	if sys != nil {
		out, closers = append(out, sys), append(closers, sys)
	}
	log, err := logx.New(logx.Config{Level: c.Level, JSON: c.JSON, Name: "agent"}, out)
	if err != nil {
		return failed(errors.Join(err, closeAll(closers)))
	}
	return log, func() error {
		_ = log.Close() // lines that a blocked terminal does not take are lost
		return closeAll(closers)
	}, nil
}

func closeAll(list []io.Closer) error {
	var errs []error
	for _, c := range list {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
