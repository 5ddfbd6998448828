# furnish NAME: what is in /etc, /var/lib, /var/cache and /run is this machine's own.
furnish() {
	local home=$W/machines/$1
	mkdir -p "$home"/{lib,run,cache/bind}
	[ -d "$home/etc" ] || cp -a /etc "$home/etc"
	install -d -m 0700 "$home/lib/consul"
	mkdir -p "$home/etc/consul.d"
	# Clients leave when they are restarted, and would answer on for five seconds;
	# a new server would have no vote for ten.
	cat >"$home/etc/consul.d/quick.hcl" <<-HCL
		performance { leave_drain_time = "0s" }
		autopilot { server_stabilization_time = "1s" }
	HCL
	mount --make-rprivate /
	mount --bind "$home/etc" /etc
	mount --bind "$home/lib" /var/lib
	mount --bind "$home/run" /run
	mount --bind "$home/cache" /var/cache
	grep -q ^consul: /etc/passwd || echo "consul:x:990:990::/var/lib/consul:/usr/sbin/nologin" >>/etc/passwd
	grep -q ^consul: /etc/group || echo "consul:x:990:" >>/etc/group
	echo "$1" >/proc/sys/kernel/hostname
	ip link set lo up
}
