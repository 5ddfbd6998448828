# An image with the program, certificates of public authorities and nothing else.
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN make build && mkdir -p /root-of-image/consul/data /root-of-image/consul/config

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/build/consul /bin/consul
COPY --from=build --chown=65532:65532 /root-of-image/consul /consul
USER 65532:65532
VOLUME /consul/data
EXPOSE 8300 8301 8301/udp 8302 8302/udp 8500 8600 8600/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --start-period=30s CMD ["/bin/consul", "catalog", "datacenters"]
ENTRYPOINT ["/bin/consul"]
CMD ["agent", "-data-dir=/consul/data", "-config-dir=/consul/config", "-client=0.0.0.0", "-server", "-bootstrap-expect=1"]
