module consul.internal/internal/interop/metrics

go 1.26
