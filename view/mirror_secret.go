package view

// SetSecret has names followed in the name of another token from now on. What was
// learned in the name of the old one is dropped, on disk as well: it may be more
// than the new one may see, or less. Pins of names are dropped with it. It reports
// whether it is another token.
func SetSecret(m *Mirror, secret string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if secret == m.cfg.Secret {
		return false
	}
	m.cfg.Secret = secret
	for _, e := range m.entries {
		m.remove(e, nil)
	}
	m.index.hashes, m.index.absent, m.last = nil, nil, nil
	m.up.renew(m.index.entry)
	showAbsence(m)
	return true
}
