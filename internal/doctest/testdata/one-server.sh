first server-1 10.0.0.1
# Something that answers http://127.0.0.1:8080/health, as the web server of the page.
consul agent -dev -node=web -ui -ui-content-path=/health -http-port=8080 -dns-port=-1 -server-port=18300 -serf-lan-port=18301 -serf-wan-port=-1 >"$W/web.log" 2>&1 &
