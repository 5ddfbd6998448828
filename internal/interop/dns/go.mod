module consul.internal/internal/interop/dns

go 1.26
