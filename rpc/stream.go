package rpc

import "context"

// Stream names a conversation: the caller sends Req values and the other side
// Event values, until either ends it.
type Stream[Req, Event any] struct {
	Name string // "Noun.Verb", unique among streams and methods
}

// Conversation is one running stream, as either side holds it. One goroutine may
// send while another receives.
type Conversation interface {
	// Send hands v over; it waits while the other side does not keep up.
	Send(v any) error
	// Recv waits for the next value of the other side. io.EOF = ended well.
	Recv(into any) error
	// Close ends the conversation and lets waiting Sends and Recvs return.
	Close() error
}

// Streamer begins conversations with whoever can hold them. The conversation ends
// with ctx at the latest.
type Streamer interface {
	Stream(ctx context.Context, name string) (Conversation, error)
}

type datacenterKey struct{}

// ToDatacenter makes the conversations begun with ctx ones with servers of a
// datacenter. A call says it in its request, a conversation has none.
func ToDatacenter(ctx context.Context, datacenter string) context.Context {
	return context.WithValue(ctx, datacenterKey{}, datacenter)
}

// DatacenterFrom is the datacenter that a conversation is for, "" = the receiver's own.
func DatacenterFrom(ctx context.Context) string {
	dc, _ := ctx.Value(datacenterKey{}).(string)
	return dc
}

// Talk is a conversation with its types: Out values go, In values come.
type Talk[Out, In any] struct{ c Conversation }

// Begin starts a conversation through a streamer.
func Begin[Req, Event any](ctx context.Context, s Streamer, m Stream[Req, Event]) (*Talk[Req, Event], error) {
	c, err := s.Stream(ctx, m.Name)
	if err != nil {
		return nil, err
	}
	return &Talk[Req, Event]{c}, nil
}

// Serving gives the serving side's end of a conversation its types.
func Serving[Req, Event any](_ Stream[Req, Event], c Conversation) *Talk[Event, Req] {
	return &Talk[Event, Req]{c}
}

// Send hands v over; it waits while the other side does not keep up.
func (t *Talk[Out, In]) Send(v *Out) error { return t.c.Send(v) }

// Recv waits for the next value of the other side. io.EOF = ended well.
func (t *Talk[Out, In]) Recv() (*In, error) {
	v := new(In)
	if err := t.c.Recv(v); err != nil {
		return nil, err
	}
	return v, nil
}

// Close ends the conversation.
func (t *Talk[Out, In]) Close() error { return t.c.Close() }
