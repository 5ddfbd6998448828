# Sourced before a page's blocks, in network, mount, process and host name
# namespaces of the page's own. W is the page's directory, TOP the tree's.
set -Eeuo pipefail
trap 'status=$?; echo "FAILED at ${AT:-the start}: $BASH_COMMAND" >&2; exit $status' ERR

declare -A pids=() # of the machines but the first, by name
machines=0

# first NAME ADDRESS: the machine that the page is read at.
first() {
	ip link add lan type bridge
	ip link set lan up
	ip addr add "$2/8" dev lan
	ip route add default via 10.255.255.254
	furnish "$1"
	here=$1
}

# machine NAME ADDRESS: one more.
machine() {
	local home=$W/machines/$1 port=port$((++machines))
	mkdir -p "$home"
	unshare -n -m -u bash -Eeuo pipefail -c '. "$TOP/internal/doctest/testdata/furnish.sh"; furnish "$1"; touch "$2/ready"; exec sleep infinity' - "$1" "$home" &
	local pid=$!
	until [ -e "$home/ready" ]; do
		kill -0 "$pid"
		sleep 0.01
	done
	ip link add "$port" type veth peer name eth0 netns "$pid"
	ip link set "$port" master lan up
	nsenter -t "$pid" -n bash -ec "ip addr add $2/8 dev eth0; ip link set eth0 up; ip route add default via 10.255.255.254"
	pids[$1]=$pid
}

# on NAMES SCRIPT: runs a script at machines, one after the other.
on() {
	local name
	for name in ${1//,/ }; do
		if [ "$name" = "$here" ]; then
			bash -Eeuo pipefail "$2"
		else
			nsenter -t "${pids[$name]}" -n -m -u bash -Eeuo pipefail -c 'cd "$1"; . "$2"' - "$PWD" "$2"
		fi
	done
}

# together NAMES SCRIPT: the same, at all of them at once.
together() {
	local name jobs=()
	for name in ${1//,/ }; do
		on "$name" "$2" &
		jobs+=($!)
	done
	for name in "${jobs[@]}"; do wait "$name"; done
}

# put NAMES FILE PATH: a file of the page, at machines.
put() {
	printf 'mkdir -p "$(dirname %q)"; cp %q %q\n' "$3" "$2" "$3" >"$W/put.sh"
	on "$1" "$W/put.sh"
}

# expect PATTERN COMMAND...: what a command prints, asked again for some seconds.
expect() {
	local pattern=$1 code
	shift
	for _ in $(seq 100); do
		code=0
		"$@" >"$W/out" 2>&1 </dev/null || code=$?
		if [ $code = 0 ] && [[ $(tr -s ' ' <"$W/out" | sed 's/ $//') == $pattern ]]; then
			cat "$W/out"
			return 0
		fi
		sleep 0.2
	done
	echo "FAILED at $AT: exit code $code; it printed, and should have:" >&2
	cat "$W/out" >&2
	echo "---- $pattern" >&2
	exit 1
}

# needs PROGRAM: whether the machine has it; tells if not.
needs() {
	command -v "$1" >/dev/null || {
		echo "SKIPPED $AT: no $1"
		return 1
	}
}

. "$TOP/internal/doctest/testdata/furnish.sh"
ip link set lo up
printf 'fail\nsilent\nshow-error\n' >"$HOME/.curlrc" # what HTTP refuses is a failed command; no meter, as at a terminal

# server EXPECT NAMES, client NAMES: agents as docs/cluster.md has them, running.
server() {
	cat >"$W/agent.hcl" <<-HCL
		server           = true
		bootstrap_expect = $1
		data_dir         = "/var/lib/consul"
		bind_addr        = "{{ GetPrivateIP }}"
		retry_join       = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
	HCL
	start "$2"
}
client() {
	cat >"$W/agent.hcl" <<-HCL
		data_dir   = "/var/lib/consul"
		bind_addr  = "{{ GetPrivateIP }}"
		retry_join = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
	HCL
	start "$1"
}
start() {
	put "$1" "$W/agent.hcl" /etc/consul.d/agent.hcl
	echo "systemctl start consul" >"$W/start.sh"
	together "$1" "$W/start.sh"
}

# ready: until there is a leader that this machine's agent reaches.
ready() {
	until curl -sf 'http://127.0.0.1:8500/v1/catalog/nodes?consistent' >/dev/null; do sleep 0.05; done
}
