package world

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
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
	k := &warm{mirror: m, pinned: map[string]func(){}}
	for _, p := range w.prefetch {
		if p.datacenter != "" && p.datacenter != dc {
			continue
		}
		if p.prefix && w.deps.Services != nil {
			some = append(some, p)
			continue
		}
		if err := k.pin(p.name); err != nil {
			w.deps.Logger.Warn("a name cannot be prefetched", zap.String("name", p.name), zap.String("datacenter", dc), zap.Error(err))
		}
	}
	if len(some) > 0 {
		w.wg.Go(func() { w.keepMany(ctx, dc, k, some) })
	}
	if len(some) > 0 || len(k.pinned) > 0 {
		w.wg.Go(func() { k.renew(ctx) })
	}
}

// warm is the names of a datacenter that are followed unasked.
type warm struct {
	mirror *view.Mirror

	mu     sync.Mutex
	pinned map[string]func() // what ends it, by name
}

// pin has a name followed, again if that has come to an end.
func (k *warm) pin(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	unpin, err := k.mirror.Pin(name)
	if err != nil {
		return err
	}
	if before := k.pinned[name]; before != nil {
		before()
	}
	k.pinned[name] = unpin
	return nil
}

// only lets go of all names but some.
func (k *warm) only(some map[string]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, unpin := range k.pinned {
		if !some[name] {
			unpin()
			delete(k.pinned, name)
		}
	}
}

func (k *warm) names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.pinned))
}

// renew follows names again that were refused: the token may be known by now.
func (k *warm) renew(ctx context.Context) {
	for {
		select {
		case <-time.After(listPauseMax):
		case <-ctx.Done():
			return
		}
		for _, name := range k.names() {
			_ = k.pin(name) // where there is no room now, there may be the next time
		}
	}
}

// Pauses between two lists of names: the first is little beside a round trip,
// the last is for a datacenter that is cut off.
const (
	listPauseMin = time.Second
	listPauseMax = 30 * time.Second
)

// keepMany follows the names that begin in a certain way, as they come and go.
func (w *World) keepMany(ctx context.Context, dc string, k *warm, some []pattern) {
	always := map[string]bool{} // whatever the list says
	for _, name := range k.names() {
		always[name] = true
	}
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
		wanted := maps.Clone(always)
		for _, name := range names {
			name = catalog.Fold(name)
			for _, p := range some {
				if p.fits(name) {
					wanted[name] = true
				}
			}
		}
		k.only(wanted)
		for name := range wanted {
			_ = k.pin(name) // where there is no room now, the next list has it again
		}
	}
}
