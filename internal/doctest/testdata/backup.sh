first server-1 10.0.0.1
server 1 server-1
ready
