package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Protocol is how a collector wants to be told.
type Protocol string

// Protocols of collectors. The first two are UDP, Statsite is TCP.
const (
	StatsD    Protocol = "statsd"
	DogStatsD Protocol = "dogstatsd"
	Statsite  Protocol = "statsite"
)

// Collector is somebody who is told every interval what it saw.
type Collector struct {
	Protocol Protocol
	Addr     string // host:port; the host is looked up each time
	// Hostname stands in the names of gauges behind the prefix, so that agents that
	// share a collector do not overwrite each other's; "" leaves them as they are.
	Hostname string
	Tags     []string // of every line, with DogStatsD
}

const (
	// collectorPort is where statsd listens if nothing else is said.
	collectorPort = "8125"
	// packetSize is what passes the networks of the world in one piece, as with other
	// clients of statsd.
	packetSize = 1400
	// maxPushed bounds the values of a timer that are sent for one interval. More are
	// thinned out, and the line says to what part.
	maxPushed = 32
	// burst is how many packets are sent at once, and burstPause what lies between two
	// bursts: together less than the buffer that Linux gives a socket.
	burst      = 64
	burstPause = 10 * time.Millisecond
	// pushTimeout bounds the sending of one interval, so that the next one is in time.
	pushTimeout = Interval / 2
)

// Validate reports what is wrong with the collector.
func (c *Collector) Validate() error {
	host, port, err := net.SplitHostPort(c.target())
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("the port %q is not one from 1 to 65535", port)
	}
	if host == "" {
		return errors.New("there is no host in it")
	}
	return nil
}

// target is the address with its port.
func (c *Collector) target() string {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil && !strings.Contains(c.Addr, ":") {
		return net.JoinHostPort(c.Addr, collectorPort)
	}
	return c.Addr
}

func (c *Collector) dial(ctx context.Context) (net.Conn, error) {
	network := "udp"
	if c.Protocol == Statsite {
		network = "tcp"
	}
	return new(net.Dialer).DialContext(ctx, network, c.target())
}

// Try tells whether the collector can be reached, as far as its protocol lets one know.
func (c *Collector) Try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Push tells the collectors what each interval saw, until ctx ends. What one of them
// does not take in time is lost for it, and keeps nobody waiting.
func (r *Registry) Push(ctx context.Context, log *zap.Logger, collectors ...Collector) {
	if r == nil {
		return
	}
	var wg sync.WaitGroup
	for _, c := range collectors {
		wg.Go(func() {
			r.push(ctx, log.With(zap.String("collector", string(c.Protocol)), zap.String("addr", c.Addr)), c)
		})
	}
	wg.Wait()
}

func (r *Registry) push(ctx context.Context, log *zap.Logger, c Collector) {
	failed := false
	for {
		now := time.Now()
		n := number(now)
		if !sleep(ctx, time.Unix(0, (n+1)*int64(Interval)).Sub(now)) {
			return
		}
		failed = r.tell(ctx, log, &c, n, failed)
	}
}

// tell sends interval n, and logs where sending begins to fail and where it works again.
func (r *Registry) tell(ctx context.Context, log *zap.Logger, c *Collector, n int64, failed bool) bool {
	err := c.send(ctx, r.packets(n, c))
	switch {
	case ctx.Err() != nil:
		return failed
	case err != nil && !failed:
		log.Warn("metrics cannot be sent; they are lost until that works", zap.Error(err))
	case err == nil && failed:
		log.Info("metrics are sent again")
	}
	return err != nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send sends packets within pushTimeout. Without a listener the network may say so
// after a packet; the others are sent all the same.
func (c *Collector) send(ctx context.Context, packets [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		if err := conn.SetWriteDeadline(until); err != nil {
			return err
		}
	}
	for i, p := range packets {
		if _, wrong := conn.Write(p); wrong != nil {
			err = wrong
			if c.Protocol == Statsite {
				return err
			}
		}
		if i%burst == burst-1 && !sleep(ctx, burstPause) {
			return context.Cause(ctx)
		}
	}
	return err
}

// packets are the lines of interval n, put together as far as they fit.
func (r *Registry) packets(n int64, c *Collector) [][]byte {
	var all [][]byte
	var packet []byte
	for _, s := range r.visible() {
		for _, line := range r.lines(s, n, c) {
			if len(packet)+len(line)+1 > packetSize && len(packet) > 0 {
				all, packet = append(all, packet), nil
			}
			packet = append(append(packet, line...), '\n')
		}
	}
	if len(packet) > 0 {
		all = append(all, packet)
	}
	return all
}

// lines say what interval n saw of a series. Histograms are not told: the timers
// beside them have the same, and collectors make their own quantiles.
func (r *Registry) lines(s *series, n int64, c *Collector) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, tags := r.pushed(s, c)
	one := func(v float64, kind string) string {
		return name + ":" + strconv.FormatFloat(v, 'f', -1, 64) + "|" + kind + tags
	}
	switch s.kind {
	case gauge:
		switch {
		case s.touched.IsZero() || !s.own.Load() && time.Since(s.touched) > max(r.retention, 2*Interval):
			return nil
		case s.value < 0 && c.Protocol != DogStatsD: // where a sign means a difference
			return []string{one(0, "g"), one(s.value, "g")}
		}
		return []string{one(s.value, "g")}
	case counter:
		if w, seen := s.interval(n); seen {
			return []string{one(w.sum, "c")}
		}
	case sample:
		return timings(s.within(n), one)
	}
	return nil
}

// timings are the lines of a timer's values, maxPushed of them at most, each standing
// for as many as it has to.
func timings(w window, one func(float64, string) string) []string {
	if w.count == 0 {
		return nil
	}
	values := w.values
	if len(values) > maxPushed {
		step := float64(len(values)) / maxPushed
		values = make([]float32, maxPushed)
		for i := range values {
			values[i] = w.values[int(float64(i)*step)]
		}
	}
	kind := "ms"
	if w.count > len(values) {
		kind += "|@" + strconv.FormatFloat(float64(len(values))/float64(w.count), 'f', 6, 64)
	}
	lines := make([]string, len(values))
	for i, v := range values {
		lines[i] = one(math.Round(float64(v)*1e6)/1e6, kind)
	}
	return lines
}

// within is what interval n saw, with its values. The series is locked.
func (s *series) within(n int64) window {
	for _, w := range []window{s.now, s.last} {
		if w.n == n {
			w.values = slices.Clone(w.values)
			return w
		}
	}
	return window{}
}

var (
	// What has a meaning in these protocols does not belong into a name or a tag.
	nameClean = strings.NewReplacer(":", "_", "|", "_", "@", "_", " ", "_", "\n", "_", "#", "_")
	tagClean  = strings.NewReplacer(",", "_", "|", "_", "\n", "_", "#", "_", "@", "_")
)

// pushed is a series' name as the collector wants it, and the tags behind the value.
func (r *Registry) pushed(s *series, c *Collector) (name, tags string) {
	name = s.name
	if c.Hostname != "" && s.kind == gauge {
		rest := strings.TrimPrefix(name, r.prefix)
		name = strings.TrimPrefix(r.prefix+"."+c.Hostname+"."+strings.TrimPrefix(rest, "."), ".")
	}
	if c.Protocol != DogStatsD {
		for _, l := range s.labels {
			name += "." + l.Value
		}
		return nameClean.Replace(name), ""
	}
	all := slices.Clone(c.Tags)
	for _, l := range s.labels {
		all = append(all, l.Name+":"+l.Value)
	}
	for i := range all {
		all[i] = tagClean.Replace(all[i])
	}
	if len(all) > 0 {
		tags = "|#" + strings.Join(all, ",")
	}
	return nameClean.Replace(name), tags
}
