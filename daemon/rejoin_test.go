package daemon_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consul.internal/configs"
	"consul.internal/daemon"
	"go.uber.org/zap"
)

// TestAbsence: a server that was away for longer than server_rejoin_age_max does
// not start; one that was not, or whose note is damaged, does.
func TestAbsence(t *testing.T) {
	dir := t.TempDir()
	addr := freeAddr(t)
	open := func(role string) error {
		t.Helper()
		settings, _, err := configs.Load([]string{role, "-data-dir=" + dir, "-bind=" + addr, "-client=" + addr, "-node=a"}, configs.SystemHost())
		if err != nil {
			t.Fatal(err)
		}
		d, err := daemon.New(settings, daemon.Options{Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := d.Open(ctx); err != nil {
			return err
		}
		return d.Close()
	}
	note := func(age time.Duration) {
		write(t, filepath.Join(dir, "server_metadata.json"), fmt.Sprintf(`{"last_seen_unix":%d}`, time.Now().Add(-age).Unix()))
	}
	for _, step := range []struct {
		what, role string
		age        time.Duration
		refused    bool
	}{
		{"first start", "-server", 0, false},
		{"a day away", "-server", 24 * time.Hour, false},
		{"eight days away", "-server", 8 * 24 * time.Hour, true},
		{"a client may be away for ever", "-server=false", 8 * 24 * time.Hour, false},
	} {
		if step.age > 0 {
			note(step.age)
		}
		err := open(step.role)
		if refused := err != nil && strings.Contains(err.Error(), "server_rejoin_age_max"); refused != step.refused || err != nil && !refused {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	write(t, filepath.Join(dir, "server_metadata.json"), "{")
	if err := open("-server"); err != nil {
		t.Errorf("a damaged note: %v", err)
	}
}

// TestNodeIDIsWhatWasWritten: a node ID that has become another by damage is
// refused, and named; one that was changed on purpose is taken.
func TestNodeIDIsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "node-id")
	make := func(args ...string) (string, error) {
		t.Helper()
		settings, _, err := configs.Load(append([]string{"-data-dir=" + dir, "-bind=127.0.0.1", "-node=a"}, args...), configs.SystemHost())
		if err != nil {
			t.Fatal(err)
		}
		d, err := daemon.New(settings, daemon.Options{Logger: zap.NewNop()})
		if err != nil {
			return "", err
		}
		return d.Info().NodeID, nil
	}
	first, err := make()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := make(); err != nil || again != first {
		t.Errorf("again: %s, %v", again, err)
	}
	flipped := []byte(first)
	flipped[0] ^= 1 // a hexadecimal digit becomes another: '0' and '1', '8' and '9', 'b' and 'c' ...
	if flipped[0] == '`' || flipped[0] == 'g' {
		flipped[0] = '0'
	}
	write(t, path, string(flipped))
	if _, err := make(); err == nil || !strings.Contains(err.Error(), "holds another node ID than was written there") {
		t.Errorf("after a flip: %v", err)
	}
	const own = "aaaaaaaa-1111-2222-3333-444444444444"
	if id, err := make("-node-id=" + own); err != nil || id != own {
		t.Errorf("with node_id: %s, %v", id, err)
	}
	if id, err := make(); err != nil || id != own {
		t.Errorf("node_id was not kept: %s, %v", id, err)
	}
}
