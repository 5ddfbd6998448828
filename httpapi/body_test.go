package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dialog is an HTTP server at the other end of a pipe, in fake time.
func dialog(t *testing.T, caller *fakeCaller) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	s := newTestServer(t, caller, nil)
	srv := s.newHTTP(t.Context(), s.Handler(), headerTimeout)
	l := &single{conn: server, closed: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // until it is closed
	}()
	t.Cleanup(func() {
		_ = client.Close()
		_ = srv.Close()
		<-done
		time.Sleep(time.Second) // net/http lingers after an answer that refuses a body
	})
	return client
}

// single is a listener to whom one has come.
type single struct {
	conn   net.Conn
	closed chan struct{}
}

func (s *single) Accept() (net.Conn, error) {
	if c := s.conn; c != nil {
		s.conn = nil
		return c, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	close(s.closed)
	return nil
}

func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

const putKey = "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: "

// TestBodiesThatDoNotCome: a body that ends early or comes too slowly changes
// nothing; one that comes slowly, but in time, is taken whole.
func TestBodiesThatDoNotCome(t *testing.T) {
	for _, tt := range []struct {
		name    string
		head    string
		pieces  []string
		pause   time.Duration // before each piece
		ends    bool          // the client sends no more after them
		status  int           // 0 = there is nobody to answer
		text    string
		changes bool
	}{
		{"whole", putKey + "4\r\n\r\n", []string{"abcd"}, 0, false, 200, "true", true},
		{"slow", putKey + "4\r\n\r\n", []string{"a", "b", "c", "d"}, bodyTimeout / 5, false, 200, "true", true},
		{"too slow", putKey + "9\r\n\r\n", []string{"a", "b", "c", "d"}, bodyTimeout / 5, false, 400, "Request decode failed: read pipe: i/o timeout", false},
		{"never", putKey + "9\r\n\r\n", nil, 0, false, 400, "Request decode failed: read pipe: i/o timeout", false},
		{"ends early", putKey + "9\r\n\r\n", []string{"abcd"}, 0, true, 0, "", false},
		{"chunks that end early", "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", []string{"4\r\nabcd\r\n"}, 0, true, 0, "", false},
		{"broken chunks", "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", []string{"zz\r\n"}, 0, false, 400,
			"Request decode failed: invalid byte in chunk length", false},
		{"said to be too large", putKey + "10485760\r\n\r\n", nil, 0, false, 413, "Request body(10485760 bytes) too large, max size: 524288 bytes.", false},
		{"packed", "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n", nil, 0, false, 400, "Content-Encoding", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller := &fakeCaller{}
				c := dialog(t, caller)
				go func() {
					for _, piece := range append([]string{tt.head}, tt.pieces...) {
						if piece != tt.head {
							time.Sleep(tt.pause)
						}
						if _, err := io.WriteString(c, piece); err != nil {
							return // refused before it was all there
						}
					}
					if tt.ends {
						_ = c.Close()
					}
				}()
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				synctest.Wait()
				if asked := caller.last != nil; asked != tt.changes {
					t.Errorf("an operation was called: %v", asked)
				}
				if tt.status == 0 {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.text) && !tt.changes {
					t.Errorf("%s %q %v, want %d %q", resp.Status, body, err, tt.status, tt.text)
				}
			})
		})
	}
}
