first server-1 10.0.0.1
machine server-2 10.0.0.2
machine server-3 10.0.0.3
machine client-1 10.0.0.11
server 3 server-1,server-2,server-3
client client-1
