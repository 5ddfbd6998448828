first m1 10.0.0.1
server 1 m1
