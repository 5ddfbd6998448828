package daemon_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestHugeBodies sends 300 MB to every documented path, with and without a
// length, compressed and not: each is refused, and memory does not follow.
func TestHugeBodies(t *testing.T) {
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	routes := regexp.MustCompile("(?m)^\\| `(/v1/[^`]*)` \\| ([A-Z, ]+) \\|").FindAllStringSubmatch(string(page), -1)
	if len(routes) < 30 {
		t.Fatalf("docs/api.md names only %d paths", len(routes))
	}
	bin, dir, addr := build(t), t.TempDir(), freeAddr(t)
	p := spawn(t, bin, addr, dir)
	p.await(t, "a leader", func() bool {
		_, err := p.register("web")
		return err == nil
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	refused := 0
	send := func(method, path string, body io.Reader, length int64, encoding string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // an archive is read whole
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+":8500"+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		if encoding != "" {
			req.Header.Set("Content-Encoding", encoding)
		}
		r, err := client.Do(req)
		if err != nil {
			// The answer can be lost when the agent closes on a client that still sends.
			if !strings.Contains(err.Error(), "connection reset") && !strings.Contains(err.Error(), "broken pipe") {
				t.Errorf("%s %s: %v", method, path, err)
			}
			return
		}
		_ = r.Body.Close() // its status was all
		// An archive may be of any size; what is none is refused as it always was.
		noArchive := path == "/v1/snapshot" && r.StatusCode == http.StatusInternalServerError
		if r.StatusCode != http.StatusRequestEntityTooLarge && r.StatusCode != http.StatusBadRequest && !noArchive {
			t.Errorf("%s %s: %s", method, path, r.Status)
			return
		}
		refused++
	}
	const size = 300 << 20
	before := rss(t, p.cmd.Process.Pid)
	for _, route := range routes {
		path := regexp.MustCompile(":[a-z]+").ReplaceAllString(route[1], "x")
		for method := range strings.SplitSeq(route[2], ", ") {
			send(method, path, io.LimitReader(filler{}, size), size, "")
			send(method, path, io.LimitReader(filler{}, size), -1, "")
			send(method, path, squeezed(size), -1, "gzip")
		}
	}
	after := rss(t, p.cmd.Process.Pid)
	t.Logf("%d paths, %d answers 413 or 400, RSS from %d to %d KiB", len(routes), refused, before, after)
	if after-before > 10<<10 {
		t.Errorf("memory rose by %d KiB, at most 10 MiB", after-before)
	}
	if refused < len(routes) {
		t.Errorf("only %d requests were answered", refused)
	}
	if _, err := p.register("after"); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

// filler is JSON text that never ends.
type filler struct{}

func (filler) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// squeezed is a gzip stream that unpacks to size bytes.
func squeezed(size int64) io.Reader {
	r, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		_, err := io.Copy(z, io.LimitReader(filler{}, size))
		if err == nil {
			err = z.Close()
		}
		_ = w.CloseWithError(err) // never fails
	}()
	return r
}

// rss is a process's resident memory in KiB.
func rss(t testing.TB, pid int) int {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
