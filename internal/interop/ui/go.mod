module consul.internal/internal/interop/ui

go 1.26.7
