package configs

import (
	"errors"
	"fmt"

	"consul.internal/internal/hclconf"
)

// findings gathers what is wrong with a configuration, each with its place.
type findings struct {
	where     hclconf.Found
	checkOnly bool
	errs      []string
	warnings  []string
	said      map[string]bool // messages that are there already
}

func (f *findings) fresh(msg string) bool {
	if f.said == nil {
		f.said = map[string]bool{}
	}
	again := f.said[msg]
	f.said[msg] = true
	return !again
}

// at is the place of a key, ready to stand before a message, "" for defaults.
func (f *findings) at(key string) string {
	if rng, ok := f.where[key]; ok {
		return hclconf.Place(rng) + ": "
	}
	return ""
}

func (f *findings) errorf(key, format string, args ...any) {
	msg := f.at(key) + fmt.Sprintf(format, args...)
	if f.fresh(msg) {
		f.errs = append(f.errs, msg)
	}
}

func (f *findings) warnf(key, format string, args ...any) {
	msg := f.at(key) + fmt.Sprintf(format, args...)
	if f.fresh(msg) {
		f.warnings = append(f.warnings, msg)
	}
}

// network records a finding about this machine: an error, or for CheckOnly a warning.
func (f *findings) network(key, format string, args ...any) {
	if f.checkOnly {
		f.warnf(key, "%s", fmt.Sprintf(format, args...)+" (checked on this machine)")
		return
	}
	f.errorf(key, format, args...)
}

func (f *findings) err() error {
	switch len(f.errs) {
	case 0:
		return nil
	case 1:
		return errors.New(f.errs[0])
	}
	return errors.New(counted(f.errs))
}
