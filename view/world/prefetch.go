package world

import (
	"context"
	"strings"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
	"go.uber.org/zap"
)

// pattern is one entry of Config.Prefetch.
type pattern struct {
	name       string // folded
	prefix     bool   // all names that begin with it
	datacenter string // "" = every other one
}

// CheckPrefetch tells what is wrong with an entry of Config.Prefetch.
func CheckPrefetch(text string) error {
	_, err := parsePattern(text)
	return err
}

func parsePattern(text string) (pattern, error) {
	p := pattern{name: catalog.Fold(text)}
	if name, dc, found := strings.Cut(p.name, ".service."); found {
		p.name, p.datacenter = name, dc
	}
	p.name, p.prefix = strings.CutSuffix(p.name, "*")
	if p.name == "" && !p.prefix || strings.ContainsAny(p.name+p.datacenter, "* ") || strings.Contains(p.datacenter, ".") {
		return p, fault.Newf(fault.Invalid, "%q is no name to prefetch: write NAME, PREFIX* or NAME.service.DATACENTER", text)
	}
	return p, nil
}

func (p pattern) fits(name string) bool {
	if p.prefix {
		return strings.HasPrefix(name, p.name)
	}
	return name == p.name
}

// keepWarm follows the names of a datacenter that are to be known before anybody asks.
func (w *World) keepWarm(ctx context.Context, dc string, m *view.Mirror) {
	var some []pattern
	for _, p := range w.prefetch {
		if p.datacenter != "" && p.datacenter != dc {
			continue
		}
		if p.prefix && w.deps.Services != nil {
			some = append(some, p)
			continue
		}
		if _, err := m.Pin(p.name); err != nil {
			w.deps.Logger.Warn("a name cannot be prefetched", zap.String("name", p.name), zap.String("datacenter", dc), zap.Error(err))
		}
	}
	if len(some) > 0 {
		w.wg.Go(func() { w.keepMany(ctx, dc, m, some) })
	}
}

// Pauses between two lists of names: the first is little beside a round trip,
// the last is for a datacenter that is cut off.
const (
	listPauseMin = time.Second
	listPauseMax = 30 * time.Second
)

// keepMany follows the names that begin in a certain way, as they come and go.
func (w *World) keepMany(ctx context.Context, dc string, m *view.Mirror, some []pattern) {
	pinned := map[string]func(){}
	pause := listPauseMin
	var after uint64
	for ctx.Err() == nil {
		names, index, err := w.deps.Services(ctx, dc, after)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if err != nil {
			after, pause = 0, min(2*pause, listPauseMax)
			continue
		}
		after, pause = index, listPauseMin
		wanted := map[string]bool{}
		for _, name := range names {
			name = catalog.Fold(name)
			for _, p := range some {
				wanted[name] = wanted[name] || p.fits(name)
			}
		}
		for name, unpin := range pinned {
			if !wanted[name] {
				unpin()
				delete(pinned, name)
			}
		}
		for name, want := range wanted {
			if !want || pinned[name] != nil {
				continue
			}
			if unpin, err := m.Pin(name); err == nil { // else the next list has it again
				pinned[name] = unpin
			}
		}
	}
}
