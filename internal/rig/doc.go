//go:build linux

// Package rig runs real processes on one Linux machine as if they stood on
// machines of their own, and harms them: packets are delayed, lost or cut one
// way or both, processes killed or stopped, disks filled, frozen, slowed or
// robbed of their power. It is for tests, needs root, /dev/net/tun, loop devices
// and a few tools (e2fsprogs, util-linux, mount, strace), and no kernel module
// beyond those: no netem, no nftables, no device-mapper. Available tells what is
// missing.
//
// Each host is a network namespace with one TUN device. A switch in this
// process moves the packets between them, so that every direction between two
// hosts has its own rule. The namespaces have no names: they end with the last
// process in them, as do the devices. Processes die with the rig, even if it is
// killed; mounts and what their children left behind is removed by the next rig
// to open.
//
// Packets are IPv4. There is no limit of bandwidth, and the clock is everyone's.
//
// Besides, the package judges what was seen: a History of operations is checked
// for linearizability, and Summarize and LongestGap measure.
package rig
