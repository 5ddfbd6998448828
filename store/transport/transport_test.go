package transport

import (
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/store/disklog"
)

// stuck is a transport whose pipelines have no room, ever.
type stuck struct{ raft.Transport }

func (stuck) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return &fullPipeline{closed: make(chan struct{})}, nil
}

type fullPipeline struct {
	raft.AppendPipeline
	closed chan struct{}
}

func (p *fullPipeline) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	<-p.closed
	return nil, raft.ErrPipelineShutdown
}

func (p *fullPipeline) Close() error { close(p.closed); return nil }

// Who waits for room in a pipeline goes on when the door hangs up, and nobody gets
// another one.
func TestHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := disklog.NewGate(zap.NewNop())
		d := NewDoor(Config{Transport: stuck{}, Gate: gate})
		p, err := d.AppendEntriesPipeline("a", "127.0.0.1:8300")
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := p.AppendEntries(&raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{})
			sent <- err
		}()
		synctest.Wait()
		select {
		case err := <-sent:
			t.Fatalf("it had room: %v", err)
		default:
		}
		d.HangUp()
		if err := <-sent; err == nil {
			t.Error("sent")
		}
		if _, err := d.AppendEntriesPipeline("a", "127.0.0.1:8300"); err == nil {
			t.Error("a pipeline after the end")
		}
	})
}
