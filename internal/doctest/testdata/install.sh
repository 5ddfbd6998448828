first server-1 10.0.0.1
cp "$TOP/configs/samples/consul.d/agent.hcl" /etc/consul.d/agent.hcl
