first server-1 10.0.0.1
machine client-1 10.0.0.11
server 1 server-1
client client-1
