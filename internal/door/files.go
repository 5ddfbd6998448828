package door

import "syscall"

// Share is how many connections a door may hold so that all doors together leave
// files over: one part of what the process may open, and at most most.
func Share(parts, most int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > uint64(most)*uint64(parts) {
		return most
	}
	return max(int(limit.Cur)/parts, 1)
}
