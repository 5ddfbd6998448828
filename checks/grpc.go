package checks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"consul.internal/catalog"
)

// maxHealthReply bounds an answer: a status has a few bytes.
const maxHealthReply = 4 << 10

// aLongTimeAgo is a deadline that makes a blocked read or write return.
var aLongTimeAgo = time.Unix(1, 0)

// grpcProbe asks by the standard health protocol of gRPC. The target is
// HOST:PORT or HOST:PORT/SERVICE.
func grpcProbe(d *Definition, own TLSFunc) probe {
	addr, service, _ := strings.Cut(d.GRPC, "/")
	return func(ctx context.Context) (catalog.Status, string) {
		creds := insecure.NewCredentials()
		if d.GRPCUseTLS {
			creds = credentials.NewTLS(tlsConfig(d, own))
		}
		// passthrough: the dialer resolves the name anew for each probe.
		conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds),
			grpc.WithUserAgent("Consul Health Check"), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxHealthReply)))
		if err != nil {
			return catalog.Critical, err.Error()
		}
		defer conn.Close() //nolint:errcheck // the answer is in, closing cannot change it
		reply, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
		switch {
		case err != nil:
			return catalog.Critical, err.Error()
		case reply.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING:
			return catalog.Critical, fmt.Sprintf("gRPC check %s: service is %s", d.GRPC, reply.GetStatus())
		default:
			return catalog.Passing, fmt.Sprintf("gRPC check %s: success", d.GRPC)
		}
	}
}

// h2pingProbe sends an HTTP/2 PING frame (RFC 9113, section 6.7).
func h2pingProbe(d *Definition, own TLSFunc) probe {
	return func(ctx context.Context) (catalog.Status, string) {
		conn, err := dial(ctx, d, own, d.H2PING, d.H2PINGUseTLS, http2.NextProtoTLS)
		if err != nil {
			return catalog.Critical, fmt.Sprintf("Failed to dial to %s: %s", d.H2PING, err)
		}
		defer conn.Close() //nolint:errcheck // the client connection below may have closed it already
		// The preface of NewClientConn is written without a context.
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(aLongTimeAgo) })
		defer stop()
		//lint:ignore SA1019 the connections of net/http, which are to replace it, cannot ping
		client, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(conn)
		if err != nil {
			return catalog.Critical, fmt.Sprintf("Failed to create client connection to %s: %s", d.H2PING, err)
		}
		defer client.Close() //nolint:errcheck // nothing is outstanding on it
		if err := client.Ping(ctx); err != nil {
			return catalog.Critical, fmt.Sprintf("HTTP2 ping failed: %s", err)
		}
		return catalog.Passing, "HTTP2 ping was successful"
	}
}
