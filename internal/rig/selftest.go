//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	// shortly is how long we look that something does not happen.
	shortly = 300 * time.Millisecond
	// surely is how long we wait for what must happen, on a busy machine too.
	surely = 20 * time.Second
	// pollEvery is how often we look.
	pollEvery = 5 * time.Millisecond
	// echoPort of the self-test's servers.
	echoPort = 7
	// lossSample packets measure a loss of 30 % to about 1.5 %.
	lossSample = 1000
)

// Finding is what the self-test saw of one of the rig's faults.
type Finding struct {
	Name   string
	Detail string
	Err    error // nil: the fault does what it should
}

func (f Finding) String() string {
	if f.Err != nil {
		return fmt.Sprintf("FAILED %s: %v", f.Name, f.Err)
	}
	return fmt.Sprintf("ok     %s: %s", f.Name, f.Detail)
}

// bench is a pair of hosts on which the faults are tried.
type bench struct {
	rig  *Rig
	a, b *Host
	disk *Disk
}

// SelfTest tries every fault on two hosts of a rig of its own. What it measures
// with a rig that fails it means nothing.
func SelfTest(ctx context.Context, cfg Config, log *zap.Logger) (findings []Finding, err error) {
	r, err := New(cfg, log)
	if err != nil {
		return nil, err
	}
	if err := r.Open(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	t := &bench{rig: r}
	if t.a, err = r.Host("self-a"); err != nil {
		return nil, err
	}
	if t.b, err = r.Host("self-b"); err != nil {
		return nil, err
	}
	if t.disk, err = t.b.Disk(64); err != nil {
		return nil, err
	}
	stop, err := t.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	for _, try := range []struct {
		name string
		f    func(context.Context) (string, error)
	}{
		{"http between hosts", t.http}, {"cut", t.cut}, {"one-way cut", t.oneWay},
		{"30 % loss", t.loss}, {"200 ms round trip", t.delay}, {"another address", t.readdress},
		{"stop and go on", t.stop}, {"kill with children", t.kill},
		{"full disk", t.full}, {"frozen disk", t.frozen}, {"power cut", t.power},
		{"slow disk", t.slow},
	} {
		r.net.Reset()
		detail, err := try.f(ctx)
		findings = append(findings, Finding{try.name, detail, err})
		if err != nil {
			err = fmt.Errorf("rig: self-test: %s: %w", try.name, err)
			return findings, err
		}
	}
	return findings, nil
}

// serve answers HTTP and echoes UDP on both hosts.
func (t *bench) serve(ctx context.Context) (stop func(), err error) {
	var servers sync.WaitGroup
	var closers []io.Closer
	stop = func() {
		for _, c := range closers {
			_ = c.Close() // how a listener ends is no matter
		}
		servers.Wait()
	}
	for _, h := range []*Host{t.a, t.b} {
		l, err := h.Listen(ctx, "tcp", fmt.Sprintf(":%d", echoPort))
		if err != nil {
			stop()
			return nil, err
		}
		srv := &http.Server{
			ReadHeaderTimeout: surely,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, h.Name()) // the client sees what is missing
			}),
		}
		closers = append(closers, srv)
		servers.Go(func() { _ = srv.Serve(l) }) // ends with "closed"
		pc, err := h.ListenPacket(ctx, "udp", fmt.Sprintf(":%d", echoPort))
		if err != nil {
			stop()
			return nil, err
		}
		closers = append(closers, pc)
		servers.Go(func() {
			buf := make([]byte, 64)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = pc.WriteTo(buf[:n], from) // a packet may be lost anyway
			}
		})
	}
	return stop, nil
}

func (t *bench) get(from, to *Host, limit time.Duration) error {
	client := from.HTTPClient(limit)
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + to.At(echoPort))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != to.Name() {
		err = fmt.Errorf("%s answered instead of %s", body, to.Name())
	}
	return err
}

func (t *bench) http(context.Context) (string, error) {
	begin := time.Now()
	if err := t.get(t.a, t.b, surely); err != nil {
		return "", err
	}
	return fmt.Sprintf("answered after %v", time.Since(begin).Round(time.Microsecond)), t.get(t.b, t.a, surely)
}

func (t *bench) cut(ctx context.Context) (string, error) {
	conn, err := t.a.DialContext(ctx, "tcp", t.b.At(echoPort))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	t.rig.net.Cut(t.a, t.b)
	if err := t.get(t.a, t.b, shortly); err == nil {
		return "", errors.New("an answer came through")
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	if err := conn.SetReadDeadline(time.Now().Add(shortly)); err != nil {
		return "", err
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return "", fmt.Errorf("the open connection: %w", err)
	}
	t.rig.net.Heal(t.a, t.b)
	begin := time.Now()
	if err := conn.SetReadDeadline(time.Now().Add(surely)); err != nil {
		return "", err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return "", fmt.Errorf("the open connection after the cut: %w", err)
	}
	return fmt.Sprintf("nothing passed; an open connection went on %v after the end", time.Since(begin).Round(time.Millisecond)), nil
}

// echo tells how long one packet takes there and back, 0 if it is lost.
func (t *bench) echo(conn net.Conn, limit time.Duration) (time.Duration, error) {
	begin := time.Now()
	if _, err := conn.Write([]byte("x")); err != nil {
		return 0, err
	}
	if err := conn.SetReadDeadline(begin.Add(limit)); err != nil {
		return 0, err
	}
	if _, err := conn.Read(make([]byte, 64)); errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

func (t *bench) oneWay(ctx context.Context) (string, error) {
	conn, err := t.a.DialContext(ctx, "udp", t.b.At(echoPort))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	before := t.rig.net.Counters(t.b, t.a)
	t.rig.net.CutOneWay(t.b, t.a)
	d, err := t.echo(conn, shortly)
	if err != nil || d != 0 {
		return "", fmt.Errorf("an answer came through: %v, %w", d, err)
	}
	if after := t.rig.net.Counters(t.b, t.a); after.Cut <= before.Cut {
		return "", errors.New("the question did not pass the way that was open")
	}
	t.rig.net.Heal(t.a, t.b)
	if d, err = t.echo(conn, surely); err != nil || d == 0 {
		return "", fmt.Errorf("no answer after the cut: %w", err)
	}
	return "questions passed, answers did not", nil
}

func (t *bench) loss(ctx context.Context) (string, error) {
	t.rig.net.Set(t.a, t.b, Link{Loss: 0.3})
	in, err := t.b.ListenPacket(ctx, "udp", ":0")
	if err != nil {
		return "", err
	}
	defer in.Close()
	to := in.LocalAddr().(*net.UDPAddr).Port
	conn, err := t.a.DialContext(ctx, "udp", t.b.At(to))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	before := t.rig.net.Counters(t.a, t.b)
	got := 0
	for range lossSample {
		if _, err := conn.Write([]byte("x")); err != nil {
			return "", err
		}
		// One at a time, so that no buffer overflows: wait until the switch had it.
		sent := before.Packets
		if err := poll(ctx, func() bool { return t.rig.net.Counters(t.a, t.b).Packets > sent }); err != nil {
			return "", errors.New("the switch never saw a packet")
		}
		now := t.rig.net.Counters(t.a, t.b)
		if now.Lost == before.Lost {
			if err := in.SetReadDeadline(time.Now().Add(surely)); err != nil {
				return "", err
			}
			if _, _, err := in.ReadFrom(make([]byte, 64)); err != nil {
				return "", fmt.Errorf("a packet that was not lost: %w", err)
			}
			got++
		}
		before = now
	}
	share := 1 - float64(got)/lossSample
	if share < 0.25 || share > 0.35 {
		return "", fmt.Errorf("%.1f %% of %d packets were lost", 100*share, lossSample)
	}
	return fmt.Sprintf("%.1f %% of %d packets lost", 100*share, lossSample), nil
}

func (t *bench) delay(ctx context.Context) (string, error) {
	t.rig.net.Delay(t.a, t.b, 100*time.Millisecond, 0)
	conn, err := t.a.DialContext(ctx, "udp", t.b.At(echoPort))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	var times []time.Duration
	for range 10 {
		d, err := t.echo(conn, surely)
		if err != nil || d == 0 {
			return "", fmt.Errorf("no answer: %w", err)
		}
		times = append(times, d)
	}
	s := Summarize(times)
	// The best of them: a busy machine may be late, but not always.
	if s.Best < 200*time.Millisecond || s.Best > 250*time.Millisecond {
		return s.String(), fmt.Errorf("measured %v", s)
	}
	return s.String(), nil
}

func (t *bench) readdress(context.Context) (string, error) {
	old := t.b.Addr().String()
	if err := t.b.Readdress("10.200.0.1"); err != nil {
		return "", err
	}
	if err := t.get(t.a, t.b, surely); err != nil {
		return "", err
	}
	return old + " became " + t.b.Addr().String(), t.b.Readdress(old)
}

// ticker runs a process that adds to a file, and tells how long the file is.
func (t *bench) ticker() (*Process, func() int64, error) {
	p, err := t.b.Start("sh", "-c", "(while :; do echo tick; sleep 0.01; done) & wait")
	if err != nil {
		return nil, nil, err
	}
	return p, func() int64 {
		info, err := os.Stat(p.Log())
		if err != nil {
			return -1
		}
		return info.Size()
	}, nil
}

// poll waits until what must happen has.
func poll(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, surely, fmt.Errorf("did not happen within %v", surely))
	defer cancel()
	for !done() {
		if err := pause(ctx, pollEvery); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// still tells whether a size does not change for a while.
func still(ctx context.Context, size func() int64) (bool, error) {
	if err := pause(ctx, shortly); err != nil { // what was under way
		return false, err
	}
	before := size()
	err := pause(ctx, shortly)
	return size() == before, err
}

func (t *bench) stop(ctx context.Context) (string, error) {
	p, size, err := t.ticker()
	if err != nil {
		return "", err
	}
	if err := poll(ctx, func() bool { return size() > 0 }); err != nil {
		return "", err
	}
	rss, err := p.RSS()
	if err != nil || rss <= 0 {
		return "", fmt.Errorf("RSS %d: %w", rss, err)
	}
	fds, err := p.FDs()
	if err != nil || fds <= 0 {
		return "", fmt.Errorf("FDs %d: %w", fds, err)
	}
	if err := p.Stop(); err != nil {
		return "", err
	}
	if quiet, err := still(ctx, size); err != nil || !quiet || !p.Alive() {
		return "", fmt.Errorf("a stopped process went on, or died: %w", err)
	}
	before := size()
	if err := p.Cont(); err != nil {
		return "", err
	}
	if err := poll(ctx, func() bool { return size() > before }); err != nil {
		return "", fmt.Errorf("going on: %w", err)
	}
	return fmt.Sprintf("stood still and went on; RSS %d KiB, %d files", rss>>10, fds), p.Kill()
}

func (t *bench) kill(ctx context.Context) (string, error) {
	p, size, err := t.ticker()
	if err != nil {
		return "", err
	}
	if err := poll(ctx, func() bool { return size() > 0 }); err != nil {
		return "", err
	}
	if err := p.Kill(); err != nil {
		return "", err
	}
	if quiet, err := still(ctx, size); err != nil || !quiet || p.Alive() {
		return "", fmt.Errorf("the process or its child lives: %w", err)
	}
	return "process and child are gone", nil
}

func (t *bench) full(context.Context) (string, error) {
	file := filepath.Join(t.disk.Path(), "growing")
	if err := t.disk.Fill(); err != nil {
		return "", err
	}
	err := os.WriteFile(file, make([]byte, 1<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		return "", fmt.Errorf("a write to the full disk: %w", err)
	}
	if err := t.disk.Free(); err != nil {
		return "", err
	}
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		return "", fmt.Errorf("a write to the disk with room again: %w", err)
	}
	return "no space left, then room again", os.Remove(file)
}

func (t *bench) frozen(ctx context.Context) (string, error) {
	if err := t.disk.Freeze(); err != nil {
		return "", err
	}
	done := make(chan error, 1)
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() { done <- os.WriteFile(filepath.Join(t.disk.Path(), "late"), []byte("x"), 0o600) })
	early := false
	select {
	case <-done:
		early = true
	case <-time.After(shortly):
	}
	if err := t.disk.Thaw(); err != nil || early {
		return "", fmt.Errorf("written to a frozen disk: %v, thaw: %w", early, err)
	}
	select {
	case err := <-done:
		return "a write waited for the thaw", err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// power: what was synced is there, what was not is gone. ext4 writes by itself
// after 5 s, so the cut must come soon.
func (t *bench) power(ctx context.Context) (string, error) {
	p, err := t.b.Start("sh", "-c", fmt.Sprintf(
		"cd %s && exec 3>held && echo kept >synced && sync synced && echo gone >unsynced && echo ready && sleep 1000", t.disk.Path()))
	if err != nil {
		return "", err
	}
	if err := poll(ctx, func() bool { return strings.Contains(string(p.Tail(100)), "ready") || !p.Alive() }); err != nil {
		return "", err
	}
	if err := t.b.PowerCut(); err != nil {
		return "", err
	}
	if p.Alive() {
		return "", errors.New("the process lives")
	}
	kept, err := os.ReadFile(filepath.Join(t.disk.Path(), "synced"))
	if err != nil || string(kept) != "kept\n" {
		return "", fmt.Errorf("what was synced: %q, %w", kept, err)
	}
	if text, err := os.ReadFile(filepath.Join(t.disk.Path(), "unsynced")); err == nil && len(text) > 0 {
		return "", fmt.Errorf("what was not synced is there: %q", text)
	}
	return "synced bytes kept, others gone, disk mounted again", nil
}

func (t *bench) slow(ctx context.Context) (string, error) {
	const delay = 300 * time.Millisecond
	begin := time.Now()
	p, err := t.b.Start(SlowSync(delay, "sync", t.disk.Path())...)
	if err != nil {
		return "", err
	}
	if err := p.Wait(ctx); err != nil {
		return "", fmt.Errorf("%w: %s", err, p.Tail(maxTail))
	}
	took := time.Since(begin)
	if took < delay {
		return "", fmt.Errorf("a sync took %v", took)
	}
	return fmt.Sprintf("a sync took %v", took.Round(time.Millisecond)), nil
}
