# Sample services: three instances of "web" and a primary "db". Ask for them:
#
#   dig @127.0.0.1 -p 8600 web.service.dc1.consul SRV
#   dig @127.0.0.1 -p 8600 primary.db.service.dc1.consul
#
# Their checks wait for reports, so that no program needs to run. Turn exactly
# one instance critical and back:
#
#   curl -X PUT http://127.0.0.1:8500/v1/agent/check/fail/service:web-2
#   curl -X PUT http://127.0.0.1:8500/v1/agent/check/pass/service:web-2

service {
  id   = "web-1"
  name = "web"
  port = 8081
  tags = ["v1", "blue"]

  check {
    name   = "web-1 reports"
    ttl    = "8760h"
    status = "passing"
  }
}

service {
  id   = "web-2"
  name = "web"
  port = 8082
  tags = ["v1", "green"]

  check {
    name   = "web-2 reports"
    ttl    = "8760h"
    status = "passing"
  }
}

service {
  id   = "web-3"
  name = "web"
  port = 8083
  tags = ["v2"]
  meta { release = "canary" }

  # its share among the others, while passing and while warning
  weights {
    passing = 1
    warning = 1
  }

  check {
    name   = "web-3 reports"
    ttl    = "8760h"
    status = "passing"
  }
}

service {
  name = "db"
  port = 5432
  tags = ["primary"]

  # A real check connects to the port:
  # check {
  #   tcp      = "127.0.0.1:5432"
  #   interval = "10s"
  #   timeout  = "2s"
  # }
}

# A check of the whole node: while it fails, no service of this node is given out.
#
# check {
#   id       = "disk"
#   name     = "free disk space"
#   args     = ["/usr/local/bin/check-disk"]
#   interval = "30s"
#   timeout  = "5s"
# }
