package world

import "consul.internal/view"

// pulsing is who tells how a datacenter's answers stand, or nil.
func (w *World) pulsing(dc string) view.Pulsing {
	if w.own(dc) {
		p, _ := w.deps.Own.(view.Pulsing)
		return p
	}
	if p := (*w.mirrors.Load())[dc]; p != nil {
		return p.mirror
	}
	return nil
}

// Pulse implements view.Pulsing.
func (w *World) Pulse(dc string) view.Pulse {
	if p := w.pulsing(dc); p != nil {
		return p.Pulse("")
	}
	return view.Pulse{}
}

// Lacks implements view.Pulsing.
func (w *World) Lacks(dc string, k view.Kind, name []byte) bool {
	p := w.pulsing(dc)
	return p != nil && p.Lacks("", k, name)
}

// OnChange implements view.Pulsing.
func (w *World) OnChange(told func(dc string, s view.Subject)) {
	if p := w.pulsing(""); p != nil {
		p.OnChange(told)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, told)
	for dc, p := range *w.mirrors.Load() {
		p.mirror.OnChange(func(_ string, s view.Subject) { told(dc, s) })
	}
}
